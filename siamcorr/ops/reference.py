"""The operator in loops and float64: slow, plain, and owing nothing to a convolution routine.

Every other way is tested against this one.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from siamcorr.ops.operands import Operands, Problem, Way, view_as_weight

__all__ = ["REFERENCE"]


def _compute(operands: Operands) -> torch.Tensor:
    pairs = zip(operands.template_index, operands.search_index, strict=True)
    return torch.stack(
        [_one_pair(operands.problem, operands.templates[t], operands.search[s]) for t, s in pairs]
    )


def _one_pair(problem: Problem, template: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
    correlation, resolved = problem.correlation, problem.resolved
    outputs, depth, h, w = resolved.weight
    _, rows, cols = resolved.response
    (pad_rows, pad_cols), (stride_rows, stride_cols) = correlation.padding, correlation.stride
    padded = functional.pad(search.double(), (pad_cols, pad_cols, pad_rows, pad_rows))
    weight = view_as_weight(template[None], problem)[0].double()
    response = torch.zeros(resolved.response, dtype=torch.float64, device=search.device)
    for output in range(outputs):
        first = output // (outputs // resolved.groups) * depth
        for channel in range(depth):
            for i in range(h):
                for j in range(w):
                    top, left = i * correlation.dilation[0], j * correlation.dilation[1]
                    seen = padded[first + channel, top:, left:][::stride_rows, ::stride_cols][:rows, :cols]
                    response[output] += weight[output, channel, i, j] * seen
    return response


REFERENCE = Way("reference", _compute, dtype=torch.float64)
