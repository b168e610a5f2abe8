"""When each frame is due: pure, the same for a seed, and the same however cameras are spread over processes.

================ ===========================================================================================
pattern          a camera's frames
================ ===========================================================================================
jittered         one each period, from a random moment of the first: cameras that know nothing of each other
burst            all cameras at the same moment, once each period: cameras that share a trigger
constant         one each period, the cameras evenly spread over it
poisson          at random, with exponential gaps; the period is their mean
================ ===========================================================================================
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from siamcorr.errors import InvalidArgument

__all__ = ["PATTERNS", "Arrival", "arrivals"]

PATTERNS = ("jittered", "burst", "constant", "poisson")


class Arrival(NamedTuple):
    """Frame number ``frame`` of camera number ``camera``, due ``due_s`` seconds after the start."""

    due_s: float
    camera: int
    frame: int


def arrivals(
    pattern: str, *, cameras: int, fps: float, seed: int = 0, mine: Iterable[int] | None = None
) -> Iterator[Arrival]:
    """Yield the frames of all cameras, or of those in ``mine``, in the order in which they are due, for ever.

    Raises:
        InvalidArgument: names ``pattern``.

    >>> from itertools import islice
    >>> [tuple(one) for one in islice(arrivals("constant", cameras=2, fps=25.0), 3)]
    [(0.0, 0, 0), (0.02, 1, 0), (0.04, 0, 1)]
    """
    if pattern not in PATTERNS:
        raise InvalidArgument.found("pattern", repr(pattern)[:80], f"one of {', '.join(PATTERNS)}")
    numbers = range(cameras) if mine is None else mine
    return heapq.merge(*(_camera(pattern, number, cameras, 1 / fps, seed) for number in numbers))


def _camera(pattern: str, number: int, cameras: int, period_s: float, seed: int) -> Iterator[Arrival]:
    chance = random.Random(f"{seed} {number}")  # noqa: S311 - a load, not a secret
    if pattern == "poisson":
        due_s, frame = 0.0, 0
        while True:
            due_s += chance.expovariate(1 / period_s)
            yield Arrival(due_s, number, frame)
            frame += 1
    phase = {"jittered": chance.random(), "burst": 0.0, "constant": number / cameras}[pattern]
    frame = 0
    while True:
        yield Arrival((phase + frame) * period_s, number, frame)
        frame += 1
