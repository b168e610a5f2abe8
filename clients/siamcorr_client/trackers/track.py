"""What a tracker says of a target in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame
from siamcorr_client.trackers.confidence import apce, psr

__all__ = ["Track"]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A target in one frame.

    ``box`` is (4,) float64: x, y, w, h in pixels, x and y of the top left corner.

    ``score`` is what speaks for the box: raw, before window and penalty, which hold a target back and say
    nothing of whether it is there. Of a network with a head it is a likelihood, 0 to 1. Of SiamFC's kind it
    is the response: for ``hog`` 1 for what looks as in the first frame and around 0 for what has nothing in
    common with it; for a network it has no such scale.

    ``confidence`` is from 0 to 1: the score where it is a likelihood, or else its part of the mean score that
    the target had in its first frames.

    ``state`` is "lost" from when the confidence was low for some frames until it is high again, as
    :class:`~siamcorr_client.trackers.LostSettings` says, and else "tracking".

    ``map`` (H, W) float32 are the scores by cell, and ``map_to_frame`` says where they lie in the frame.
    ``psr`` and ``apce`` are computed of it when they are asked for.
    """

    box: npt.NDArray[np.float64]
    score: float
    confidence: float
    state: Literal["tracking", "lost"]
    map: npt.NDArray[np.float32]
    map_to_frame: MapToFrame

    @property
    def psr(self) -> float:
        """How clearly the map has one peak: its peak-to-sidelobe ratio.

        Compare it with the same target's in other frames. See :mod:`siamcorr_client.trackers.confidence`.
        """
        return float(psr(self.map[None])[0])

    @property
    def apce(self) -> float:
        """The same by the average peak-to-correlation energy."""
        return float(apce(self.map[None])[0])
