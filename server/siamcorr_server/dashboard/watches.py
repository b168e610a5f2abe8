"""The templates that somebody looks at, and what was answered about them last.

Rules:
- Nothing is copied for a template that nobody watches. A watch ends by itself, seconds after its page has
  stopped asking.
- What is kept is a copy, made on the device's thread before the answer goes out: arrays may lie in memory
  that is shared with a client, which writes into it once it has its answer.
- The cost is bounded: so many watches, so many copies a second of each, so many bytes a copy. Of a request
  with several pairs of one template the first is kept.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from siamcorr.arguments import Array
from siamcorr.launch import Launched
from siamcorr.peaks import Peak
from siamcorr.tasks import CorrelateKey, CorrelateTask
from siamcorr_server.dashboard.placing import Placing, placing_of

__all__ = ["MAX_WATCHES", "SHOWN", "WATCHED_S", "Sample", "Watches"]

MAX_WATCHES = 16
SHOWN = 12
"""How many of the last answers are kept for each watched template."""

WATCHED_S = 5.0
"""How long a watch lasts when nobody asks any more, in seconds."""

_PAUSE_S = 0.1  # between two copies for one watch
_MOST_BYTES = 4 << 20  # of a search region, and of all maps together
_MOST_STRIP_BYTES = 512 << 10  # of the maps of one answer that is not the last any more


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One answer about a template: copies, and so safe to draw at any time.

    ``region`` is the crop (S, S, 3) uint8 BGR, or features (C, H, W); None where it is too large to keep.
    ``maps`` are (C, H', W') by name; none where only peaks were asked for, or they are ``too_large``.
    ``pairs`` is how many the launch had.
    """

    number: int
    generation: int
    taken_s: float
    kind: str
    plan: str
    pairs: int
    region: Array | None
    maps: Mapping[str, Array]
    peaks: tuple[Peak, ...]
    placing: Placing | None
    too_large: bool


@dataclass(slots=True, eq=False)
class _Watch:
    until_s: float
    next_s: float = 0.0
    taken: int = 0
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SHOWN))


class Watches:
    """Who is watched. Time is an argument, in monotonic seconds."""

    def __init__(self) -> None:
        """Watch nobody."""
        self._watches: dict[str, _Watch] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the watches, those that nobody asked for lately included until :meth:`expire`."""
        return len(self._watches)

    def ask(self, handle: str, now_s: float) -> list[Sample] | None:
        """Watch ``handle`` for a while, and return what is known of it, the latest last.

        None: too many others are watched.
        """
        with self._lock:
            self._expire(now_s)
            watch = self._watches.get(handle)
            if watch is None:
                if len(self._watches) >= MAX_WATCHES:
                    return None
                watch = self._watches[handle] = _Watch(now_s)
            watch.until_s = now_s + WATCHED_S
            return list(watch.samples)

    def expire(self, now_s: float) -> None:
        """Let go of what nobody asks for any more."""
        with self._lock:
            self._expire(now_s)

    def launched(self, tasks: Sequence[object], outcomes: Sequence[object], now_s: float) -> None:
        """Keep what a launch says about those that are watched."""
        if not self._watches:
            return
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(task, CorrelateTask) and isinstance(outcome, Launched):
                for index, lease in enumerate(task.leases):
                    watch = self._watches.get(lease.handle)
                    if watch is not None and watch.next_s <= now_s < watch.until_s:
                        self._keep(watch, task, outcome, index, now_s)

    def _keep(self, watch: _Watch, task: CorrelateTask, launched: Launched, index: int, now_s: float) -> None:
        pair = list(task.template_index).index(index)
        sample = _sample(task, launched, pair, watch.taken + 1, now_s)
        with self._lock:
            watch.next_s, watch.taken = now_s + _PAUSE_S, watch.taken + 1
            if watch.samples:
                watch.samples[-1] = _without_bulk(watch.samples[-1])
            watch.samples.append(sample)

    def _expire(self, now_s: float) -> None:
        for handle in [handle for handle, watch in self._watches.items() if watch.until_s <= now_s]:
            del self._watches[handle]


def _sample(task: CorrelateTask, launched: Launched, pair: int, number: int, now_s: float) -> Sample:
    lease, search = task.leases[task.template_index[pair]], task.search_index[pair]
    one, region = launched.maps[pair], task.regions[search]
    maps = {name: maps[pair] for name, maps in launched.named.items()}
    if one is not None:
        maps = {"map": one}
    is_too_large = sum(array.nbytes for array in maps.values()) > _MOST_BYTES
    return Sample(
        number=number,
        generation=lease.generation,
        taken_s=now_s,
        kind=task.key.correlation.kind if isinstance(task.key, CorrelateKey) else "network",
        plan=launched.timings.plan,
        pairs=launched.timings.batch_pairs,
        region=np.array(region) if region.nbytes <= _MOST_BYTES else None,
        maps={} if is_too_large else {name: np.array(array) for name, array in maps.items()},
        peaks=launched.peaks[pair],
        placing=placing_of(task, search),
        too_large=is_too_large,
    )


def _without_bulk(sample: Sample) -> Sample:
    """Leave of an answer what the strip of the last ones shows."""
    is_small = sum(array.nbytes for array in sample.maps.values()) <= _MOST_STRIP_BYTES
    return replace(sample, region=None, maps=sample.maps if is_small else {}, placing=None)
