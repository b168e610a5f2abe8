"""Many templates on one search region: all templates are the outputs of a single convolution.

What a detector's last layer does: weights (T*O, C, h, w), one sample, no groups. It multiplies no more than
is needed, and reads the search region once for all templates in place of once for each.

Its last bits depend on which templates are in the call, so it is a form of call of its own, and never a batch
of what several callers asked for: their answers would depend on each other.

In bfloat16 it takes half the time: summed in float32, and rounded to bfloat16 at the end.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from siamcorr.ops.operands import Operands, Problem, Way, gathered, view_as_weight

__all__ = ["ONE_SEARCH", "ONE_SEARCH_BFLOAT16", "is_less_work"]

_OUTPUTS_AT_ONCE = 16  # a vector of float32: what a convolution rounds its number of outputs up to


def is_less_work(problem: Problem, templates: int, *, pair_cells: float) -> bool:
    """Tell whether one convolution multiplies less than ``templates`` pairs of ``pair_cells`` an output.

    >>> from siamcorr.shapes import Correlation
    >>> siamfc = Problem(Correlation(), (256, 6, 6), (256, 22, 22))
    >>> [is_less_work(siamfc, templates, pair_cells=22 * 22) for templates in (1, 8, 16, 17, 32)]
    [False, False, True, False, True]
    """
    outputs, rows, cols = problem.resolved.response
    rounded = -(-templates * outputs // _OUTPUTS_AT_ONCE) * _OUTPUTS_AT_ONCE
    return problem.resolved.groups == 1 and rounded * rows * cols < templates * outputs * pair_cells


def _compute(operands: Operands) -> torch.Tensor:
    problem = operands.problem
    weight = view_as_weight(gathered(operands.templates, operands.template_index), problem)
    response = functional.conv2d(
        operands.search[operands.search_index[0]][None].to(operands.dtype),
        weight.reshape(-1, *problem.resolved.weight[1:]),
        padding=problem.correlation.padding,
        stride=problem.correlation.stride,
        dilation=problem.correlation.dilation,
    )
    return response.to(problem.dtype).view(-1, *problem.resolved.response)


ONE_SEARCH = Way("one search", _compute)
ONE_SEARCH_BFLOAT16 = Way("one search bfloat16", _compute, dtype=torch.bfloat16)
