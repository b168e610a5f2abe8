"""Where in a request's span its stages lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from siamcorr.answers import Timings

__all__ = ["Stage", "laid_out", "nanoseconds"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that took part; from ``began_ns`` to ``ended_ns`` on the clock of the request."""

    name: str
    began_ns: int
    ended_ns: int


def nanoseconds(seconds: float) -> int:
    """Return whole nanoseconds."""
    return round(seconds * 1e9)


def laid_out(timings: Timings, began_ns: int, ended_ns: int) -> Iterator[Stage]:
    """Lay the stages end to end, so that the last one ends with the request.

    The engine tells how long each took, not when. What comes before the first is the rest: reading and
    checking the request, writing the answer, and the ways between threads.

    A request of several launches waits for one while another computes, and its queue is the longest wait. So
    where all do not fit, the queue is shortened: it is what overlaps.

    >>> [(stage.name, stage.began_ns, stage.ended_ns)
    ...  for stage in laid_out(Timings(queue_s=2e-9, compute_s=5e-9), 100, 110)]
    [('queue', 103, 105), ('compute', 105, 110)]
    """
    lengths = {
        "prepare": nanoseconds(timings.prepare_s),
        "queue": nanoseconds(timings.queue_s),
        "copy": nanoseconds(timings.copy_s),
        "embed": nanoseconds(timings.embed_s),
        "compute": nanoseconds(timings.compute_s),
    }
    excess = sum(lengths.values()) - (ended_ns - began_ns)
    if excess > 0:
        lengths["queue"] = max(0, lengths["queue"] - excess)
    at = ended_ns - sum(lengths.values())
    for name, length in lengths.items():
        begins, at = max(at, began_ns), at + length
        if at > begins:
            yield Stage(name, begins, at)
