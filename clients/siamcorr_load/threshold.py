"""At which load a server begins to fail, learnt from windows that do not always tell the truth.

This is Bayes' rule on a grid of candidates (QUEST: Watson and Pelli, "A Bayesian adaptive psychometric
method", 1983). Each candidate says how likely a window in time was at the load at which it was seen. Near the
candidate that goes smoothly from one to the other. Far below it a pause of the machine may still spoil a
window, and far above it one may be in time by luck: so one window never rules a candidate out, and what
contradicts the rest loses.

Rejected: halving a gap by the majority of a few runs. One majority that was wrong can not be taken back.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["Threshold"]

_STEP = 0.005  # of the candidates' logarithms
_WIDTH = 0.05  # of the transition, as a share of the load: a machine differs by so much from trial to trial
_SPOILT, _LUCKY = 0.15, 0.03  # how often a window lies, below and above
_CLEARLY_SPOILT, _CLEARLY_LUCKY = 0.05, 0.01  # and those that are far from the line


class Threshold:
    """What is known of the load at which a server begins to fail.

    >>> threshold = Threshold(1000)
    >>> for load, in_time in [(8, True), (16, True), (32, False), (24, False), (20, True), (22, False)]:
    ...     threshold.saw(load, is_in_time=in_time, is_clear=True)
    >>> 20 < threshold.quantile(0.5) < 22
    True
    """

    def __init__(self, limit: int) -> None:
        """Know nothing but that it lies between half a unit of load and twice the ``limit``."""
        self._logs: npt.NDArray[np.float64] = np.arange(math.log(0.5), math.log(2 * limit), _STEP)
        self._beliefs = np.full(len(self._logs), 1 / len(self._logs))

    def saw(self, load: float, *, is_in_time: bool, is_clear: bool) -> None:
        """Take in a window at ``load``; a clear one was far from the line, on either side."""
        chances = self._chances(load, is_clear=is_clear)
        self._beliefs = self._beliefs * (chances if is_in_time else 1 - chances)
        self._beliefs /= self._beliefs.sum()

    def chance_in_time(self, load: float) -> float:
        """Return how likely the next window at ``load`` is in time."""
        return float(self._beliefs @ self._chances(load, is_clear=False))

    def quantile(self, share: float) -> float:
        """Return the load below which the threshold lies with probability ``share``."""
        place = int(np.searchsorted(np.cumsum(self._beliefs), share))
        return math.exp(self._logs[min(place, len(self._logs) - 1)])

    def _chances(self, load: float, *, is_clear: bool) -> npt.NDArray[np.float64]:
        spoilt, lucky = (_CLEARLY_SPOILT, _CLEARLY_LUCKY) if is_clear else (_SPOILT, _LUCKY)
        distance = np.clip((math.log(load) - self._logs) / _WIDTH, -500, 500)
        chances: npt.NDArray[np.float64] = lucky + (1 - spoilt - lucky) / (1 + np.exp(distance))
        return chances
