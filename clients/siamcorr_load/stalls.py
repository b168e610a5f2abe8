"""When this machine stood still: a thread that only sleeps, and how late it was woken.

What delays a thread that wants almost nothing delays everything else too: other tenants of the processors,
paging, a machine that was halted. So a stall says that what was late then is not the server's doing. The idea
is jHiccup's (Gil Tene). It sees the generators' machine, and the server's only where that is the same one.

A delay counts from ``LEAST_S`` on. Two processors that are both busy with the load itself delay such a thread
by less, because the scheduler prefers who sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from siamcorr_load.watch import Watch

__all__ = ["LEAST_S", "StallMeter"]

LEAST_S = 0.010
"""The shortest delay that counts as a stall, in seconds."""

_STEP_S = 0.002


class StallMeter(Watch):
    """Watches from entering to leaving.

    Args:
        clock: monotonic seconds.
        sleep: waits for so many seconds.

    >>> now = iter([0.0, 0.002, 0.002, 0.054])
    >>> meter = StallMeter(lambda: next(now), lambda _: None)
    >>> meter.look(); meter.look()
    >>> round(meter.stalled_s(0.0, 1.0), 3), round(meter.stalled_s(0.0, 0.034), 3)
    (0.05, 0.03)
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """See the class."""
        super().__init__("stall meter")
        self._clock, self._sleep = clock, sleep
        self._stalls: list[tuple[float, float]] = []

    def look(self) -> None:
        """Sleep for a moment, and keep it if it took much longer than that."""
        due_s = self._clock() + _STEP_S
        self._sleep(_STEP_S)
        woken_s = self._clock()
        if woken_s - due_s >= LEAST_S:
            self._stalls.append((due_s, woken_s))

    def stalled_s(self, begin_s: float, end_s: float) -> float:
        """Return for how many of these seconds, on the meter's clock, the machine stood still."""
        inside = (min(end, end_s) - max(begin, begin_s) for begin, end in list(self._stalls))
        return sum(seconds for seconds in inside if seconds > 0)
