"""Fewer multiplications for many templates on one search region: Winograd's minimal filtering, along rows.

h cells of a template's column over 8 rows of the search region give m = 9 - h rows of the response. Turned
round, that is a product of polynomials, of degree 7, which is known from its values at 8 points: here 0, 1,
-1, 2, -2, 1/2, -1/2 and infinity. At the points it takes 8 multiplications in place of m*h::

    response (m)  =  A (m, 8)  times  [ G (8, h) template (h)  *  B (8, 8) search (8) ]

    A[k, i] = point[i]**k    G[i, r] = point[i]**r / prod(point[i] - others)    B[i] = prod(x - others)

At infinity only the highest power counts: a single 1 in A and in G, and in B the product over all points.
Columns and channels are summed before A. So a search region goes through B once, a template through G once,
and a response through A once; between them 18 rows of a response to 6x6 cost 48 products in place of 108.

Rules:

- It pays where many outputs meet one search region: what B makes of a region is twice as large as the region.
- Rows alone are transformed. Rejected: columns too. It saves half of what is left, but a template then takes
  64/36 of its memory, where it takes 48/36 so, and the errors of both sides multiply.
- Eight points, for templates of any height: with nine and ten errors are 3 and 7 times as large.
- An error is as large as 8 rows of the search region make it: NaN and infinity reach all rows of their tile,
  and a cell that is tiny beside its neighbours is as wrong as they are.
- Each cell of a response is a loop of its own, whichever output it is of: its bits depend on the pair alone.

Source: Winograd, Arithmetic Complexity of Computations, 1980; for networks Lavin and Gray, Fast Algorithms
for Convolutional Neural Networks, 2016, whose F(m, h) this is in one dimension.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache, lru_cache
from math import prod
from typing import NamedTuple

import torch

from siamcorr.ops.direct import can_compute
from siamcorr.ops.machine_code import Kernel
from siamcorr.ops.operands import Form, Operands, Problem, Way, any_of, view_as_weight
from siamcorr.ops.staging import regions
from siamcorr.ops.threads import parts_of, run, threads_worth
from siamcorr.ops.tiles import MAX_UNROLLED
from siamcorr.ops.transform_kernel import Matrix, Steps, TransformShape, compiled_transform
from siamcorr.ops.winograd_kernel import MAX_SUMS, SumsShape, compiled_sums, whole_parts

__all__ = ["WINOGRAD", "can_filter", "filter_pays"]

_HALF = Fraction(1, 2)
_POINTS = tuple(Fraction(point) for point in (0, 1, -1, 2, -2, _HALF, -_HALF))
_COUNT = len(_POINTS) + 1  # and infinity
_HEIGHTS = range(3, 8)  # a higher template gives one row by eight multiplications, a lower one saves too few

MAX_POINTS_BYTES = 16 << 20
"""The most that a search region at all points may take: SiamFC's takes 1 MB."""

TRANSFORM_WORK = 4.0
"""How many multiply-adds of the sums take as long as one of a transform, which is more memory than work."""

CALL_WORK = 5_000_000
"""How many take as long as a call by itself does: 70 us."""


def can_filter(problem: Problem) -> bool:
    """Tell whether channels are undivided, templates of 3 to 7 rows, and the operator can be compiled."""
    _, depth, h, w = problem.resolved.weight
    return (
        problem.resolved.groups == 1
        and h in _HEIGHTS
        and problem.correlation.dilation == (1, 1)
        and w * MAX_SUMS <= MAX_UNROLLED
        and _COUNT * depth * _tiles(problem) * problem.padded[1] * problem.dtype.itemsize <= MAX_POINTS_BYTES
        and can_compute(problem)
    )


