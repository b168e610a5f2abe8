"""How fast the machine's processors are: a fixed piece of work, done again and again beside the load.

What runs on the same host in another virtual machine is in nobody's account here, and makes all slower: by
half, where it takes the other thread of a core. Then the same server looks slower, and nothing that it says
of itself tells why.

Rules:

- The processor time that the work takes counts, not the time that passes: who waits for a processor that
  the load itself has taken is not slow. Of three tries the best, because the first finds the caches of
  whoever ran before.
- The work is of Python's own loop: it is short, and keeps to the first caches, so that the load itself, on
  the other processors, does not slow it. Where two processors are threads of one core it does: there the pace
  is told, and judged by nobody.
- It says how fast the generators' machine is, and of the server's only where that is the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import psutil

from siamcorr_load.results import Pace
from siamcorr_load.watch import Watch

__all__ = ["MOST_SLOW", "Yardstick", "is_unsteady", "slow_ones", "slowest"]

_EACH_S = 0.05
_STEPS = 8000  # 0.3 ms
_TRIES = 3

_SLOW = 1.25
"""So many times the fastest is slow."""

MOST_SLOW = 0.1
"""For so much of the time processors may be slow before the figures are the neighbours' doing."""


def _work() -> None:
    total = 0
    for number in range(_STEPS):
        total += number * number


class Yardstick(Watch):
    """Measures from entering to leaving.

    Args:
        clock: monotonic seconds.
        spent: seconds of processor time that this thread has taken.
        work: the piece of work.

    >>> spent = iter([0.0, 0.3, 0.5, 0.9])
    >>> yardstick = Yardstick(spent=lambda: next(spent), work=lambda: None)
    >>> yardstick.look()
    >>> yardstick.pace()
    Pace(fastest_s=0.2, slow=0.0)
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
        work: Callable[[], None] = _work,
    ) -> None:
        """See the class."""
        super().__init__("yardstick", _EACH_S)
        self._clock, self._spent, self._work = clock, spent, work
        self._found: list[tuple[float, float]] = []

    def look(self) -> None:
        """Do the work, and keep how long it took."""
        begin_s, spent_s, tries = self._clock(), self._spent(), []
        for _ in range(_TRIES):
            before_s = spent_s
            self._work()
            spent_s = self._spent()
            tries.append(spent_s - before_s)
        self._found.append((begin_s, min(tries)))

    def pace(self, begin_s: float = 0.0) -> Pace | None:
        """Return how fast it was since ``begin_s``, on the clock; None where it was not measured."""
        taken = [seconds for when_s, seconds in list(self._found) if when_s >= begin_s]
        if not taken:
            return None
        fastest_s = min(taken)
        return Pace(fastest_s, _slow(taken, fastest_s))

    def slow(self, begin_s: float, end_s: float) -> float:
        """Return for which share of a span, on the clock, it was slow, beside the fastest so far.

        0 where the load itself may have made it so.
        """
        found = list(self._found)
        taken = [seconds for when_s, seconds in found if begin_s <= when_s < end_s]
        if not taken or _shares_cores():
            return 0.0
        return _slow(taken, min(seconds for _, seconds in found))


def slowest(found: Iterable[Pace | None]) -> Pace | None:
    """Return what the fastest of several times was, and how slow the slowest; None where none is known.

    One that was slow beside the others was so for all of its time.
    """
    known = list(filter(None, found))
    if not known:
        return None
    fastest_s = min(one.fastest_s for one in known)
    return Pace(fastest_s, max(1.0 if one.fastest_s > _SLOW * fastest_s else one.slow for one in known))


def slow_ones(found: Iterable[Pace | None]) -> int:
    """Return how many of several times were unsteady, or slow all through beside the fastest of them.

    >>> slow_ones([Pace(3e-4, 0.0), Pace(3e-4, 0.2), Pace(4e-4, 0.0), None])
    2
    """
    known = list(filter(None, found))
    fastest_s = min((one.fastest_s for one in known), default=0.0)
    return sum(is_unsteady(slowest([Pace(fastest_s, 0.0), one])) for one in known)


def is_unsteady(pace: Pace | None) -> bool:
    """Whether processors were slow for too much of the time, and not by the load's own doing.

    >>> is_unsteady(Pace(3e-4, 0.1)), is_unsteady(None)
    (False, False)
    """
    return pace is not None and pace.slow > MOST_SLOW and not _shares_cores()


def _slow(taken: Sequence[float], fastest_s: float) -> float:
    return sum(seconds > _SLOW * fastest_s for seconds in taken) / len(taken)


def _shares_cores() -> bool:
    return psutil.cpu_count(logical=False) != psutil.cpu_count()
