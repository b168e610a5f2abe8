"""What became of the requests of one process, window by window; several processes' are merged.

A request belongs to the window in which it was due, whenever its answer comes. A window closes once its time
is over and nothing that was due in it is out; windows close in their order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from siamcorr.answers import Timings
from siamcorr_load.histogram import Histogram
from siamcorr_load.results import Stages, Window

__all__ = ["Recorder", "Tally"]

_STAGES = ("prepare_s", "queue_s", "embed_s", "compute_s", "copy_s")


@dataclass(slots=True)
class Tally:
    """Counts of one window, or of several merged."""

    latency: Histogram = field(default_factory=Histogram)
    service_time: Histogram = field(default_factory=Histogram)
    sent: int = 0
    on_time: int = 0
    updates: int = 0
    late_sends: int = 0
    dropped: int = 0
    checked: int = 0
    wrong: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    batches: Counter[int] = field(default_factory=Counter)
    stages_s: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> int:
        """How many requests were answered."""
        return self.latency.count

    def merge(self, other: Tally) -> None:
        """Add all that ``other`` has counted."""
        self.latency.merge(other.latency)
        self.service_time.merge(other.service_time)
        for name in ("sent", "on_time", "updates", "late_sends", "dropped", "checked", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("rejects", "errors", "batches", "stages_s"):
            getattr(self, name).update(getattr(other, name))

    def stages(self) -> Stages:
        """Return the server's account of an average answer."""
        return Stages(**{name: self.stages_s[name] / max(1, self.ok) for name in _STAGES})

    def window(self, seconds: float, stalled_s: float = 0.0, slow: float = 0.0) -> Window:
        """Return the counts as a window of so many seconds, in which the machine stood still or was slow."""
        p1, p50, p90, p99, p999 = self.latency.percentiles((1, 50, 90, 99, 99.9))
        return Window(
            seconds=seconds,
            sent=self.sent,
            ok=self.ok,
            on_time=self.on_time,
            late_sends=self.late_sends,
            rejects=dict(self.rejects),
            errors=dict(self.errors),
            p1_s=p1,
            p50_s=p50,
            p90_s=p90,
            p99_s=p99,
            p999_s=p999,
            max_s=self.latency.max_s,
            updates=self.updates,
            stalled_s=stalled_s,
            slow=slow,
        )


class Recorder:
    """Sorts what happens into windows. Times are of one clock, in seconds; what was due before is let go."""

    def __init__(self, *, begin_s: float, window_s: float, period_s: float, late_s: float) -> None:
        """Windows of ``window_s`` begin at ``begin_s``."""
        self._begin_s, self._window_s = begin_s, window_s
        self._period_s, self._late_s = period_s, late_s
        self._tallies: defaultdict[int, Tally] = defaultdict(Tally)
        self._out: Counter[int] = Counter()
        self._next = 0

    def due(self, due_s: float) -> None:
        """A request is due: it will be answered, refused or dropped."""
        window = self._window(due_s)
        self._tallies[window].sent += 1
        self._out[window] += 1

    def dropped(self, due_s: float) -> None:
        """It was never sent, because too many were out."""
        window = self._window(due_s)
        self._tallies[window].dropped += 1
        self._out[window] -= 1

    def sent(self, due_s: float, sent_s: float) -> None:
        """It was sent."""
        if sent_s - due_s > self._late_s:
            self._tallies[self._window(due_s)].late_sends += 1

    def answered(self, due_s: float, sent_s: float, done_s: float, pairs: int, timings: Timings) -> None:
        """Its answer has come, for ``pairs`` targets."""
        window = self._window(due_s)
        tally = self._tallies[window]
        tally.latency.record(done_s - due_s)
        tally.service_time.record(done_s - sent_s)
        tally.on_time += done_s - due_s <= self._period_s
        tally.updates += pairs
        tally.batches[timings.batch_pairs] += 1
        for name in _STAGES:
            tally.stages_s[name] += getattr(timings, name)
        self._out[window] -= 1

    def failed(self, due_s: float, code: str, *, is_reject: bool) -> None:
        """It has failed."""
        window = self._window(due_s)
        self.upset(due_s, code, is_reject=is_reject)
        self._out[window] -= 1

    def upset(self, due_s: float, code: str, *, is_reject: bool) -> None:
        """A call that is not measured has failed: the making of a template, or its update."""
        tally = self._tallies[self._window(due_s)]
        (tally.rejects if is_reject else tally.errors)[code] += 1

    def checked(self, due_s: float, *, is_wrong: bool) -> None:
        """One of its responses was held against what it must be."""
        tally = self._tallies[self._window(due_s)]
        tally.checked += 1
        tally.wrong += is_wrong

    def closed(self, reached_s: float) -> list[Tally]:
        """Return the windows that have closed since this was asked last.

        All that was due before ``reached_s`` has been told: a generator that is late may not close a window.
        """
        found = []
        while reached_s > self._begin_s + (self._next + 1) * self._window_s and not self._out[self._next]:
            found.append(self._tallies.pop(self._next, Tally()))
            self._next += 1
        return found

    def _window(self, due_s: float) -> int:
        return max(-1, int((due_s - self._begin_s) // self._window_s))
