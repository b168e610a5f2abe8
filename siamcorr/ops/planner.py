"""Which way computes a call: decided by the shapes of one pair, and by what the caller asks for.

Rules:

- The number of pairs has no say in the choice of a way. Else an answer would depend on its neighbours.
- It does not matter to the bits how many pairs go into one call of a way: see the ways that are picked here.

| one pair | way | why its bits do not depend on the batch |
|---|---|---|
| transforms are far less work than direct multiply-adds | fft | each transform is a call of its own |
| a few hundred template cells, no stride, CPU and compiler | direct | each output is a loop of its own |
| pixel-wise, CPU with AVX-512 and compiler | product | each cell is summed by itself |
| one channel a group, one output a group | trick | each output channel is a loop of its own over h*w cells |
| product fits, and is not mostly waste | matmul | each pair is a product of its own |
| else | trick, pair by pair | each pair is a convolution of its own, from a cache line on |

| a call of many templates on one search region | way | |
|---|---|---|
| direct by pair, 3 to 7 rows, undivided channels, less work | winograd | each output is a loop of its own |
| undivided channels, less work than by matmul, or in bfloat16 | one search | it is never part of a batch |

With precision ``bfloat16`` product and matmul become matmul bfloat16, one search becomes one search bfloat16.
Nothing else changes: transforms would lose too much, and convolutions of single channels wait for memory.

``SIAMCORR_PLAN=trick`` in the environment forces the plain trick on the whole batch, for comparison: right to
1e-5, but its last bits do depend on the batch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import log2, prod

from siamcorr.errors import InvalidArgument
from siamcorr.ops.direct import DIRECT, computes_well
from siamcorr.ops.fourier import FOURIER, transform_size
from siamcorr.ops.matmul import MATMUL, MATMUL_BFLOAT16
from siamcorr.ops.one_search import ONE_SEARCH, ONE_SEARCH_BFLOAT16, is_less_work
from siamcorr.ops.operands import Problem, Way
from siamcorr.ops.product import PRODUCT, multiplies_well
from siamcorr.ops.trick import TRICK
from siamcorr.ops.winograd import WINOGRAD, can_filter, filter_pays

__all__ = [
    "MAX_PRODUCT_BYTES",
    "MAX_WASTE",
    "PLAN_VARIABLE",
    "PRECISIONS",
    "Plan",
    "as_precision",
    "forced_plan",
    "one_search_pays",
    "plan",
]

PLAN_VARIABLE = "SIAMCORR_PLAN"

PRECISIONS = ("float32", "bfloat16")

MAX_PRODUCT_BYTES = 16 << 20
"""The most that the planes of one pair may take. SiamFC's take 70 KB, an up-channel RPN head's 0.5 MB."""

MAX_WASTE = 16
"""How much more than needed matmul may compute: beyond it, a template nearly fills its search region."""

TRANSFORM_WORK = 16.0
"""How many direct multiply-adds take as long as a transform takes for a cell and a halving."""

MAX_SPECTRUM_BYTES = 64 << 20
"""The most that one template's spectrum may take."""

_PAIRS_AND_PRECISION = {
    (MATMUL, "float32"): 1.0,
    (PRODUCT, "float32"): 1.0,
    (MATMUL_BFLOAT16, "bfloat16"): 1.0,
    (DIRECT, "bfloat16"): 1.6,
}
"""Ways of pairs that one convolution for all can be better than, and how much longer a cell takes by them."""

_MATMUL_WORKSPACE_BYTES = 4 << 20
_TRICK_WORKSPACE_BYTES = 9_000_000  # in cache from start to end: 1.2 times as fast as batches of 32


@dataclass(frozen=True, slots=True)
class Plan:
    """A way, how many pairs it takes in one call (None: all), and why it was picked."""

    way: Way
    pairs_per_call: int | None
    why: str

    @property
    def name(self) -> str:
        """Its name: trick, direct, product, matmul, fft, winograd, one search, maybe with bfloat16 behind."""
        return self.way.name

    @property
    def is_one_search(self) -> bool:
        """Whether all pairs of a call have to meet one search region."""
        return self.way in {ONE_SEARCH, ONE_SEARCH_BFLOAT16}


