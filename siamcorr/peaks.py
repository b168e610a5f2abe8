"""Where a response map is highest: the definition of a peak, in numpy.

Rules:

- A peak is a finite cell of one channel that no cell of its 3x3 neighbourhood exceeds and that no equal
  neighbour precedes in row-major order. Of a plateau that leaves the first cell (and, where its later rows
  reach further left, one of those too). So the first of a map's highest cells is always a peak.
- Peaks are sorted by score, the best first; equals by channel, row, column. The score is the cell's own
  value, not the parabola's, so that it can be found again in the map.
- The position is refined, along each axis by itself, to the vertex of the parabola through the cell and its
  two neighbours: at most half a cell. At the border and beside a non-finite cell it is not refined.
- The peak-to-sidelobe ratio is (score - mean) / std of the peak's own channel outside a square around the
  peak: D. Bolme et al., Visual Object Tracking using Adaptive Correlation Filters (MOSSE), CVPR 2010. Their
  square is 11x11, which would leave nothing of a 9x9 map: :func:`exclusion_radius` shrinks it. Where the
  ratio is not defined it is 0: without a sidelobe, with a constant or a non-finite one, or if it overflows.
- Arithmetic is float64 in a pinned order, so that :mod:`siamcorr.ops.peaks` gives the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument

__all__ = ["NEIGHBOURS", "Peak", "check_peaks_input", "exclusion_radius", "find_peaks", "sidelobe_ratio"]

Map: TypeAlias = npt.NDArray[np.float64]

_FEW_CELLS = 16  # below it Python adds them faster than numpy does

NEIGHBOURS = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if (row, col) != (0, 0))
"""The eight offsets of a 3x3 neighbourhood, in row-major order: the first four precede the cell."""


@dataclass(frozen=True, slots=True)
class Peak:
    """One peak: ``row`` and ``col`` in cells (sub-pixel), ``score``, peak-to-sidelobe ratio, ``channel``."""

    row: float
    col: float
    score: float
    psr: float
    channel: int = 0


@np.errstate(over="ignore", invalid="ignore")  # a ratio that overflows is 0, and cells need not be finite
def find_peaks(response_map: npt.NDArray[Any], *, top_k: int = 1) -> tuple[Peak, ...]:
    """Return the ``top_k`` best peaks of a response map, the best first; fewer where the map has fewer.

    There is always one: a map without any finite cell gives cell (0, 0) of channel 0, with that cell's value
    as score and a ratio of 0.

    Args:
        response_map: (O, H, W), floating point.
        top_k: how many peaks at most.

    Raises:
        InvalidArgument: names ``response_map`` or ``top_k``.

    >>> response_map = np.zeros((1, 5, 5), np.float32)
    >>> response_map[0, 2, 2:4] = 4, 2
    >>> find_peaks(response_map)[0]
    Peak(row=2.0, col=2.1666666666666665, score=4.0, psr=0.0, channel=0)
    """
    if not isinstance(response_map, np.ndarray):
        raise InvalidArgument.found("response_map", type(response_map).__name__, "an array")
    check_peaks_input(response_map.shape, _name_of(response_map.dtype), top_k, axes=3)
    ranked = _best_cell(response_map) if top_k == 1 else _ranked_candidates(response_map, top_k)
    if not ranked:
        return (Peak(0.0, 0.0, float(response_map[0, 0, 0]), 0.0),)
    return tuple(_measure(response_map[channel], row, col, channel) for channel, row, col in ranked)


def exclusion_radius(rows: int, cols: int) -> int:
    """Return the half side r of the square, 2r + 1 cells wide, that is left out of a peak's sidelobe.

    A quarter of the map's smaller side, at least 1, and at most the 5 of MOSSE (11x11).

    >>> [2 * exclusion_radius(side, side) + 1 for side in (3, 9, 17, 25, 64)]
    [3, 5, 9, 11, 11]
    """
    return max(1, min(5, (min(rows, cols) - 1) // 4))


def check_peaks_input(shape: tuple[int, ...], dtype: str, top_k: int, *, axes: int) -> None:
    """Refuse maps that are empty, not floating point or without ``axes`` axes, and a ``top_k`` below 1.

    Raises:
        InvalidArgument: names ``response_map`` or ``top_k``.
    """
    if len(shape) != axes or 0 in shape:
        raise InvalidArgument.found(
            "response_map", f"shape {tuple(shape)}", f"{axes} axes, none of them empty"
        )
    if not dtype.startswith(("float", "bfloat")):
        raise InvalidArgument.found("response_map", f"dtype {dtype}", "floating point")
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise InvalidArgument.found("top_k", repr(top_k)[:80], "an integer from 1")


def sidelobe_ratio(score: float, mean: float, variance: float) -> float:
    """Return (score - mean) / sqrt(variance), or 0 where that is not a finite number.

    >>> sidelobe_ratio(9.0, 1.0, 4.0), sidelobe_ratio(9.0, 1.0, 0.0)
    (4.0, 0.0)
    """
    if not (variance > 0 and math.isfinite(variance)):
        return 0.0
    ratio = (score - mean) / math.sqrt(variance)
    return ratio if math.isfinite(ratio) else 0.0


@cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return str(dtype)


def _best_cell(response_map: npt.NDArray[Any]) -> list[tuple[int, int, int]]:
    """Return the first of the highest cells, which is always a peak, without looking at neighbours."""
    values = response_map
    at = int(values.argmax())
    if not math.isfinite(values.item(at)):  # then argmax has found that, and not the highest of the others
        values = np.where(np.isfinite(values), values, -np.inf)
        at = int(values.argmax())
        if not math.isfinite(values.item(at)):
            return []
    rows, cols = values.shape[1:]
    return [(at // (rows * cols), at // cols % rows, at % cols)]


def _ranked_candidates(response_map: npt.NDArray[Any], top_k: int) -> list[tuple[int, int, int]]:
    values = response_map.astype(np.float64)
    finite = np.where(np.isfinite(values), values, -np.inf)
    padded = np.pad(finite, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows, cols = values.shape[1:]
    is_peak = finite > -np.inf
    for index, (row, col) in enumerate(NEIGHBOURS):
        neighbour = padded[:, 1 + row : 1 + row + rows, 1 + col : 1 + col + cols]
        is_peak &= finite > neighbour if index < 4 else finite >= neighbour
    found = np.argwhere(is_peak)  # by channel, row, column: the stable sort keeps that order among equals
    best = np.argsort(-values[is_peak], kind="stable")[:top_k]
    return [(channel, row, col) for channel, row, col in found[best].tolist()]


def _measure(plane: npt.NDArray[Any], row: int, col: int, channel: int) -> Peak:
    values = np.array(plane, np.float64, order="C")
    score = values.item(row, col)
    sub_row, sub_col = row + _vertex(values[:, col], row), col + _vertex(values[row], col)
    return Peak(sub_row, sub_col, score, sidelobe_ratio(score, *_sidelobe(values, row, col)), channel)


def _vertex(line: Map, at: int) -> float:
    """Return how far from ``at`` the parabola through three cells of ``line`` has its vertex.

    At most half a cell, for ``at`` is not exceeded by the other two: |before - after| <= |bend|, rounded too.
    """
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = line[at - 1 : at + 2].tolist()
    bend = (before - here) + (after - here)
    if not math.isfinite(bend) or bend == 0:
        return 0.0
    return float(0.5 * (before - after) / bend)


def _sidelobe(values: Map, row: int, col: int) -> tuple[float, float]:
    """Return the sidelobe's mean and variance, (0, 0) where they are not defined. ``values`` are used up.

    A step costs more than what it does to a small map, so there are few, and no cell is picked by a mask.
    """
    radius = exclusion_radius(*values.shape)
    top, left = max(0, row - radius), max(0, col - radius)
    square = values[top : row + radius + 1, left : col + radius + 1]
    cells = values.size - square.size
    if cells == 0:
        return 0.0, 0.0
    square[...] = values[0, 0] if top > 0 or left > 0 else values[-1, -1]  # a cell outside of it
    least, most = float(values.min()), float(values.max())  # a NaN is both
    if not (math.isfinite(least) and math.isfinite(most) and least < most):
        return 0.0, 0.0
    square[...] = 0.0
    mean = _sum(values.flatten()) / cells
    values -= mean
    values *= values
    square[...] = 0.0
    return mean, _sum(values.ravel()) / cells


def _sum(flat: Map) -> float:
    """Add all cells (n,) by folding the second half onto the first: an order that any array library can
    repeat. They are used up.
    """
    size = flat.size
    while size > _FEW_CELLS:
        half = (size + 1) // 2
        first = flat[: size - half]
        first += flat[half:size]
        size = half
    few = flat[:size].tolist()
    while size > 1:
        half = (size + 1) // 2
        for at in range(size - half):
            few[at] += few[half + at]
        size = half
    return float(few[0])
