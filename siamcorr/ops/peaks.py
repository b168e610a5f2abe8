"""Peaks of a batch of response maps, where the maps are: only the peaks leave the device.

:mod:`siamcorr.peaks` is the definition. On a CPU it is also the faster way, a map at a time: a step in torch
costs more than what it does to a small map. On other devices all maps go through :func:`peaks_in_torch` at
once, which gives the same bits: every step is exact, or one rounding a cell, or a sum in the same pinned
order. The square root is taken on the host: torch's on a CPU is not always rounded correctly. So nothing
depends on a map's neighbours in the batch either.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from siamcorr.errors import InvalidArgument
from siamcorr.peaks import (
    NEIGHBOURS,
    Peak,
    check_peaks_input,
    exclusion_radius,
    find_peaks,
    sidelobe_ratio,
)

__all__ = ["batched_peaks", "peaks_in_torch"]

_CELLS_PER_STEP = 1 << 20  # float64 copies of the peaks' maps, for their sidelobes: 8 MB at a time


def batched_peaks(maps: torch.Tensor, top_k: int = 1) -> list[tuple[Peak, ...]]:
    """Return for each map of ``maps`` (B, O, H, W) what :func:`siamcorr.peaks.find_peaks` returns.

    Raises:
        InvalidArgument: names ``response_map`` or ``top_k``.

    >>> maps = torch.zeros(2, 1, 5, 5)
    >>> maps[1, 0, 2, 2:4] = torch.tensor([4.0, 2.0])
    >>> [(peaks[0].row, round(peaks[0].col, 3), peaks[0].score) for peaks in batched_peaks(maps)]
    [(0.0, 0.0, 0.0), (2.0, 2.167, 4.0)]
    """
    if not isinstance(maps, torch.Tensor):
        raise InvalidArgument.found("response_map", type(maps).__name__, "a tensor")
    check_peaks_input(tuple(maps.shape), str(maps.dtype).removeprefix("torch."), top_k, axes=4)
    maps = maps.detach()
    if maps.device.type != "cpu":
        return peaks_in_torch(maps, top_k)
    arrays = maps.float() if maps.dtype == torch.bfloat16 else maps  # which numpy does not know
    return [find_peaks(one, top_k=top_k) for one in arrays.numpy()]


def peaks_in_torch(maps: torch.Tensor, top_k: int) -> list[tuple[Peak, ...]]:
    """Do what :func:`batched_peaks` does, on any device, with all maps at once."""
    cells = _ranked_cells(maps, top_k)
    measured = [
        peak
        for step in torch.split(cells, max(1, _CELLS_PER_STEP // maps[0, 0].numel()))
        for peak in _measure(maps, step)
    ]
    found: list[list[Peak]] = [[] for _ in maps]
    for batch_index, peak in zip(cells[:, 0].tolist(), measured, strict=True):
        found[batch_index].append(peak)
    first_scores = maps[:, 0, 0, 0].tolist()
    return [
        tuple(peaks) or (Peak(0.0, 0.0, score, 0.0),)
        for peaks, score in zip(found, first_scores, strict=True)
    ]


def _ranked_cells(maps: torch.Tensor, top_k: int) -> torch.Tensor:
    """Return the ``top_k`` best cells of each map, the best first, as (P, 4): map, channel, row, col."""
    finite = maps.where(maps.isfinite(), -torch.inf)
    rows, cols = maps.shape[2:]
    padded = functional.pad(finite, (1, 1, 1, 1), value=-torch.inf)
    is_peak = finite > -torch.inf
    for index, (row, col) in enumerate(NEIGHBOURS):
        neighbour = padded[:, :, 1 + row : 1 + row + rows, 1 + col : 1 + col + cols]
        is_peak &= finite > neighbour if index < 4 else finite >= neighbour
    scores = finite.where(is_peak, -torch.inf).flatten(1)
    least = scores.topk(min(top_k, scores.shape[1])).values[:, -1]
    cells = (is_peak & (finite >= least[:, None, None, None])).nonzero()  # by map, channel, row, col
    order = maps[tuple(cells.T)].double().argsort(descending=True, stable=True)
    order = order[cells[order, 0].argsort(stable=True)]
    cells = cells[order]
    counts = torch.bincount(cells[:, 0], minlength=len(maps))
    rank = torch.arange(len(cells), device=maps.device) - (counts.cumsum(0) - counts)[cells[:, 0]]
    return cells[rank < top_k]


def _measure(maps: torch.Tensor, cells: torch.Tensor) -> list[Peak]:
    index, channel, row, col = cells.unbind(1)
    each = torch.arange(len(cells), device=maps.device)
    values = maps[index, channel].double()  # (P, H, W)
    score = values[each, row, col]
    mean, variance = _sidelobe(values, row, col)
    sub_row, sub_col = row + _vertex(values[each, :, col], row), col + _vertex(values[each, row], col)
    measured = torch.stack([sub_row, sub_col, score, mean, variance], 1).tolist()
    return [
        Peak(at_row, at_col, best, sidelobe_ratio(best, *sidelobe), at)
        for (at_row, at_col, best, *sidelobe), at in zip(measured, channel.tolist(), strict=True)
    ]


def _vertex(lines: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Return how far from ``at`` (P,) the parabola through three cells of ``lines`` (P, n) has its vertex."""
    padded = functional.pad(lines, (1, 1), value=torch.nan)
    before, here, after = (padded.gather(1, at[:, None] + step)[:, 0] for step in range(3))
    bend = (before - here) + (after - here)
    offset = 0.5 * (before - after) / bend
    return offset.where(bend.isfinite() & (bend != 0), 0.0)


def _sidelobe(
    values: torch.Tensor, row: torch.Tensor, col: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and variance (P,) of each map's sidelobe, a variance of 0 where it is not defined."""
    rows, cols = values.shape[1:]
    radius = exclusion_radius(rows, cols)
    away_rows = (torch.arange(rows, device=values.device) - row[:, None]).abs() > radius
    away_cols = (torch.arange(cols, device=values.device) - col[:, None]).abs() > radius
    outside = away_rows[:, :, None] | away_cols[:, None, :]
    count = outside.sum((1, 2))
    mean = _sum(values.where(outside, 0.0)) / count
    variance = _sum(((values - mean[:, None, None]) ** 2).where(outside, 0.0)) / count
    least = values.where(outside, torch.inf).amin((1, 2))
    most = values.where(outside, -torch.inf).amax((1, 2))
    return mean, variance.where((least < most) & least.isfinite() & most.isfinite(), 0.0)


def _sum(values: torch.Tensor) -> torch.Tensor:
    """Add the cells of each map (P, H, W) in the order of :mod:`siamcorr.peaks`."""
    flat = values.flatten(1)
    while flat.shape[1] > 1:
        half = (flat.shape[1] + 1) // 2
        folded = flat[:, :half].clone()
        folded[:, : flat.shape[1] - half] += flat[:, half:]
        flat = folded
    return flat[:, 0]
