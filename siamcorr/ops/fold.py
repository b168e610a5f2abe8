"""A head with few outputs, folded into depthwise templates: the map of all channels is never built.

A depthwise correlation and the 1x1 convolution after it are both linear. Channel c of the response, weighted
and summed over a group's channels, is the correlation with a template whose channels are weighted alike::

    sum_c head[k, c] * (z[c] * x[c])  =  (sum over c of) (head[k, c] z[c]) * x[c]

So K outputs are K naive correlations with re-weighted templates, one matrix product instead of C small
convolutions, and K maps are written instead of C. One output a group is worth it, more are not: the product
grows with K, and the convolutions do not.
"""

from __future__ import annotations

import torch

from siamcorr.ops.operands import Problem
from siamcorr.shapes import Correlation

__all__ = ["fold_offset", "fold_templates", "folded"]

_MAX_OUTPUTS_A_GROUP = 1


def folded(problem: Problem, head: torch.Tensor, groups: int) -> Problem | None:
    """Return correlation and head (K, C/groups) in one; None where two steps are better for any way."""
    channels, depth, h, w = problem.resolved.weight
    outputs, head_depth = head.shape
    is_depthwise = depth == 1 and channels == problem.resolved.groups
    if not is_depthwise or head_depth == 1 or outputs > groups * _MAX_OUTPUTS_A_GROUP:
        return None
    correlation = Correlation(
        "grouped",
        groups=groups,
        padding=problem.correlation.padding,
        stride=problem.correlation.stride,
        dilation=problem.correlation.dilation,
    )
    return Problem(correlation, (outputs, head_depth, h, w), problem.search, problem.dtype, problem.device)


def fold_templates(templates: torch.Tensor, head: torch.Tensor, groups: int) -> torch.Tensor:
    """Return depthwise templates (T, C, h, w) with a head (K, C/groups) in them: (T, K, C/groups, h, w)."""
    outputs, head_depth = head.shape
    h, w = templates.shape[-2:]
    by_group = templates.reshape(-1, groups, 1, head_depth, h, w)
    weight = by_group * head.view(groups, -1, head_depth, 1, 1)
    return weight.view(-1, outputs, head_depth, h, w)


def fold_offset(offset: torch.Tensor, head: torch.Tensor, groups: int) -> torch.Tensor:
    """Return what a bias, () or (C, 1, 1), becomes behind a head (K, C/groups): (K, 1, 1)."""
    depth = head.shape[1]
    by_group = offset.expand(groups * depth, 1, 1).reshape(groups, 1, depth)
    return (head.view(groups, -1, depth) * by_group).sum(2).reshape(-1, 1, 1)
