"""Distributions in little memory: how long requests took, and how many pairs a launch had."""

from __future__ import annotations

import math
from array import array

__all__ = ["BATCH_BINS", "Durations", "batch_bin"]

_LEAST_S = 1e-5
_PER_OCTAVE = 8
_BINS = 23 * _PER_OCTAVE  # up to 84 s; what takes longer counts as that

BATCH_BINS = 13
"""Bins of batch sizes: 1, 2, 3-4, 5-8, 9-16, and so on; the last one is 2049 and more."""


def batch_bin(pairs: int) -> int:
    """Return the bin of a launch.

    >>> [batch_bin(pairs) for pairs in (1, 2, 3, 4, 5, 64, 65, 10**6)]
    [0, 1, 2, 2, 3, 6, 7, 12]
    """
    return min((pairs - 1).bit_length(), BATCH_BINS - 1)


class Durations:
    """A histogram of seconds in bins that are 9 % wide, so that a quantile is right within 5 %.

    >>> durations = Durations()
    >>> for _ in range(99):
    ...     durations.add(0.010)
    >>> durations.add(1.0)
    >>> [round(durations.quantile(q), 3) for q in (0.5, 0.99, 1.0)]
    [0.01, 0.01, 0.968]
    """

    __slots__ = ("_bins", "count")

    def __init__(self) -> None:
        """Start empty."""
        self._bins = array("L", bytes(array("L").itemsize * _BINS))
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        octaves = math.log2(max(seconds, _LEAST_S) / _LEAST_S)
        self._bins[min(int(octaves * _PER_OCTAVE), _BINS - 1)] += 1
        self.count += 1

    def merge(self, other: Durations, sign: int = 1) -> None:
        """Add all of another's, or with ``sign`` -1 take them out again."""
        for index, found in enumerate(other._bins):
            if found:
                self._bins[index] += sign * found
        self.count += sign * other.count

    def quantile(self, share: float) -> float:
        """Return the seconds that ``share`` of all do not exceed; NaN if there are none."""
        rank, seen = math.ceil(share * self.count), 0
        for index, found in enumerate(self._bins):
            seen += found
            if found and seen >= rank:
                return float(_LEAST_S * 2 ** ((index + 0.5) / _PER_OCTAVE))
        return math.nan
