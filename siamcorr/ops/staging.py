"""Search regions one by one, as a way wants them: padded, in its dtype, maybe from a cache line on.

A region that is so already is a view. Any other goes through memory for one region, which stays in cache
while the way reads it: a whole batch that is padded or converted is written to memory and read back.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from siamcorr.ops.operands import Operands, aligned, empty_aligned

__all__ = ["is_staged", "regions"]


def is_staged(operands: Operands, dtype: torch.dtype) -> bool:
    """Tell whether a region is good only until the next one."""
    return operands.problem.correlation.padding != (0, 0) or operands.search.dtype != dtype


def regions(operands: Operands, dtype: torch.dtype, *, on_cache_line: bool) -> Iterator[torch.Tensor]:
    """Yield the search region (C, H, W) of each pair with its padding, in ``dtype``."""
    problem, search = operands.problem, operands.search
    if not is_staged(operands, dtype) and (not on_cache_line or aligned(search) is search):
        views = search.flatten().view(-1, *problem.search).unbind()
        yield from (views[region] for region in operands.search_index)
        return
    (top, left), (channels, rows, cols) = problem.correlation.padding, problem.search
    staged = empty_aligned((1, channels, *problem.padded), search, dtype)[0].zero_()
    inside = staged[:, top : top + rows, left : left + cols]
    last = -1
    for region in operands.search_index:
        if region != last:
            inside.copy_(search[region])
            last = region
        yield staged
