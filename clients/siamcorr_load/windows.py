"""What one window of a load says: whether all was in time in it, and whether that proves anything."""

from __future__ import annotations

from collections.abc import Sequence

from siamcorr_load.results import Window
from siamcorr_load.yardstick import MOST_SLOW

__all__ = ["ON_TIME", "decides", "is_carried", "is_clear", "is_in_time", "proves"]

ON_TIME = 0.999
"""The least share of what was due that has to be answered within the frame period."""

_CLEARLY_IN_TIME = 0.6  # of the period: p99
_CLEARLY_LATE = 0.9  # on time, at most
_AFTER_A_STALL = 20.0
"""For so many times as long as a stall requests may be late: a server that is busy for 95 % of its time needs
19 times as long to answer what has piled up."""


def is_in_time(window: Window, period_s: float) -> bool:
    """Whether a server kept up.

    >>> [is_in_time(Window(2.0, 1000, 1000, on_time), 0.04) for on_time in (998, 999)]
    [False, True]
    """
    return window.sent > 0 and window.p99_s <= period_s and window.on_time >= ON_TIME * window.sent


def is_clear(window: Window, period_s: float) -> bool:
    """Whether it is so far from the line, on either side, that the next would say the same."""
    if is_in_time(window, period_s):
        return window.p99_s <= _CLEARLY_IN_TIME * period_s
    return window.sent > 0 and window.on_time <= _CLEARLY_LATE * window.sent


def proves(window: Window, period_s: float) -> bool:
    """Whether it says anything of the server: not if it is late and the machine explains that.

    >>> stalled = Window(2.0, 1000, 1000, 800, stalled_s=0.03)
    >>> proves(stalled, 0.04), proves(Window(2.0, 1000, 1000, 600, stalled_s=0.03), 0.04)
    (False, True)
    >>> [proves(Window(2.0, 1000, 1000, on_time, slow=0.2), 0.04) for on_time in (999, 600)]
    [True, False]
    """
    if is_in_time(window, period_s):
        return True
    if window.slow > MOST_SLOW:
        return False
    late = window.sent - window.on_time
    return late * window.seconds > _AFTER_A_STALL * window.stalled_s * window.sent


def decides(windows: Sequence[Window], period_s: float) -> int:
    """Return how many windows prove something."""
    return sum(proves(window, period_s) for window in windows)


def is_carried(windows: Sequence[Window], period_s: float) -> bool:
    """Whether most of those that prove something were in time."""
    proofs = [is_in_time(window, period_s) for window in windows if proves(window, period_s)]
    return 2 * sum(proofs) > len(proofs)
