"""How sure a figure is that was measured several times: an interval around the mean of the repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

from siamcorr_load.results import Interval, Repeat

__all__ = ["interval", "intervals_of"]

_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for 1, 2 and so on degrees of freedom, which chance exceeds once in twenty, on either side."""


def interval(values: Sequence[float]) -> Interval:
    """Return where the mean lies, 95 times in 100, of two or more repeats of what is independent and normal.

    >>> found = interval([9.0, 10.0, 11.0])
    >>> found.mean, round(found.low, 2), round(found.high, 2)
    (10.0, 7.52, 12.48)
    """
    freedom = len(values) - 1
    t = _T[freedom - 1] if freedom <= len(_T) else 1.96 + 2.5 / freedom
    middle, reach = mean(values), t * stdev(values) / math.sqrt(len(values))
    return Interval(middle, middle - reach, middle + reach)


def intervals_of(repeats: Sequence[Repeat]) -> dict[str, Interval]:
    """Return the intervals of the measures of repeats, by their fields; none where there is one repeat.

    >>> intervals_of([Repeat(100.0, 0.004, 0.010, 1.0)])
    {}
    """
    if len(repeats) < 2:
        return {}
    names = ("throughput_per_s", "p50_s", "p99_s", "on_time_rate")
    return {name: interval([getattr(repeat, name) for repeat in repeats]) for name in names}