def filter_pays(problem: Problem, templates: int) -> bool:
    """Tell whether so many templates on one search region take less time than by direct multiply-adds.

    >>> from siamcorr.shapes import Correlation
    >>> siamfc = Problem(Correlation(), (256, 6, 6), (256, 22, 22))
    >>> [filter_pays(siamfc, templates) for templates in (1, 8, 16, 32)]
    [False, False, True, True]
    """
    outputs, depth, h, w = problem.resolved.weight
    _, rows, cols = problem.resolved.response
    tiles = _tiles(problem)
    together = SumsShape(_COUNT, depth, w, tiles, problem.padded[1]).together
    computed = -(-templates * outputs // together) * together
    sums = computed * depth * w * tiles * cols * _COUNT
    transforms = (templates * outputs * h * w + _COUNT * tiles * problem.padded[1]) * depth * _COUNT
    direct = templates * outputs * depth * h * w * rows * cols
    return can_filter(problem) and sums + TRANSFORM_WORK * transforms + CALL_WORK < direct


def _compute(operands: Operands) -> torch.Tensor:
    problem, by_region = operands.problem, _by_region(operands)
    each = regions(replace(operands, search_index=tuple(by_region)), problem.dtype, on_cache_line=False)
    if len(by_region) == 1:
        return _on_one_region(problem, _addresses(operands, operands.template_index), next(each))
    shape = operands.pairs, *problem.resolved.response
    response = any_of(operands.search).new_empty(shape, dtype=problem.dtype)
    for region, pairs in zip(each, by_region.values(), strict=True):
        templates = [operands.template_index[pair] for pair in pairs]
        response[pairs] = _on_one_region(problem, _addresses(operands, templates), region)
    return response


def _by_region(operands: Operands) -> dict[int, list[int]]:
    """Return the pairs of each search region."""
    by_region: dict[int, list[int]] = {}
    for pair, region in enumerate(operands.search_index):
        by_region.setdefault(region, []).append(pair)
    return by_region


def _addresses(operands: Operands, index: Sequence[int]) -> list[int]:
    """Return where the prepared templates of ``index`` are, one address for each of their outputs."""
    rows, outputs = operands.templates, operands.problem.resolved.weight[0]
    if isinstance(rows, torch.Tensor):
        first, row_bytes = rows.data_ptr(), rows.nbytes // len(rows)
        starts = [first + row * row_bytes for row in index]
    else:
        row_bytes = rows[index[0]].nbytes
        starts = [rows[row].data_ptr() for row in index]
    step = row_bytes // outputs
    return [start + output * step for start in starts for output in range(outputs)]


def _on_one_region(problem: Problem, templates: list[int], region: torch.Tensor) -> torch.Tensor:
    """Return the responses of the outputs that start at ``templates``, on (C, H, W)."""
    steps = _steps(problem)
    shape, (outputs, rows, cols) = steps.shape, problem.resolved.response
    blocks = -(-len(templates) // shape.together)
    table = array("q", [*templates, *templates[-1:] * (blocks * shape.together - len(templates))])
    points = region.new_empty(shape.points, shape.depth, shape.tiles, shape.cols)
    sums = region.new_empty(len(table), shape.points, shape.tiles, cols)
    response = region.new_empty(len(templates) // outputs, outputs, rows, cols)
    steps.of_search(region.data_ptr(), points.data_ptr(), 1)
    addresses = table.buffer_info()[0], points.data_ptr(), sums.data_ptr()
    threads = threads_worth(sums.numel() * shape.depth * shape.w)
    run(steps.sums, [(*addresses, *part) for part in parts_of(blocks, threads)], threads)
    steps.of_response(sums.data_ptr(), response.data_ptr(), len(templates))
    return response


def _form(problem: Problem) -> Form:
    outputs, depth, _, w = problem.resolved.weight
    return Form((outputs, _COUNT, depth, w), problem.dtype, ("points",))


def _prepare(problem: Problem, templates: torch.Tensor) -> torch.Tensor:
    outputs, depth, h, w = problem.resolved.weight
    weight = view_as_weight(templates, problem)
    points = templates.new_empty((len(templates), *_form(problem).shape))
    shape = TransformShape(
        _matrices(h)[1],
        planes=depth,
        tiles=1,
        cols=w,
        source=Steps(depth * h * w, h * w, w),
        target=Steps(depth * _COUNT * w, w, depth * w),
    )
    compiled_transform(shape)(weight.data_ptr(), points.data_ptr(), len(templates) * outputs)
    return points


class _Steps(NamedTuple):
    """What is compiled for a problem."""

    shape: SumsShape
    of_search: Kernel
    sums: Kernel
    of_response: Kernel


@lru_cache(maxsize=256)
def _steps(problem: Problem) -> _Steps:
    _, depth, h, w = problem.resolved.weight
    (height, width), (_, rows, cols) = problem.padded, problem.resolved.response
    a, _, b = _matrices(h)
    m, tiles = len(a), _tiles(problem)
    shape = SumsShape(_COUNT, depth, w, tiles, width)
    of_search = TransformShape(
        b,
        planes=depth,
        tiles=tiles,
        cols=width,
        source=Steps(0, height * width, width, m * width, end=height * width),
        target=Steps(0, tiles * width, depth * tiles * width, width),
    )
    of_response = TransformShape(
        a,
        planes=1,
        tiles=tiles,
        cols=cols,
        source=Steps(_COUNT * tiles * cols, 0, tiles * cols, cols),
        target=Steps(rows * cols, 0, cols, m * cols, end=rows * cols),
    )
    return _Steps(shape, compiled_transform(of_search), compiled_sums(shape), compiled_transform(of_response))


def _tiles(problem: Problem) -> int:
    return whole_parts(-(-problem.resolved.response[1] // (_COUNT + 1 - problem.resolved.weight[2])))


@cache
def _matrices(h: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return A, G and B of templates of ``h`` rows."""
    m = _COUNT + 1 - h
    whole = _polynomial(_POINTS)
    others = [tuple(p for p in _POINTS if p != point) for point in _POINTS]
    b = [[*_polynomial(rest), Fraction(0)] for rest in others] + [whole]
    scales = [
        Fraction(1) / prod((point - p for p in rest), start=Fraction(1))
        for point, rest in zip(_POINTS, others, strict=True)
    ]
    g = [[point**r * scale for r in range(h)] for point, scale in zip(_POINTS, scales, strict=True)]
    a = [[point**k for point in _POINTS] + [Fraction(k == m - 1)] for k in range(m)]
    return _floats(a), _floats([*g, [Fraction(r == h - 1) for r in range(h)]]), _floats(b)


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients of the product of (x - root), that of 1 first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _floats(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(map(float, row)) for row in rows)


WINOGRAD = Way("winograd", _compute, _form, _prepare)
