"""Multiply first, shift afterwards: one matrix product a pair, then the h*w shifted planes added.

Cell (i, j) of the template times every cell of the search region, summed over a group's channels, is a plane
(H, W). The response is the sum of the h*w planes, each shifted by its cell::

    template (O/g*h*w, C/g)  times  search (C/g, H*W)  ->  planes (O, h, w, H, W)  ->  response (O, H', W')

It computes H*W / (H'*W') times as much as is needed, but at the speed of a matrix product, which is ten times
and more that of a convolution with one output channel.

Rules, for the sake of bits that do not depend on the batch:

- The product of a pair is a call of its own, of one shape, and operands and product start on a cache line:
  MKL promises equal bits only to arrays that are aligned alike. Rejected: one batched product, and the
  templates of one search region stacked into one. Both gave other bits for small shapes, depending on the
  numbers of pairs and of threads, and on one thread neither was much faster.
- Planes are added one after the other, columns first, then rows; never by a sum whose order torch may choose.
  Rejected: ``fold``, which adds all planes of a pair in one call. A single pair is no faster by it, and a
  batch is slower. So is adding halves onto halves, in fewer but larger steps.

In bfloat16 the product takes half the time. It is summed in float32 and rounded once to bfloat16, since torch
on a CPU has no product with a wider result; planes are widened again before they are added.

Only a template of several outputs a group has to be prepared: its outputs lie outside of its channels, and
have to come inside. All others are the left factor as they are stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from siamcorr.ops.operands import (
    Form,
    Operands,
    Problem,
    Rows,
    Way,
    aligned,
    any_of,
    empty_aligned,
    view_as_weight,
)
from siamcorr.ops.staging import regions

__all__ = ["MATMUL", "MATMUL_BFLOAT16"]


def _compute(operands: Operands) -> torch.Tensor:
    problem = operands.problem
    outputs, depth, h, w = problem.resolved.weight
    groups, (rows, cols) = problem.resolved.groups, problem.padded
    plane = rows * cols
    left = _left_factors(problem, operands.templates, operands.template_index)
    right = regions(operands, operands.dtype, on_cache_line=True)
    planes = empty_aligned((operands.pairs, outputs * h * w * plane), any_of(operands.search), operands.dtype)
    products = planes.view(-1, groups, outputs // groups * h * w, plane).unbind()
    for template, region, product in zip(operands.template_index, right, products, strict=True):
        torch.bmm(left[template], region.view(groups, depth, plane), out=product)
    if planes.dtype != problem.dtype:
        planes = planes.to(problem.dtype)
    return _add_shifted(planes, problem, row=cols, plane=plane)


def _is_left_factor(problem: Problem) -> bool:
    """Tell whether a template as it is stored is (C/g, O/g*h*w) or (O/g, C/g) for each group."""
    outputs, _, h, w = problem.resolved.weight
    is_depth_first = problem.correlation.kind == "pixelwise" or outputs == problem.resolved.groups
    return is_depth_first or h * w == 1


def _left_factors(
    problem: Problem, rows: Rows, index: Sequence[int]
) -> Sequence[torch.Tensor] | dict[int, torch.Tensor]:
    """Return (g, O/g*h*w, C/g) by template. Viewed from flat memory, so that one template's strides are
    always the same: along axes of size 1 they are arbitrary, and kernels are chosen by strides.
    """
    if isinstance(rows, torch.Tensor):
        return _as_left_factor(problem, aligned(rows)).unbind()
    return {row: _as_left_factor(problem, aligned(rows[row][None]))[0] for row in dict.fromkeys(index)}


def _as_left_factor(problem: Problem, rows: torch.Tensor) -> torch.Tensor:
    outputs, depth, h, w = problem.resolved.weight
    groups, flat = problem.resolved.groups, rows.flatten(1)
    if problem.correlation.kind == "pixelwise" or (outputs == groups and h * w > 1):
        return flat.view(-1, groups, depth, outputs // groups * h * w).transpose(2, 3)
    return flat.view(-1, groups, outputs // groups * h * w, depth)


def _form(problem: Problem, dtype: torch.dtype | None = None) -> Form | None:
    if _is_left_factor(problem):
        return None
    outputs, depth, h, w = problem.resolved.weight
    groups = problem.resolved.groups
    return Form((groups, outputs // groups * h * w, depth), dtype or problem.dtype, ("left factor",))


def _form_bfloat16(problem: Problem) -> Form | None:
    return _form(problem, torch.bfloat16)


def _prepare(problem: Problem, templates: torch.Tensor) -> torch.Tensor:
    if _is_left_factor(problem):
        return templates
    outputs, depth, h, w = problem.resolved.weight
    groups = problem.resolved.groups
    weight = view_as_weight(templates, problem).view(-1, outputs, depth, h * w)
    left = empty_aligned((len(weight), groups, outputs // groups * h * w, depth), weight)
    left.view(-1, outputs, h * w, depth).copy_(weight.transpose(2, 3))
    return left


def _add_shifted(planes: torch.Tensor, problem: Problem, *, row: int, plane: int) -> torch.Tensor:
    """Add planes (B, O*h*w*plane) in place, each moved up and left by its cell, and return (B, O, H', W').

    ``plane`` and ``row`` count the cells of one plane and one row. To move a plane is to start it later in
    its flat memory, so planes are added as single runs. Cells that wrap round a row's end have no meaning,
    and are outside of what is returned.
    """
    batch, step = len(planes), planes.stride(0)
    outputs, _, h, w = problem.resolved.weight
    _, rows, cols = problem.resolved.response
    (stride_rows, stride_cols), (down, right) = problem.correlation.stride, problem.correlation.dilation
    run = (rows - 1) * stride_rows * row + (cols - 1) * stride_cols + 1
    if w > 1:
        length = run + (h - 1) * down * row
        _add_runs(planes.as_strided((w, batch, outputs * h, length), (plane + right, step, w * plane, 1)))
    if h > 1:
        between = w * plane + down * row
        _add_runs(planes.as_strided((h, batch, outputs, run), (between, step, h * w * plane, 1)))
    steps = (step, h * w * plane, stride_rows * row, stride_cols)
    return planes.as_strided((batch, outputs, rows, cols), steps)


def _add_runs(runs: torch.Tensor) -> None:
    """Add all runs onto the first of them."""
    total, *others = runs.unbind()
    for other in others:
        total.add_(other)


MATMUL = Way("matmul", _compute, _form, _prepare)
MATMUL_BFLOAT16 = Way("matmul bfloat16", _compute, _form_bfloat16, _prepare, dtype=torch.bfloat16)
