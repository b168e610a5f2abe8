"""A head with few outputs, folded into depthwise templates: the map of all channels is never built.

A depthwise correlation and the 1x1 convolution after it are both linear. Channel c of the response, weighted
and summed over a group's channels, is the correlation with a template whose channels are weighted alike::

    sum_c head[k, c] * (z[c] * x[c])  =  (sum over c of) (head[k, c] z[c]) * x[c]

So K outputs are K naive correlations with re-weighted templates, one matrix product instead of C small
convolutions, and K maps are written instead of C. One output a group is worth it, more are not: the product
grows with K, and the convolutions do not.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from siamcorr.ops.matmul import matmul
from siamcorr.ops.operands import Operands
from siamcorr.ops.planner import plan
from siamcorr.shapes import Correlation, Resolved

__all__ = ["fold", "fold_offset"]

_MAX_OUTPUTS_A_GROUP = 1


def fold(operands: Operands, head: torch.Tensor, groups: int) -> Operands | None:
    """Return the operands of correlation and head (K, C/groups) in one; None where two steps are better."""
    channels, depth, h, w = operands.resolved.weight
    outputs, head_depth = head.shape
    is_depthwise = depth == 1 and channels == operands.resolved.groups
    if not is_depthwise or head_depth == 1 or outputs > groups * _MAX_OUTPUTS_A_GROUP:
        return None
    correlation = operands.correlation
    resolved = Resolved((outputs, head_depth, h, w), groups, (outputs, *operands.resolved.response[1:]))
    by_group = operands.weight.view(-1, groups, 1, head_depth, h, w)
    weight = by_group * head.view(groups, -1, head_depth, 1, 1)
    folded = replace(
        operands,
        weight=weight.view(-1, *resolved.weight),
        correlation=Correlation(
            "grouped",
            groups=groups,
            padding=correlation.padding,
            stride=correlation.stride,
            dilation=correlation.dilation,
        ),
        resolved=resolved,
    )
    return folded if plan(folded).way is matmul else None


def fold_offset(offset: torch.Tensor, head: torch.Tensor, groups: int) -> torch.Tensor:
    """Return what a bias, () or (C, 1, 1), becomes behind a head (K, C/groups): (K, 1, 1)."""
    depth = head.shape[1]
    by_group = offset.expand(groups * depth, 1, 1).reshape(groups, 1, depth)
    return (head.view(groups, -1, depth) * by_group).sum(2).reshape(-1, 1, 1)
