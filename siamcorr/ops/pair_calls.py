"""Pairs as calls of a compiled kernel, each of (template, search region, response, first, last, ...).

The first three are addresses, and from ``first`` up to ``last`` are the units to compute: what can be shared
out between threads. Whatever comes behind them is the same for all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from siamcorr.ops.machine_code import Kernel
from siamcorr.ops.operands import Operands, Problem, Rows
from siamcorr.ops.staging import regions
from siamcorr.ops.threads import parts_of, run, threads_worth

__all__ = ["compute_in_place", "compute_one_by_one", "threads_for"]


def compute_in_place(
    kernel: Kernel, operands: Operands, response: torch.Tensor, units: int, *others: int
) -> None:
    """Compute all pairs, of search regions as they lie, without the interpreter in between."""
    threads = threads_for(operands.problem, operands.pairs)
    parts = parts_of(units, threads)
    templates, regions = _addresses(operands.templates), _addresses(operands.search)
    pairs = zip(operands.template_index, operands.search_index, _addresses(response), strict=True)
    calls = [
        (templates[template], regions[region], answer, *part, *others)
        for template, region, answer in pairs
        for part in parts
    ]
    run(kernel, calls, threads)


def compute_one_by_one(
    kernel: Kernel, operands: Operands, response: torch.Tensor, units: int, *others: int, dtype: torch.dtype
) -> None:
    """Compute pair after pair, of search regions that are padded, and brought into ``dtype``, before."""
    threads = threads_for(operands.problem, 1)
    parts = parts_of(units, threads)
    staged = regions(operands, dtype, on_cache_line=False)
    for template, region, answer in zip(operands.template_index, staged, response, strict=True):
        addresses = operands.templates[template].data_ptr(), region.data_ptr(), answer.data_ptr()
        run(kernel, [(*addresses, *part, *others) for part in parts], threads)


def threads_for(problem: Problem, pairs: int) -> int:
    """Return on how many threads to compute so many pairs: no more than torch would, and than is worth it."""
    return threads_worth(pairs * prod(problem.resolved.weight) * prod(problem.resolved.response[1:]))


def _addresses(rows: Rows) -> Sequence[int]:
    """Return where each of ``rows`` begins."""
    if not isinstance(rows, torch.Tensor):
        return [row.data_ptr() for row in rows]
    start, step = rows.data_ptr(), rows.stride(0) * rows.element_size()
    return [start + row * step for row in range(len(rows))]
