"""Reshape-to-groups: a whole batch of different weights in one grouped convolution. The definition.

Every sample becomes groups of one big sample: B*C input channels, B*O outputs, B*g groups. It is how trackers
train in batches (siamfc-pytorch, pysot), right for every kind, and the way of last resort: a CPU runs one
convolution per group, which is slow and, for more than one channel a group, gives different last bits in
different batches.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from siamcorr.ops.operands import CACHE_LINE_BYTES, Operands, Way, gathered, view_as_weight

__all__ = ["TRICK"]


def _compute(operands: Operands) -> torch.Tensor:
    problem = operands.problem
    weight = view_as_weight(gathered(operands.templates, operands.template_index), problem)
    search = _flat(gathered(operands.search, operands.search_index).to(operands.dtype))
    correlation, resolved = problem.correlation, problem.resolved
    batch = operands.pairs
    response = functional.conv2d(
        search.view(1, -1, *problem.search[1:]),
        _flat(weight).view(-1, *resolved.weight[1:]),
        groups=batch * resolved.groups,
        padding=correlation.padding,
        stride=correlation.stride,
        dilation=correlation.dilation,
    )
    return response.view(batch, *resolved.response)


def _flat(rows: torch.Tensor) -> torch.Tensor:
    """Return all cells in one axis, from a cache line on: a view where they lie so.

    Flat, because views of a flat tensor have plain strides. A contiguous tensor may have others along axes of
    size 1, and kernels are chosen by strides.
    """
    flat = rows.flatten()
    return flat if flat.data_ptr() % CACHE_LINE_BYTES == 0 else flat.clone()


TRICK = Way("trick", _compute)
