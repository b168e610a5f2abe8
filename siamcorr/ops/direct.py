"""Direct correlation by code that is compiled for the shape, on the CPU: see :mod:`siamcorr.ops.kernel`.

It multiplies little more than is needed, builds nothing in between, and takes templates as they are stored.
"""

from __future__ import annotations

from math import prod
from typing import TypeAlias

import torch

from siamcorr.ops.kernel import compiled, is_available
from siamcorr.ops.operands import Operands, Problem, Way, any_of
from siamcorr.ops.pair_calls import compute_in_place, compute_one_by_one, threads_for
from siamcorr.ops.staging import is_staged
from siamcorr.ops.threads import parts_of, run
from siamcorr.ops.tiles import LANES, MAX_UNROLLED, KernelShape

__all__ = ["DIRECT", "can_compute", "computes_well"]

_LEAST_SHARE = 0.5  # of its speed on whole vectors that the columns of a response allow
_LEAST_TILE_ROWS = 4  # below it a vector is loaded for too few sums
_LEAST_CELLS = 4  # of a template with many outputs: below it a matrix product loads less
_PRODUCT_EXCESS = 1.2  # what a multiply-add of a matrix product takes longer, where it has many outputs

_MAX_PLANE_BYTES = 1 << 16  # of the memory that a kernel takes on its thread's stack

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
    (outputs, *_), groups = problem.resolved.weight, problem.resolved.groups
    some = any_of(operands.search)
    dtype = torch.bfloat16 if some.dtype == torch.bfloat16 else torch.float32
    pads = some.dtype == dtype and _pads_by_itself(problem)
    kernel = compiled(_shape(problem, is_bfloat16=dtype == torch.bfloat16, pads=pads))
    response = some.new_empty((operands.pairs, *problem.resolved.response), dtype=problem.dtype)
    if is_staged(operands, dtype) and not pads:
        compute_one_by_one(kernel, operands, response, outputs, outputs // groups, dtype=dtype)
    elif at_once := _at_once(operands, response):
        run(kernel, at_once, threads_for(problem, operands.pairs))
    else:
        compute_in_place(kernel, operands, response, outputs, outputs // groups)
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
    return [(*addresses, *part, a_group) for part in parts_of(outputs * pairs, threads_for(problem, pairs))]


def _is_run(index: tuple[int, ...]) -> bool:
    return index == tuple(range(index[0], index[0] + len(index)))


def _pads_by_itself(problem: Problem) -> bool:
    """Tell whether the kernel pads a plane as it comes to it: it is one channel, and small."""
    depth = problem.resolved.weight[1]
    return depth == 1 and 4 * prod(problem.padded) <= _MAX_PLANE_BYTES


def _shape(problem: Problem, *, is_bfloat16: bool = False, pads: bool = False) -> KernelShape:
    (_, depth, h, w), correlation = problem.resolved.weight, problem.correlation
    padding = correlation.padding if pads else (0, 0)
    return KernelShape(depth, h, w, *problem.padded, correlation.dilation, is_bfloat16, padding)


DIRECT = Way("direct", _compute)
