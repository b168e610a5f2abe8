"""The correlation theorem, for large templates: transform, multiply by the conjugate, transform back.

A correlation is a product of spectra. Its cost is that of the transforms, whatever the size of the template;
a direct way costs h*w multiply-adds a cell. Per channel of C and O::

    response = inverse( sum over C/g of transform(search) * conjugate(transform(template)) )

Rules:

- A transform is periodic. It is as long as the padded search region, or the next length that is fast, so the
  cells that wrap round are those where the template reaches outside: they are not in the response.
- The template's conjugate spectrum, over the number of cells, is its prepared form: at every request only the
  search region is transformed, once for all templates that meet it.
- Every region, template and pair is transformed by a call of its own, of one shape and from a cache line on,
  so its bits do not depend on the batch. Nor is it slower: what one pair needs stays in cache.
- Back go the columns first, then only the rows that the response has.
- An error is as large as the norm of a whole channel of the response makes it: a cell that is tiny beside its
  neighbours, or one that does not see the NaN in a channel, is as wrong as they are.

Source: the overlap-save method at a single block; for filters of trackers, Bolme et al., MOSSE, 2010.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from siamcorr.ops.operands import Form, Operands, Problem, Way, any_of, empty_aligned, view_as_weight

__all__ = ["FOURIER", "fast_length", "transform_size"]


def fast_length(least: int) -> int:
    """Return the next even number with no prime factor above 5, for which transforms are fast.

    >>> [fast_length(least) for least in (1, 22, 63, 255, 257)]
    [2, 24, 64, 256, 270]
    """
    length = least + least % 2
    while not _is_smooth(length):
        length += 2
    return length


def transform_size(problem: Problem) -> tuple[int, int]:
    """Return the rows and columns that are transformed."""
    rows, cols = problem.padded
    return fast_length(rows), fast_length(cols)


def _is_smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def _form(problem: Problem) -> Form:
    rows, cols = transform_size(problem)
    outputs, depth, _, _ = problem.resolved.weight
    shape = outputs, depth, rows, cols // 2 + 1
    dtype = torch.complex128 if problem.dtype == torch.float64 else torch.complex64
    return Form(shape, dtype, ("spectrum", cols, problem.correlation.dilation))


def _prepare(problem: Problem, templates: torch.Tensor) -> torch.Tensor:
    size = transform_size(problem)
    outputs, depth, h, w = problem.resolved.weight
    down, right = problem.correlation.dilation
    form = _form(problem)
    spectra = empty_aligned(
        (len(templates), *form.shape), torch.empty(0, dtype=form.dtype, device=templates.device)
    )
    spread = templates.new_zeros(outputs, depth, *size)
    cells = spread[..., : down * (h - 1) + 1 : down, : right * (w - 1) + 1 : right]
    for weight, spectrum in zip(view_as_weight(templates, problem), spectra, strict=True):
        cells.copy_(weight)
        torch.conj_physical(torch.fft.rfft2(spread, norm="forward"), out=spectrum)
    return spectra


def _compute(operands: Operands) -> torch.Tensor:
    problem = operands.problem
    outputs, rows, cols = problem.resolved.response
    (down, right), (_, width) = problem.correlation.stride, transform_size(problem)
    response = any_of(operands.search).new_empty((operands.pairs, outputs, rows, cols), dtype=operands.dtype)
    margins = _margins(problem)
    order = sorted(range(operands.pairs), key=operands.search_index.__getitem__)
    met = -1
    for pair in order:
        if operands.search_index[pair] != met:
            met = operands.search_index[pair]
            region = torch.fft.rfft2(functional.pad(operands.search[met].to(operands.dtype), margins))
        spectrum = _summed(region, operands.templates[operands.template_index[pair]], problem)
        columns = torch.fft.ifft(spectrum, dim=-2, norm="forward")[..., : (rows - 1) * down + 1 : down, :]
        whole = torch.fft.irfft(columns, n=width, norm="forward")
        response[pair] = whole[..., : (cols - 1) * right + 1 : right]
    return response


def _margins(problem: Problem) -> tuple[int, int, int, int]:
    """Return the zeros to the left and right of a search region, above and below it, up to a fast length."""
    (top, left), (_, rows, cols) = problem.correlation.padding, problem.search
    height, width = transform_size(problem)
    return left, width - left - cols, top, height - top - rows


def _summed(region: torch.Tensor, template: torch.Tensor, problem: Problem) -> torch.Tensor:
    """Return the spectra (O, ...) of a response: products, summed over the channels of a group."""
    outputs, depth, _, _ = problem.resolved.weight
    groups = problem.resolved.groups
    if depth == 1 and outputs == groups:
        return region * template[:, 0]
    total = template.new_zeros(groups, outputs // groups, *template.shape[2:])
    by_group = template.view(groups, -1, *template.shape[1:])
    for channel in range(depth):
        total.addcmul_(
            region.view(groups, depth, *region.shape[1:])[:, channel, None], by_group[:, :, channel]
        )
    return total.view(outputs, *template.shape[2:])


FOURIER = Way("fft", _compute, _form, _prepare)
