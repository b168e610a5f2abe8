"""How much of the machine other programs took while a server was loaded: what they take, it cannot have.

Rules:

- What processors did, stolen time of a virtual machine included, less what the generators and the server did.
  A process is charged for the interrupts that it is interrupted by, so that they count on both sides.
- A server on this machine is found by the port on which it listens. Where it cannot be (it is another user's,
  or several processes listen there), it would count as another program, so that nothing is said.
- A server in a container with an address of its own does count as another program: nothing tells it from one
  on another machine. There only its process helps.
- On a machine with processors to spare other programs take nothing from anybody.

A stall meter does not see this: the scheduler wakes a thread that sleeps, however busy all others are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from siamcorr_load.machine import shares_machine
from siamcorr_load.results import Others

__all__ = ["OthersMeter", "are_in_the_way", "most"]

_MAX_PROCESSORS = 0.2
"""So much of a processor others may take where fewer than one is free."""

_SPARE = 1.0
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Of processors: what all could do, what they did, and what they did for the load."""

    all: float
    busy: float
    ours: float


class OthersMeter:
    """Counts from when it is made.

    Args:
        server: its address.
        process: the server's, where that is on this machine and known.
    """

    def __init__(self, server: str, process: psutil.Process | None) -> None:
        """See the class."""
        self._server = process
        self._is_blind = process is None and shares_machine(server)
        self._begin = self._look()

    def found(self) -> Others | None:
        """Return what others took until now; None where that cannot be told."""
        end = self._look()
        if self._is_blind or self._begin is None or end is None:
            return None
        whole, busy, ours = (
            getattr(end, name) - getattr(self._begin, name) for name in ("all", "busy", "ours")
        )
        processors = psutil.cpu_count() or 1
        if whole <= 0:
            return None
        return Others(max(0.0, busy - ours) / whole * processors, (1 - busy / whole) * processors)

    def _look(self) -> _Seconds | None:
        times = psutil.cpu_times()
        guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # is in user and nice too
        try:
            ours = {one.pid: one for root in self._roots() for one in (root, *root.children(recursive=True))}
            seconds = sum(_seconds(one) for one in ours.values())
        except psutil.Error:
            return None
        busy = sum(getattr(times, name, 0.0) for name in _BUSY)
        return _Seconds(sum(times) - guest, busy, seconds)

    def _roots(self) -> Iterable[psutil.Process]:
        yield psutil.Process()
        if self._server is not None:
            yield self._server


def are_in_the_way(others: Others | None) -> bool:
    """Whether they took from the load what it could have used.

    >>> [are_in_the_way(Others(*one)) for one in ((0.1, 0.0), (0.5, 0.2), (6.0, 50.0))]
    [False, True, False]
    """
    return others is not None and others.processors > _MAX_PROCESSORS and others.free < _SPARE


def most(found: Iterable[Others | None]) -> Others | None:
    """Return the worst of several times, first of those in the way; None where none is known."""
    known = filter(None, found)
    return max(known, key=lambda others: (are_in_the_way(others), others.processors), default=None)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
