"""How fast the machine's processors are: a fixed piece of work, done again and again beside the load.

What runs on the same host in another virtual machine is in nobody's account here, and makes all slower: by
half, where it takes the other thread of a core. Then the same server looks slower, and nothing that it says
of itself tells why.

Rules:

- The best of three counts, because the first finds the caches of whoever ran before.
- The work is of Python's own loop: it is short, and keeps to the first caches, so that the load itself, on
  the other processors, does not slow it. Where two processors are threads of one core it does: there the pace
  is told, and judged by nobody.
- It says how fast the generators' machine is, and of the server's only where that is the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import psutil

from siamcorr_load.results import Pace
from siamcorr_load.watch import Watch

__all__ = ["Yardstick", "is_unsteady", "slowest"]

_EACH_S = 0.05
_STEPS = 8000  # 0.3 ms
_TRIES = 3

_SLOW = 1.25
"""So many times the fastest is slow."""

_MOST_SLOW = 0.1
"""For so much of the time processors may be slow before the figures are the neighbours' doing."""


def _work() -> None:
    total = 0
    for number in range(_STEPS):
        total += number * number


class Yardstick(Watch):
    """Measures from entering to leaving.

    Args:
        clock: monotonic seconds.
        work: the piece of work.

    >>> now = iter([0.0, 0.3, 0.5, 0.9])
    >>> yardstick = Yardstick(lambda: next(now), lambda: None)
    >>> yardstick.look()
    >>> yardstick.pace()
    Pace(fastest_s=0.2, slow=0.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, work: Callable[[], None] = _work) -> None:
        """See the class."""
        super().__init__("yardstick", _EACH_S)
        self._clock, self._work = clock, work
        self._found: list[tuple[float, float]] = []

    def look(self) -> None:
        """Do the work, and keep how long it took."""
        begin_s = now_s = self._clock()
        tries = []
        for _ in range(_TRIES):
            before_s = now_s
            self._work()
            now_s = self._clock()
            tries.append(now_s - before_s)
        self._found.append((begin_s, min(tries)))

    def pace(self, begin_s: float = 0.0) -> Pace | None:
        """Return how fast it was since ``begin_s``, on the clock; None where it was not measured."""
        taken = [seconds for when_s, seconds in list(self._found) if when_s >= begin_s]
        if not taken:
            return None
        fastest_s = min(taken)
        return Pace(fastest_s, sum(seconds > _SLOW * fastest_s for seconds in taken) / len(taken))


def slowest(found: Iterable[Pace | None]) -> Pace | None:
    """Return what the fastest of several times was, and how slow the slowest; None where none is known.

    One that was slow beside the others was so for all of its time.
    """
    known = list(filter(None, found))
    if not known:
        return None
    fastest_s = min(one.fastest_s for one in known)
    return Pace(fastest_s, max(1.0 if one.fastest_s > _SLOW * fastest_s else one.slow for one in known))


def is_unsteady(pace: Pace | None) -> bool:
    """Whether processors were slow for too much of the time, and not by the load's own doing.

    >>> is_unsteady(Pace(3e-4, 0.1)), is_unsteady(None)
    (False, False)
    """
    return pace is not None and pace.slow > _MOST_SLOW and not _shares_cores()


def _shares_cores() -> bool:
    return psutil.cpu_count(logical=False) != psutil.cpu_count()
