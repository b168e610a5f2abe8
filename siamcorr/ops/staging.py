"""Search regions one by one, as a way wants them: padded, in its dtype, maybe from a cache line on.

A region that is so already is a view. Any other goes through memory for one region, which stays in cache
while the way reads it: a whole batch that is padded or converted is written to memory and read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from siamcorr.ops.operands import CACHE_LINE_BYTES, Operands, Rows, any_of, empty_aligned, is_aligned

__all__ = ["is_staged", "regions"]


def is_staged(operands: Operands, dtype: torch.dtype) -> bool:
    """Tell whether a region is good only until the next one."""
    return operands.problem.correlation.padding != (0, 0) or any_of(operands.search).dtype != dtype


def regions(operands: Operands, dtype: torch.dtype, *, on_cache_line: bool) -> Iterator[torch.Tensor]:
    """Yield the search region (C, H, W) of each pair with its padding, in ``dtype``."""
    problem, search = operands.problem, operands.search
    if not is_staged(operands, dtype) and (not on_cache_line or _are_aligned(search)):
        views = _views(operands)
        yield from (views[region] for region in operands.search_index)
        return
    (top, left), (channels, rows, cols) = problem.correlation.padding, problem.search
    staged = empty_aligned((1, channels, *problem.padded), any_of(search), dtype)[0].zero_()
    inside = staged[:, top : top + rows, left : left + cols]
    last = -1
    for region in operands.search_index:
        if region != last:
            inside.copy_(search[region])
            last = region
        yield staged


def _are_aligned(search: Rows) -> bool:
    if isinstance(search, torch.Tensor):
        return is_aligned(search)
    return not any(region.data_ptr() % CACHE_LINE_BYTES for region in search)


def _views(operands: Operands) -> Sequence[torch.Tensor] | dict[int, torch.Tensor]:
    """Return regions by index, of plain strides: along axes of size 1 a contiguous tensor may have others."""
    search, shape = operands.search, operands.problem.search
    if isinstance(search, torch.Tensor):
        return search.flatten().view(-1, *shape).unbind()
    return {region: search[region].flatten().view(shape) for region in set(operands.search_index)}
