"""Which way computes a call: decided by the shapes of one pair alone.

Rules:

- The number of pairs has no say in the choice of a way. Else an answer would depend on its neighbours.
- It does not matter to the bits how many pairs go into one call of a way: see the ways that are picked here.

| one pair | way | why its bits do not depend on the batch |
|---|---|---|
| one channel a group, one output a group | trick | each output channel is a loop of its own over h*w cells |
| product fits, and is not mostly waste | matmul | each pair is a product of its own |
| else | trick, pair by pair | each pair is a convolution of its own, from a cache line on |

``SIAMCORR_PLAN=trick`` in the environment forces the plain trick on the whole batch, for comparison: right to
1e-5, but its last bits do depend on the batch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import ceil

import torch

from siamcorr.errors import InvalidArgument
from siamcorr.ops.matmul import matmul
from siamcorr.ops.operands import Operands, Way
from siamcorr.ops.trick import trick

__all__ = ["MAX_PRODUCT_BYTES", "MAX_WASTE", "PLAN_VARIABLE", "Plan", "plan", "planned"]

PLAN_VARIABLE = "SIAMCORR_PLAN"

MAX_PRODUCT_BYTES = 16 << 20
"""The most that the planes of one pair may take. SiamFC's take 70 KB, an up-channel RPN head's 0.5 MB."""

MAX_WASTE = 16
"""How much more than needed matmul may compute: beyond it, a template nearly fills its search region."""

_MATMUL_WORKSPACE_BYTES = 4 << 20
_TRICK_WORKSPACE_BYTES = 9_000_000  # in cache from start to end: 1.2 times as fast as batches of 32

_TOLERATED_EXCESS = 1.75
"""How much more than fits is still done in one call: a call costs something by itself. Below 2, so that what
goes pair by pair still does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A way, and how many pairs it takes in one call."""

    way: Way
    pairs_per_call: int


def planned(operands: Operands) -> torch.Tensor:
    """Return the responses (B, O, H', W') by the way that :func:`plan` picks. A way itself.

    Raises:
        InvalidArgument: see :func:`plan`.
    """
    chosen = plan(operands)
    if operands.pairs <= chosen.pairs_per_call * _TOLERATED_EXCESS:
        return chosen.way(operands).contiguous()
    response = operands.search.new_empty(operands.pairs, *operands.resolved.response)
    calls = ceil(operands.pairs / chosen.pairs_per_call)
    step = ceil(operands.pairs / calls)
    for start in range(0, operands.pairs, step):
        stop = min(start + step, operands.pairs)
        response[start:stop] = chosen.way(operands.part(start, stop))
    return response


def plan(operands: Operands) -> Plan:
    """Return how to compute ``operands``.

    Raises:
        InvalidArgument: names ``SIAMCORR_PLAN``, if it is set to an unknown plan.
    """
    forced = os.environ.get(PLAN_VARIABLE, "auto")
    if forced not in {"auto", "trick"}:
        raise InvalidArgument.found(PLAN_VARIABLE, repr(forced)[:80], "auto or trick")
    if forced == "trick":
        return Plan(trick, operands.pairs)
    return _by_shape(operands)


def _by_shape(operands: Operands) -> Plan:
    resolved = operands.resolved
    outputs, depth, h, w = resolved.weight
    _, response_rows, response_cols = resolved.response
    (pad_rows, pad_cols), (rows, cols) = operands.correlation.padding, operands.search.shape[2:]
    cells = (rows + 2 * pad_rows) * (cols + 2 * pad_cols)
    response_cells = response_rows * response_cols
    element_bytes = operands.search.element_size()
    if depth == 1 and outputs == resolved.groups > 1:
        pair_bytes = resolved.groups * (rows * cols + response_cells) * element_bytes
        return Plan(trick, max(1, _TRICK_WORKSPACE_BYTES // pair_bytes))
    product_bytes = outputs * h * w * cells * element_bytes
    if product_bytes > MAX_PRODUCT_BYTES or cells > MAX_WASTE * response_cells:
        return Plan(trick, 1)
    return Plan(matmul, max(1, _MATMUL_WORKSPACE_BYTES // product_bytes))
