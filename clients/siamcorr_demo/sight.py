"""What is known of one target in one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame

__all__ = ["Sight"]

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A target's ``box`` and ``truth``, (4,) in pixels, and its response ``map``, (H, W).

    All but the box and ``is_lost`` are None where there is none: in the first frame, or without truth.
    """

    box: Boxes
    truth: Boxes | None = None
    score: float | None = None
    confidence: float | None = None
    is_lost: bool = False
    iou: float | None = None
    map: npt.NDArray[np.floating] | None = None
    map_to_frame: MapToFrame | None = None

    def scaled(self, factor: float) -> Sight:
        """Return it in the pixels of a frame resized by ``factor``.

        A pixel's middle is a whole number in both frames, so points move by half a pixel's difference.

        >>> Sight(np.array([10.0, 5.0, 4.0, 2.0]), map_to_frame=MapToFrame(0.0, 1.0, 3.0, 3.0)).scaled(2.0)
        Sight(box=array([20., 10.,  8.,  4.]), truth=None, score=None, \
confidence=None, is_lost=False, iou=None, map=None, \
map_to_frame=MapToFrame(x0=0.5, y0=2.5, step_x=6.0, step_y=6.0))
        """
        view = self.map_to_frame
        if view is not None:
            x, y = ((at + 0.5) * factor - 0.5 for at in (view.x0, view.y0))
            view = MapToFrame(x, y, view.step_x * factor, view.step_y * factor)
        truth = None if self.truth is None else self.truth * factor
        return replace(self, box=self.box * factor, truth=truth, map_to_frame=view)
