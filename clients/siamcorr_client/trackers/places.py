"""Where targets are: a row a target, the same for every kind of tracker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Places"]

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Centres and sizes of N targets, each (N, 2) float64 in frame pixels: x, y and w, h.

    A centre is in coordinates in which a pixel's own middle is a whole number. ``first_sizes`` are those that
    the targets began with.
    """

    centres: Floats
    sizes: Floats
    first_sizes: Floats

    @classmethod
    def of(cls, boxes: Floats) -> Places:
        """Return the places of boxes (N, 4) that targets begin with.

        >>> Places.of(np.array([[10.0, 20.0, 5.0, 7.0]])).centres
        array([[12., 23.]])
        """
        sizes = boxes[:, 2:].copy()
        return cls(boxes[:, :2] + (sizes - 1) / 2, sizes, sizes)

    def __len__(self) -> int:
        """Return N."""
        return len(self.centres)

    def boxes(self) -> Floats:
        """Return boxes (N, 4) whose centres, x + (w - 1) / 2 as the server takes them, are these.

        For a target that waits at the frame's edge, on a whole pixel, that is so to the last bit, which would
        move its crop by a pixel.
        """
        return np.concatenate([self.centres - (self.sizes - 1) / 2, self.sizes], axis=1)

    def take(self, rows: npt.NDArray[np.intp]) -> Places:
        """Return the places of some targets, in the order of ``rows``; one may come several times."""
        return Places(self.centres[rows], self.sizes[rows], self.first_sizes[rows])

    def join(self, other: Places) -> Places:
        """Return these places and then the others."""
        return Places(
            np.concatenate([self.centres, other.centres]),
            np.concatenate([self.sizes, other.sizes]),
            np.concatenate([self.first_sizes, other.first_sizes]),
        )

    def where(self, chosen: npt.NDArray[np.bool_], other: Places) -> Places:
        """Return these places where ``chosen`` (N,), and the others elsewhere."""
        rows = chosen[:, None]
        return replace(
            self,
            centres=np.where(rows, self.centres, other.centres),
            sizes=np.where(rows, self.sizes, other.sizes),
        )

    def inside(self, frame: Floats) -> Places:
        """Return them with their centres moved to the nearest pixel of a frame of (width, height)."""
        return replace(self, centres=np.clip(self.centres, 0.0, frame - 1))
