"""What is counted as requests and launches end. It knows nothing of how it is shown.

Rules:
- Every number has one writer: :meth:`Counts.finished` runs in the event loop, :meth:`Counts.launched` on the
  device's thread, and no histogram is written by both. So nobody takes a lock.
- Whoever reads copies a list or a dictionary as a whole, in one step of the interpreter: buckets agree with
  one another always, and with their sum but for the observation that is being made.
- Labels are few: names of methods that the server has, of gRPC's codes, kinds and stages. No caller can make
  one up.
- Durations of which most would be nothing are left out: only a frame is prepared, only crops are embedded.

Way rejected: prometheus_client's own counters. Each takes a lock, and finds its child by its labels first: to
count a request took them 4.3 us, and takes 0.7 so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from grpc import StatusCode

from siamcorr.answers import Timings
from siamcorr.errors import BankFull, Draining, QueueFull
from siamcorr.launch import Launched
from siamcorr.tasks import CorrelateKey, CorrelateTask, NetworkKey, TemplateKey, TemplateTask
from siamcorr_server.observers import Finished

__all__ = ["LAUNCH_PAIRS", "REQUEST_SECONDS", "STAGES", "STAGE_SECONDS", "Counts", "Histogram"]

REQUEST_SECONDS = (
    *(0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.0167, 0.02, 0.0333, 0.04, 0.0667),
    *(0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of a request's seconds. Frame periods of 60, 50, 30, 25 and 15 frames/s are among them."""

STAGE_SECONDS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of a stage's seconds."""

LAUNCH_PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of a launch's pairs."""

STAGES = ("prepare", "queue", "embed", "compute", "copy")
"""The stages, in a request's order: the first two are its own, the others its launch's."""

_OVERLOAD = (QueueFull, BankFull, Draining)

Key: TypeAlias = CorrelateKey | NetworkKey | TemplateKey


class Histogram:
    """Counts numbers by the first of ``bounds`` that they do not exceed. One thread writes, any may read.

    >>> pairs = Histogram(LAUNCH_PAIRS)
    >>> for batch in (1, 3, 4, 1000):
    ...     pairs.observe(batch)
    >>> pairs.read()
    ([1, 0, 2, 0, 0, 0, 0, 0, 0, 1], 1008.0)
    """

    __slots__ = ("_counts", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start with nothing observed; ``bounds`` ascend."""
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one number."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    def read(self) -> tuple[list[int], float]:
        """Return how many there were up to each bound and since the one before, and beyond; and their sum."""
        return self._counts.copy(), self._sum


@dataclass(frozen=True, slots=True)
class Counts:
    """All that is counted since the start.

    ``requests`` by full method and code, ``request_seconds`` of those answered by full method, ``rejects`` by
    reason, ``stage_seconds`` by stage, ``launch_pairs`` by kind.
    """

    requests: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    request_seconds: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(partial(Histogram, REQUEST_SECONDS))
    )
    rejects: dict[str, int] = field(default_factory=lambda: {error.reason: 0 for error in _OVERLOAD})
    stage_seconds: dict[str, Histogram] = field(
        default_factory=lambda: {stage: Histogram(STAGE_SECONDS) for stage in STAGES}
    )
    launch_pairs: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(partial(Histogram, LAUNCH_PAIRS))
    )

    def finished(self, request: Finished) -> None:
        """Count a request that has ended."""
        self.requests[request.method, request.code.name] += 1
        if request.code is StatusCode.OK:  # a refusal takes no time, and would make overload look fast
            self.request_seconds[request.method].observe(request.ended_s - request.began_s)
        if isinstance(request.error, _OVERLOAD):
            self.rejects[request.error.reason] += 1
        timings = request.timings
        if timings is not None:
            self.stage_seconds["queue"].observe(timings.queue_s)
            if timings.prepare_s:
                self.stage_seconds["prepare"].observe(timings.prepare_s)

    def launched(self, tasks: Sequence[CorrelateTask | TemplateTask], outcomes: Sequence[object]) -> None:
        """Count a launch that gave anything: its pairs, or the templates made, and its stages, once."""
        key = tasks[0].key
        if isinstance(key, TemplateKey):
            made = sum(len(outcome) for outcome in outcomes if isinstance(outcome, list))
            if made:
                self.launch_pairs["template"].observe(made)
            return
        for outcome in outcomes:
            if isinstance(outcome, Launched):
                self._launched(key, outcome.timings)
                return

    def _launched(self, key: CorrelateKey | NetworkKey, timings: Timings) -> None:
        kind = key.correlation.kind if isinstance(key, CorrelateKey) else "network"
        self.launch_pairs[kind].observe(timings.batch_pairs)
        self.stage_seconds["compute"].observe(timings.compute_s)
        self.stage_seconds["copy"].observe(timings.copy_s)
        if timings.embed_s:
            self.stage_seconds["embed"].observe(timings.embed_s)
