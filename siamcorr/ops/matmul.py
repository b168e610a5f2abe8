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
"""

from __future__ import annotations

from math import prod

import torch
from torch.nn import functional

from siamcorr.ops.operands import CACHE_LINE_BYTES, Operands

__all__ = ["matmul"]


def matmul(operands: Operands) -> torch.Tensor:
    """Return the responses (B, O, H', W')."""
    outputs, depth, h, w = operands.resolved.weight
    groups = operands.resolved.groups
    search = _padded(operands)
    rows, cols = search.shape[2:]
    by_channel = operands.weight.view(-1, groups, outputs // groups, depth, h * w).transpose(2, 3)
    left = _aligned(by_channel.reshape(len(by_channel), groups, depth, -1)).transpose(2, 3).unbind()
    right = _aligned(search.view(len(search), groups, depth, rows * cols)).unbind()
    planes = _empty_aligned((operands.pairs, outputs * h * w * rows * cols), search)
    products = planes.view(operands.pairs, groups, -1, rows * cols).unbind()
    pairs = zip(operands.template_index, operands.search_index, products, strict=True)
    for template, region, product in pairs:
        torch.bmm(left[template], right[region], out=product)
    return _add_shifted(planes, operands, plane=rows * cols, row=cols)


def _padded(operands: Operands) -> torch.Tensor:
    pad_rows, pad_cols = operands.correlation.padding
    if pad_rows == pad_cols == 0:
        return operands.search
    return functional.pad(operands.search, (pad_cols, pad_cols, pad_rows, pad_rows))


def _add_shifted(planes: torch.Tensor, operands: Operands, *, plane: int, row: int) -> torch.Tensor:
    """Add planes (B, O*h*w*plane) in place, each moved up and left by its cell, and return (B, O, H', W').

    ``plane`` and ``row`` count the cells of one plane and one row. To move a plane is to start it later in
    its flat memory, so planes are added as single runs. Cells that wrap round a row's end have no meaning,
    and are outside of what is returned.
    """
    batch = len(planes)
    outputs, _, h, w = operands.resolved.weight
    _, rows, cols = operands.resolved.response
    (stride_rows, stride_cols), (down, right) = operands.correlation.stride, operands.correlation.dilation
    run = (rows - 1) * stride_rows * row + (cols - 1) * stride_cols + 1
    by_row = planes.view(batch, outputs * h, w * plane)
    _add_runs(by_row, w, step=plane + right, length=run + (h - 1) * down * row)
    by_output = planes.view(batch, outputs, h * w * plane)
    _add_runs(by_output, h, step=w * plane + down * row, length=run)
    steps = (planes.stride(0), h * w * plane, stride_rows * row, stride_cols)
    return planes.as_strided((batch, outputs, rows, cols), steps)


def _add_runs(flat: torch.Tensor, count: int, *, step: int, length: int) -> None:
    """Add ``count`` runs of ``length``, which start every ``step`` cells, onto the first of them."""
    total = flat.narrow(2, 0, length)
    for index in range(1, count):
        total.add_(flat.narrow(2, index * step, length))


def _aligned(samples: torch.Tensor) -> torch.Tensor:
    """Return ``samples`` (N, ...), each one contiguous from a cache line on; copied only if they are not."""
    size_bytes = prod(samples.shape[1:]) * samples.element_size()
    is_aligned = size_bytes % CACHE_LINE_BYTES == samples.data_ptr() % CACHE_LINE_BYTES == 0
    if samples.is_contiguous() and is_aligned:
        return samples.flatten().view(samples.shape)  # with plain strides, along axes of size 1 too
    return _empty_aligned(tuple(samples.shape), samples).copy_(samples)


def _empty_aligned(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    line = CACHE_LINE_BYTES // like.element_size()
    size = prod(shape[1:])
    samples = like.new_empty(shape[0], (size + line - 1) // line * line)
    return samples.narrow(1, 0, size).view(shape)
