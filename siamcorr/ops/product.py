"""Pixel-wise correlation as a matrix product that is compiled for its shape.

See :mod:`siamcorr.ops.product_kernel`. A library's product is as fast, but is called pair by pair. Here all
pairs of a batch are one call, beside which other threads run undisturbed: NanoTrack's two correlations of 32
pairs take 0.8 of the time on two threads (AVX-512).
"""

from __future__ import annotations

from math import prod

import torch

from siamcorr.ops.kernel import is_available
from siamcorr.ops.machine_code import has_wide_registers
from siamcorr.ops.operands import Operands, Problem, Way, any_of
from siamcorr.ops.pair_calls import compute_in_place, compute_one_by_one
from siamcorr.ops.product_kernel import ProductShape, compiled_product

__all__ = ["PRODUCT", "multiplies_well"]

_CALL_MULTIPLY_ADDS = 1_200_000
"""As many take 15 us: what a pair costs beside its product, where a library computes that."""


def multiplies_well(problem: Problem) -> bool:
    """Tell whether the operator is such a product, can be compiled, and is of a size that is fast."""
    if problem.correlation.kind != "pixelwise" or problem.device != "cpu" or problem.dtype != torch.float32:
        return False
    shape = _shape(problem)
    wasted = shape.computed - shape.outputs * shape.cells
    return shape.depth * wasted <= _CALL_MULTIPLY_ADDS and is_available() and has_wide_registers()


def _compute(operands: Operands) -> torch.Tensor:
    shape, some = _shape(operands.problem), any_of(operands.search)
    kernel = compiled_product(shape)
    response = some.new_empty((operands.pairs, *operands.problem.resolved.response), dtype=torch.float32)
    if some.dtype == torch.float32:
        compute_in_place(kernel, operands, response, shape.blocks)
    else:
        compute_one_by_one(kernel, operands, response, shape.blocks, dtype=torch.float32)
    return response


def _shape(problem: Problem) -> ProductShape:
    outputs, depth, *_ = problem.resolved.weight
    return ProductShape(depth, outputs, prod(problem.search[1:]))


PRODUCT = Way("product", _compute)
