"""How things are timed here: always two of them, in turns, so that a busy machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

__all__ = ["Pair", "Row", "race"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of one call, a median for each side, and the median of the turns' own ratios."""

    slow_s: float
    fast_s: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: it is passed when ``ratio`` is ``at_least`` that much. More is better."""

    case: str
    what: str
    ratio: float
    at_least: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is enough."""
        return self.ratio >= self.at_least


def race(slow: Callable[[], object], fast: Callable[[], object], *, turns: int, turn_s: float = 0.05) -> Pair:
    """Time two ways in turns, each for about ``turn_s`` a turn, after one turn that does not count."""
    for way in (slow, fast):
        way()  # which may have to compile
    calls = [max(1, int(turn_s / _seconds(way, 1))) for way in (slow, fast)]
    times = [
        (_seconds(slow, calls[0]), _seconds(fast, calls[1])) if turn % 2 else _swapped(slow, fast, calls)
        for turn in range(turns + 1)
    ][1:]
    return Pair(
        slow_s=median(slow_s for slow_s, _ in times),
        fast_s=median(fast_s for _, fast_s in times),
        ratio=median(slow_s / fast_s for slow_s, fast_s in times),
    )


def _swapped(slow: Callable[[], object], fast: Callable[[], object], calls: list[int]) -> tuple[float, float]:
    fast_s = _seconds(fast, calls[1])
    return _seconds(slow, calls[0]), fast_s


def _seconds(way: Callable[[], object], calls: int) -> float:
    began_s = time.perf_counter()
    for _ in range(calls):
        way()
    return (time.perf_counter() - began_s) / calls