def plan(problem: Problem, *, precision: str = "float32", one_search: bool = False) -> Plan:
    """Return how to compute pairs of ``problem``, or a call of many templates on ``one_search`` region.

    Raises:
        InvalidArgument: names ``SIAMCORR_PLAN``, if it is set to an unknown plan.

    >>> from siamcorr.shapes import Correlation
    >>> plan(Problem(Correlation("pixelwise"), (96, 8, 8), (96, 16, 16)), precision="bfloat16").name
    'matmul bfloat16'
    """
    if forced_plan() == "trick":
        return Plan(TRICK, None, f"{PLAN_VARIABLE}=trick")
    by_pair = _by_shape(problem, precision)
    if one_search and _may_be_filtered(by_pair.way, precision) and can_filter(problem):
        return Plan(WINOGRAD, None, "many templates, one search region: fewer multiplications")
    if one_search and problem.resolved.groups == 1 and (by_pair.way, precision) in _PAIRS_AND_PRECISION:
        at_once = ONE_SEARCH_BFLOAT16 if precision == "bfloat16" else ONE_SEARCH
        return Plan(at_once, None, "many templates, one search region, undivided channels")
    return by_pair


def one_search_pays(problem: Problem, templates: int, precision: str = "float32") -> bool:
    """Tell whether a call of so many templates on one search region is better not computed as pairs."""
    way = _by_shape(problem, precision).way
    if _may_be_filtered(way, precision):
        return filter_pays(problem, templates)
    excess = _PAIRS_AND_PRECISION.get((way, precision))
    cells = prod(problem.padded if way is not DIRECT else problem.resolved.response[1:])
    return excess is not None and is_less_work(problem, templates, pair_cells=excess * cells)


def forced_plan() -> str:
    """Return ``auto``, or the plan that the environment forces.

    Raises:
        InvalidArgument: names ``SIAMCORR_PLAN``.
    """
    forced = os.environ.get(PLAN_VARIABLE, "auto")
    if forced not in {"auto", "trick"}:
        raise InvalidArgument.found(PLAN_VARIABLE, repr(forced)[:80], "auto or trick")
    return forced


def as_precision(precision: object) -> str:
    """Check a precision.

    Raises:
        InvalidArgument: names ``precision``.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise InvalidArgument.found("precision", repr(precision)[:80], "float32 or bfloat16")
    return precision


def _may_be_filtered(by_pair: Way, precision: str) -> bool:
    return by_pair is DIRECT and precision == "float32"


def _by_shape(problem: Problem, precision: str) -> Plan:
    resolved = problem.resolved
    outputs, depth, h, w = resolved.weight
    channels, rows, cols = problem.search
    cells, response_cells = prod(problem.padded), prod(resolved.response[1:])
    itemsize = problem.dtype.itemsize
    is_by_channel = depth == 1 and outputs == resolved.groups > 1
    product_bytes = outputs * h * w * cells * itemsize
    is_product = product_bytes <= MAX_PRODUCT_BYTES and cells <= MAX_WASTE * response_cells
    is_direct = is_by_channel or computes_well(problem) or not is_product
    direct = prod(resolved.weight) * (response_cells if is_direct else cells)
    if _is_worth_transforms(problem, direct):
        return Plan(FOURIER, 1, f"{direct:.2g} direct multiply-adds are more than the transforms")
    if computes_well(problem):
        return Plan(DIRECT, None, "compiled for the shape")
    if precision == "float32" and multiplies_well(problem):
        return Plan(PRODUCT, None, "a matrix product, compiled for the shape")
    if is_by_channel:
        pair_bytes = (channels * rows * cols + prod(resolved.response)) * itemsize
        return Plan(TRICK, max(1, _TRICK_WORKSPACE_BYTES // pair_bytes), "one channel and one output a group")
    if not is_product:
        return Plan(TRICK, 1, "the matrix product would be too large, or mostly waste")
    way = MATMUL_BFLOAT16 if precision == "bfloat16" else MATMUL
    return Plan(way, max(1, _MATMUL_WORKSPACE_BYTES // product_bytes), "the matrix product fits")


def _is_worth_transforms(problem: Problem, direct: int) -> bool:
    outputs, depth, _, _ = problem.resolved.weight
    size = prod(transform_size(problem))
    spectrum_bytes = outputs * depth * size * problem.dtype.itemsize
    transforms = (problem.search[0] + outputs * depth + outputs) * size * log2(size)
    return spectrum_bytes <= MAX_SPECTRUM_BYTES and direct > TRANSFORM_WORK * transforms
