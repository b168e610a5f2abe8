"""How well boxes agree with the truth: success, precision, AO and SR, by the definitions that are compared.

Boxes are (N, 4) float64 x, y, w, h in pixels. The truth of a frame in which the target is absent, or of which
nothing is known, is NaN; such a frame counts nowhere.

Success and precision are OTB's (Wu, Lim, Yang, Object Tracking Benchmark, TPAMI 2015), as the got10k
toolkit's ExperimentOTB computes them:

- every frame counts, the first one too, in which the box is given;
- success at t: the share of frames with an overlap (intersection over union) greater than t; AUC is its mean
  over t = 0, 0.05, ... 1;
- precision at p: the share of frames with at most p pixels between the centres, x + (w - 1) / 2.

AO and SR are GOT-10k's (Huang, Zhao, Huang, TPAMI 2021), as ExperimentGOT10k computes them:

- the first frame does not count;
- both boxes are bounded by the frame first: x and y are clipped to it, then w and h to what is left of it;
- AO is the mean overlap; SR at t the share of frames with an overlap greater than t.

Over several sequences each figure is their mean, each sequence counting the same, as in OTB. GOT-10k counts
each frame the same instead: that is :func:`pool`. The two differ from the toolkit in one thing: ExperimentOTB
takes a frame without truth for a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "PRECISION_PX",
    "SUCCESS_OVERLAPS",
    "Measures",
    "centre_errors",
    "mean",
    "measure",
    "overlaps",
    "pool",
]

Floats = npt.NDArray[np.float64]

SUCCESS_OVERLAPS = np.linspace(0, 1, 21)
"""The 21 thresholds of success."""

PRECISION_PX = np.arange(51)
"""The 51 thresholds of precision, in pixels."""

_PRECISION_AT = 20


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """What was measured; NaN where no frame counts.

    ``success`` (21,) and ``precision`` (51,) are the shares at each threshold. ``overlaps`` are those of the
    frames that count for AO and SR; of a mean over sequences they are empty.
    """

    success: Floats
    precision: Floats
    ao: float
    sr50: float
    sr75: float
    overlaps: Floats

    @property
    def auc(self) -> float:
        """The area under the success curve: the mean over its thresholds."""
        return float(self.success.mean())

    @property
    def precision_20px(self) -> float:
        """The share of frames with at most 20 pixels between the centres."""
        return float(self.precision[_PRECISION_AT])


def measure(boxes: Floats, truth: Floats, size: tuple[int, int]) -> Measures:
    """Measure one sequence.

    Args:
        boxes: (frames, 4), the first one as it was given.
        truth: (frames, 4); NaN where the target is absent.
        size: (width, height) of the frames.

    >>> truth = np.array([(0, 0, 10, 10), (0, 0, 10, 10), (np.nan,) * 4, (5, 0, 10, 10)])
    >>> found = measure(np.array([(0.0, 0, 10, 10)] * 4), truth, (100, 100))
    >>> round(found.ao, 3), found.sr50, found.precision_20px
    (0.667, 0.5, 1.0)
    """
    known = np.flatnonzero(~np.isnan(truth).any(axis=1))
    if len(known) < 2:
        known = known[:0]  # the given box alone says nothing
    seen, true = boxes[known], truth[known]
    success = _shares(overlaps(seen, true)[:, None] > SUCCESS_OVERLAPS)
    precision = _shares(centre_errors(seen, true)[:, None] <= PRECISION_PX)
    return _measures(success, precision, overlaps(_bound(seen[1:], size), _bound(true[1:], size)))


def mean(measures: Sequence[Measures]) -> Measures:
    """Return the mean over sequences, each counting the same, without those in which no frame counts."""
    counted = [one for one in measures if len(one.overlaps)]
    return Measures(
        success=_shares(np.array([one.success for one in counted]).reshape(-1, len(SUCCESS_OVERLAPS))),
        precision=_shares(np.array([one.precision for one in counted]).reshape(-1, len(PRECISION_PX))),
        ao=_mean([one.ao for one in counted]),
        sr50=_mean([one.sr50 for one in counted]),
        sr75=_mean([one.sr75 for one in counted]),
        overlaps=np.empty(0),
    )


def pool(measures: Sequence[Measures]) -> tuple[float, float, float]:
    """Return AO, SR 0.5 and SR 0.75 over the frames of all sequences, each frame counting the same."""
    found = np.concatenate([np.empty(0), *(one.overlaps for one in measures)])
    return _mean(found), _mean(found > 0.5), _mean(found > 0.75)


def overlaps(a: Floats, b: Floats) -> Floats:
    """Return the intersection over the union, pair by pair: (N,). A box without area overlaps nothing.

    >>> overlaps(np.array([(0.0, 0, 2, 2), (0, 0, 0, 0)]), np.array([(1.0, 0, 2, 2), (0, 0, 2, 2)])).round(3)
    array([0.333, 0.   ])
    """
    starts = np.maximum(a[:, :2], b[:, :2])
    ends = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    common = np.maximum(ends - starts, 0.0).prod(axis=1)
    union = a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - common
    return np.asarray(np.clip(common / (union + np.finfo(np.float64).eps), 0.0, 1.0), np.float64)


def centre_errors(a: Floats, b: Floats) -> Floats:
    """Return the distance between the centres, pair by pair: (N,) pixels."""
    return np.asarray(np.linalg.norm(_centres(a) - _centres(b), axis=1), np.float64)


def _centres(boxes: Floats) -> Floats:
    return np.asarray(boxes[:, :2] + (boxes[:, 2:] - 1) / 2, np.float64)


def _bound(boxes: Floats, size: tuple[int, int]) -> Floats:
    starts = np.clip(boxes[:, :2], 0, size)
    return np.concatenate([starts, np.clip(boxes[:, 2:], 0, np.asarray(size) - starts)], axis=1)


def _measures(success: Floats, precision: Floats, found: Floats) -> Measures:
    return Measures(success, precision, _mean(found), _mean(found > 0.5), _mean(found > 0.75), found)


def _shares(hits: npt.NDArray[np.generic]) -> Floats:
    return np.asarray(hits.mean(axis=0), np.float64) if len(hits) else np.full(hits.shape[1], np.nan)


def _mean(numbers: npt.ArrayLike) -> float:
    array = np.asarray(numbers, np.float64)
    return float(array.mean()) if len(array) else float("nan")
