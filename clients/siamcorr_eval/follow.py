"""A tracker's way through a sequence.

Rules:

- The clock runs from a frame's bytes in memory to its box: decoding counts, reading the disk does not.
- All frames of a sequence have one size. One of another size ends the sequence: its boxes would mean nothing.
- What a tracker refuses is told with the path of the frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr_eval.frames import read_frame
from siamcorr_eval.sequences import TrackedSequence
from siamcorr_eval.trackers import Tracker

__all__ = ["Track", "follow"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What a tracker gave, a row for each frame.

    ``boxes`` (frames, 4); ``scores`` (frames,), its first 1; ``times_s`` (frames,), its first that of
    ``init``; ``size`` is the frames' (width, height).
    """

    boxes: Floats
    scores: Floats
    times_s: Floats
    size: tuple[int, int]


def follow(
    tracker: Tracker, sequence: TrackedSequence, clock: Callable[[], float] = time.perf_counter
) -> Track:
    """Follow a sequence's target from its first box.

    Raises:
        InvalidArgument: names the frame that cannot be read, has another size than the first, or that the
            tracker refuses.
        SiamcorrError: whatever else the tracker raises.
    """
    boxes, scores, times_s = [sequence.truth[0]], [1.0], []
    size = None
    for path in sequence.frames:
        frame = read_frame(path)
        if size not in (None, frame.size):
            found, expected = (f"{width}x{height} pixels" for width, height in (frame.size, size))
            raise InvalidArgument.found(f"{path}", found, f"{expected}, as in the first frame")
        begin_s = clock()
        try:
            if size is None:
                tracker.init(frame.image, sequence.truth[0])
            else:
                seen = tracker.update(frame.image)
                boxes.append(np.asarray(seen.box, np.float64))
                scores.append(seen.score)
        except InvalidArgument as error:
            raise InvalidArgument(f"{path}: {error.message}", field=error.field) from error
        times_s.append(clock() - begin_s)
        size = frame.size
    return Track(np.array(boxes), np.array(scores), np.array(times_s), size or (0, 0))
