"""Callers of servers, as a closed loop: each sends its next call when it has the answer to its last one.

Two targets are never compared across time: they take turns of about a second, and what counts is the median
of the turns' own ratios. The one that begins changes from turn to turn, and the first turn does not count.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

__all__ = ["Call", "Contest", "Pace", "Turn", "contest", "drive", "objects_spared"]

Call = Callable[[], Awaitable[object]]
"""One call of one caller, from arguments to an answer that can be read."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to measure: ``turns`` of ``turn_s`` seconds for each side, after one that does not count."""

    turns: int = 7
    turn_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What callers saw of one target in one turn; ``p50_s`` is the median of their calls, in seconds."""

    calls_per_s: float
    p50_s: float


@dataclass(frozen=True, slots=True)
class Contest:
    """The turns of both sides, in the order in which they were taken."""

    ours: tuple[Turn, ...]
    theirs: tuple[Turn, ...]

    @property
    def rate_ratio(self) -> float:
        """Our calls/s over theirs."""
        return median(self.rate_ratios)

    @property
    def rate_ratios(self) -> list[float]:
        """The same, turn by turn."""
        return [ours.calls_per_s / theirs.calls_per_s for ours, theirs in self._turns()]

    @property
    def p50_ratio(self) -> float:
        """Their p50 over ours, so that more is better."""
        return median(theirs.p50_s / ours.p50_s for ours, theirs in self._turns())

    @property
    def our_rate(self) -> float:
        """The median of our calls/s."""
        return median(turn.calls_per_s for turn in self.ours)

    @property
    def their_rate(self) -> float:
        """The median of their calls/s."""
        return median(turn.calls_per_s for turn in self.theirs)

    @property
    def our_p50_ms(self) -> float:
        """The median of our turns' p50, in milliseconds."""
        return median(turn.p50_s for turn in self.ours) * 1e3

    @property
    def their_p50_ms(self) -> float:
        """The median of their turns' p50, in milliseconds."""
        return median(turn.p50_s for turn in self.theirs) * 1e3

    def _turns(self) -> zip[tuple[Turn, Turn]]:
        return zip(self.ours, self.theirs, strict=True)


async def contest(ours: Call, theirs: Call, *, callers: int, pace: Pace) -> Contest:
    """Let ``callers`` call two targets in turns."""
    taken = []
    with objects_spared():
        for number in range(pace.turns + 1):
            if number % 2:
                our_turn = await drive(ours, callers, pace.turn_s)
                their_turn = await drive(theirs, callers, pace.turn_s)
            else:
                their_turn = await drive(theirs, callers, pace.turn_s)
                our_turn = await drive(ours, callers, pace.turn_s)
            taken.append((our_turn, their_turn))
    our_turns, their_turns = zip(*taken[1:], strict=True)
    return Contest(our_turns, their_turns)


async def drive(call: Call, callers: int, turn_s: float) -> Turn:
    """Let ``callers`` call one target for ``turn_s`` seconds; a call that has begun then still counts."""
    times_s: list[float] = []
    began_s = time.perf_counter()

    async def caller() -> None:
        now_s = began_s
        while now_s < began_s + turn_s:
            sent_s = time.perf_counter()
            await call()
            now_s = time.perf_counter()
            times_s.append(now_s - sent_s)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Turn(len(times_s) / (time.perf_counter() - began_s), median(times_s))


@contextmanager
def objects_spared() -> Iterator[None]:
    """Let the garbage collector pass over torch's objects, which no tracker's process holds."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
