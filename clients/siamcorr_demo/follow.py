"""One frame after the other: the tracker is asked, its answer timed, compared, and made ready to be drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame
from siamcorr_demo.report import FrameResult, known_ious
from siamcorr_demo.sight import Sight
from siamcorr_demo.targets import Targets

__all__ = ["Follower", "Step", "Stopwatch", "Tracker"]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


class Sighted(Protocol):
    """A target's response map (H, W) and where it lies in the frame."""

    @property
    def map(self) -> npt.NDArray[np.floating]: ...
    @property
    def map_to_frame(self) -> MapToFrame: ...


class Tracker(Protocol):
    """What the demo asks of a tracker; :class:`siamcorr_client.trackers.SiamFCTracker` is one."""

    @property
    def last(self) -> Sequence[Sighted]:
        """What was seen of each target in the last frame."""

    def init(self, image: Pixels, box: npt.ArrayLike) -> object:
        """Take the boxes (N, 4) in the first frame."""

    def update(self, image: Pixels) -> tuple[Any, Any]:
        """Return boxes (N, 4) and scores (N,) in the next frame."""


class Stopwatch:
    """A client whose :meth:`correlate` is timed: ``last_s`` is what the last call took, there and back."""

    def __init__(self, client: Any, clock: Callable[[], float] = time.perf_counter) -> None:
        """Stand before a client."""
        self._client, self._clock = client, clock
        self.last_s = 0.0

    def correlate(self, *arguments: Any, **options: Any) -> Any:
        """Pass the call on."""
        start_s = self._clock()
        answer = self._client.correlate(*arguments, **options)
        self.last_s = self._clock() - start_s
        return answer

    def __getattr__(self, name: str) -> Any:
        """All other calls are the client's own."""
        return getattr(self._client, name)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A frame, followed: what is drawn of each target, and what is reported."""

    sights: list[Sight]
    result: FrameResult


class Follower:
    """Follows targets from the first frame on, frame by frame."""

    def __init__(self, tracker: Tracker, targets: Targets, stopwatch: Stopwatch) -> None:
        """Take a tracker that calls through the stopwatch."""
        self._tracker, self._targets, self._stopwatch = tracker, targets, stopwatch
        self._index = 0

    def step(self, image: Pixels) -> Step:
        """Take the next frame, (H, W, 3) BGR."""
        truth = self._targets.truth_at(self._index)
        if self._index == 0:
            boxes = self._targets.boxes
            self._tracker.init(image, boxes)
            result = FrameResult(boxes, known_ious(boxes, truth))
        else:
            boxes, scores = self._tracker.update(image)
            result = FrameResult(boxes, known_ious(boxes, truth), scores, self._stopwatch.last_s)
        seen = self._tracker.last if self._index else []
        self._index += 1
        return Step(_sights(result, truth, seen), result)


def _sights(result: FrameResult, truth: Floats, seen: Sequence[Sighted]) -> list[Sight]:
    sights = []
    for target, box in enumerate(result.boxes):
        is_known = not np.isnan(result.ious[target])
        sights.append(
            Sight(
                box=box,
                truth=truth[target] if is_known else None,
                iou=float(result.ious[target]) if is_known else None,
                score=None if result.scores is None else float(result.scores[target]),
                map=seen[target].map if seen else None,
                map_to_frame=seen[target].map_to_frame if seen else None,
            )
        )
    return sights
