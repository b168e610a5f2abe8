"""One frame after the other: the tracker is asked, its answer timed, compared, and made ready to be drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from siamcorr_client.trackers import Track
from siamcorr_demo.report import FrameResult, Seen, known_ious
from siamcorr_demo.sight import Sight
from siamcorr_demo.targets import Targets

__all__ = ["Follower", "Step", "Stopwatch", "Tracker"]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


class Tracker(Protocol):
    """What the demo asks of a tracker; :class:`siamcorr_client.trackers.MultiTracker` is one."""

    def add(self, image: Pixels, boxes: npt.ArrayLike, /) -> Any:
        """Take the boxes (N, 4) in the first frame; return the targets' N numbers."""

    def update(self, image: Pixels, /) -> Mapping[int, Track]:
        """Return what there is to say of each target in the next frame, by number."""


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
        self._numbers: list[int] = []
        self._index = 0

    def step(self, image: Pixels) -> Step:
        """Take the next frame, (H, W, 3) BGR."""
        truth = self._targets.truth_at(self._index)
        self._index += 1
        if not self._numbers:
            boxes = self._targets.boxes
            self._numbers = self._tracker.add(image, boxes)
            return _step(FrameResult(boxes, known_ious(boxes, truth)), truth, [None] * len(boxes))
        found = self._tracker.update(image)
        tracks = [found[number] for number in self._numbers]
        boxes = np.array([track.box for track in tracks])
        seen = Seen.of(tracks)
        result = FrameResult(boxes, known_ious(boxes, truth), seen, self._stopwatch.last_s)
        return _step(result, truth, tracks)


def _step(result: FrameResult, truth: Floats, tracks: Sequence[Track | None]) -> Step:
    sights = []
    for target, (box, track) in enumerate(zip(result.boxes, tracks, strict=True)):
        is_known = not np.isnan(result.ious[target])
        sight = Sight(
            box=box,
            truth=truth[target] if is_known else None,
            iou=float(result.ious[target]) if is_known else None,
        )
        sights.append(sight if track is None else _as_tracked(sight, track))
    return Step(sights, result)


def _as_tracked(sight: Sight, track: Track) -> Sight:
    return replace(
        sight,
        score=track.score,
        confidence=track.confidence,
        is_lost=track.state == "lost",
        map=track.map,
        map_to_frame=track.map_to_frame,
    )
