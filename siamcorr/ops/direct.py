"""Direct correlation by code that is compiled for the shape, on the CPU: see :mod:`siamcorr.ops.kernel`.

It multiplies little more than is needed, builds nothing in between, and takes templates as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TypeAlias

import torch

from siamcorr.ops.kernel import compiled, is_available
from siamcorr.ops.operands import Operands, Problem, Way, any_of
from siamcorr.ops.staging import is_staged, regions
from siamcorr.ops.threads import parts_of, run, threads_worth
from siamcorr.ops.tiles import LANES, MAX_UNROLLED, KernelShape

__all__ = ["DIRECT", "can_compute", "computes_well"]

_LEAST_SHARE = 0.5  # of its speed on whole vectors that the columns of a response allow
_LEAST_TILE_ROWS = 4  # below it a vector is loaded for too few sums
_LEAST_CELLS = 4  # of a template with many outputs: below it a matrix product loads less
_PRODUCT_EXCESS = 1.2  # what a multiply-add of a matrix product takes longer, where it has many outputs

_Call: TypeAlias = tuple[int, int, int, int, int, int]


def can_compute(problem: Problem) -> bool:
    """Tell whether the operator is one that can be compiled, and there is a compiler."""
    return (
        problem.device == "cpu"
        and problem.dtype == torch.float32
        and problem.correlation.kind != "pixelwise"
        and problem.correlation.stride == (1, 1)
        and is_available()
    )


def computes_well(problem: Problem) -> bool:
    """Tell whether it is also of a size that is fast."""
    outputs, _, h, w = problem.resolved.weight
    _, rows, cols = problem.resolved.response
    cells = rows * LANES * _shape(problem).time
    if h * w * _LEAST_TILE_ROWS > MAX_UNROLLED or rows * cols < _LEAST_SHARE * cells:
        return False
    is_product = h * w < _LEAST_CELLS or cells > _PRODUCT_EXCESS * prod(problem.padded)
    return not (is_product and outputs > problem.resolved.groups) and can_compute(problem)


def _compute(operands: Operands) -> torch.Tensor:
    problem = operands.problem
    some = any_of(operands.search)
    dtype = torch.bfloat16 if some.dtype == torch.bfloat16 else torch.float32
    kernel = compiled(_shape(problem, is_bfloat16=dtype == torch.bfloat16))
    response = some.new_empty((operands.pairs, *problem.resolved.response), dtype=problem.dtype)
    if is_staged(operands, dtype):
        for calls in _pair_by_pair(operands, dtype, response):
            run(kernel, calls, _threads(problem, 1))
    else:
        calls = _at_once(operands, response) or _in_place(operands, response)
        run(kernel, calls, _threads(problem, operands.pairs))
    return response


def _at_once(operands: Operands, response: torch.Tensor) -> list[_Call]:
    """Return one call for all pairs, split for threads, or none if their operands do not lie in order."""
    problem, templates, search = operands.problem, operands.templates, operands.search
    (outputs, *_), groups, pairs = problem.resolved.weight, problem.resolved.groups, operands.pairs
    if not (isinstance(templates, torch.Tensor) and isinstance(search, torch.Tensor)):
        return []
    if not _is_run(operands.template_index):
        return []
    if _is_run(operands.search_index):
        a_group = outputs // groups
    elif groups == 1 and len(set(operands.search_index)) == 1:
        a_group = outputs * pairs
    else:
        return []
    template, region = templates[operands.template_index[0]], search[operands.search_index[0]]
    addresses = template.data_ptr(), region.data_ptr(), response.data_ptr()
    return [(*addresses, *part, a_group) for part in parts_of(outputs * pairs, _threads(problem, pairs))]


def _in_place(operands: Operands, response: torch.Tensor) -> list[_Call]:
    """Return the calls of all pairs, one for each thread that may help, where no region has to be staged."""
    (outputs, *_), groups = operands.problem.resolved.weight, operands.problem.resolved.groups
    parts = parts_of(outputs, _threads(operands.problem, operands.pairs))
    answer, answer_bytes = response.data_ptr(), response.nbytes // operands.pairs
    calls = []
    for template, region in zip(operands.template_index, operands.search_index, strict=True):
        addresses = operands.templates[template].data_ptr(), operands.search[region].data_ptr(), answer
        calls += [(*addresses, *part, outputs // groups) for part in parts]
        answer += answer_bytes
    return calls


def _pair_by_pair(operands: Operands, dtype: torch.dtype, response: torch.Tensor) -> Iterator[list[_Call]]:
    """Yield the calls of each pair, one for each thread that may help, good until the next."""
    (outputs, *_), groups = operands.problem.resolved.weight, operands.problem.resolved.groups
    parts = parts_of(outputs, _threads(operands.problem, operands.pairs))
    pairs = zip(operands.template_index, regions(operands, dtype, on_cache_line=False), response, strict=True)
    for template, region, answer in pairs:
        addresses = operands.templates[template].data_ptr(), region.data_ptr(), answer.data_ptr()
        yield [(*addresses, *part, outputs // groups) for part in parts]


def _is_run(index: tuple[int, ...]) -> bool:
    return index == tuple(range(index[0], index[0] + len(index)))


def _shape(problem: Problem, *, is_bfloat16: bool = False) -> KernelShape:
    _, depth, h, w = problem.resolved.weight
    return KernelShape(depth, h, w, *problem.padded, problem.correlation.dilation, is_bfloat16)


def _threads(problem: Problem, pairs: int) -> int:
    """Return on how many threads to compute so many pairs: no more than torch would, and than is worth it."""
    multiply_adds = pairs * prod(problem.resolved.weight) * prod(problem.resolved.response[1:])
    return threads_worth(multiply_adds)


DIRECT = Way("direct", _compute)
