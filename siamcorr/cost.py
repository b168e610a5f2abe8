"""What a correlation costs, counted from shapes: parameters, multiply-adds, bytes.

The counts are of the definition, not of the way that computes it: the matrix product of
:mod:`siamcorr.ops.matmul` multiplies more, and a cache saves bytes. They say what a kind costs beside
another, and how far from the machine's limits a measured time is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from siamcorr.errors import InvalidArgument
from siamcorr.shapes import MAX_COUNT, Correlation, resolve

__all__ = ["Cost", "cost"]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call.

    ``response_shape`` is (B, O, H', W'), or (B, K, H', W') with a head. ``parameters`` are the numbers that
    one response depends on beside its search region: template, bias, head and head bias. ``multiply_adds``
    are those of all B pairs, a product and its sum being one, without gain and biases. ``bytes_moved`` is
    what has to be read or written at least: every pair's template, search region and response once; bias,
    head and head bias once a call; and with a head the map before it twice, written and read.
    """

    response_shape: tuple[int, int, int, int]
    parameters: int
    multiply_adds: int
    bytes_moved: int


def cost(
    correlation: Correlation,
    template_shape: Sequence[int],
    search_shape: Sequence[int],
    *,
    batch: int = 1,
    bias: bool = False,
    head_shape: tuple[int, int] | None = None,
    head_bias: bool = False,
    itemsize: int = 4,
) -> Cost:
    """Count what ``batch`` pairs cost.

    Args:
        correlation: the settings.
        template_shape: as stored, of one sample; see :func:`siamcorr.shapes.resolve`.
        search_shape: (C, H, W).
        batch: B, the number of pairs.
        bias: whether each of the O outputs has a bias.
        head_shape: (K, O/groups) of a 1x1 convolution after the correlation, or None.
        head_bias: whether each of its K outputs has a bias.
        itemsize: bytes a number.

    Raises:
        InvalidArgument: names the argument.

    The textbook case, 4 channels of 5x5 to 10 of 3x3 by 3x3 weights, with biases: ordinary, in 2 groups,
    depthwise with a 1x1 head, and the same with its head in 2 groups.

    >>> def show(kind, shape, **more):
    ...     counted = cost(kind, shape, (4, 5, 5), bias=True, **more)
    ...     return counted.response_shape, counted.parameters, counted.multiply_adds
    >>> show(Correlation("grouped", groups=1), (10, 4, 3, 3))
    ((1, 10, 3, 3), 370, 3240)
    >>> show(Correlation("grouped", groups=2), (10, 2, 3, 3))
    ((1, 10, 3, 3), 190, 1620)
    >>> show(Correlation("depthwise"), (4, 3, 3), head_shape=(10, 4), head_bias=True)
    ((1, 10, 3, 3), 90, 684)
    >>> show(Correlation("depthwise"), (4, 3, 3), head_shape=(10, 2), head_bias=True)
    ((1, 10, 3, 3), 70, 504)

    684 is 324 for the depthwise step and 360 for the head, exactly; the 680 that is also quoted is rounded.
    """
    _check_count(batch, "batch")
    _check_count(itemsize, "itemsize")
    resolved = resolve(correlation, template_shape, search_shape)
    outputs, rows, cols = resolved.response
    weights, cells = prod(resolved.weight), rows * cols
    shared = outputs if bias else 0
    multiply_adds = weights * cells
    moved = weights + prod(search_shape) + outputs * cells
    if head_shape is None:
        if head_bias:
            raise InvalidArgument.found("head_bias", True, "False without head_shape")
    else:
        head_weights = _head_weights(head_shape, outputs)
        outputs = head_shape[0]
        shared += head_weights + (outputs if head_bias else 0)
        multiply_adds += head_weights * cells
        moved += (resolved.response[0] + outputs) * cells
    return Cost(
        response_shape=(batch, outputs, rows, cols),
        parameters=weights + shared,
        multiply_adds=batch * multiply_adds,
        bytes_moved=(batch * moved + shared) * itemsize,
    )


def _head_weights(head_shape: tuple[int, int], channels: int) -> int:
    if not isinstance(head_shape, tuple | list) or len(head_shape) != 2:
        raise InvalidArgument.found("head_shape", repr(head_shape)[:80], "(K, O/groups)")
    outputs, depth = head_shape
    _check_count(outputs, "head_shape")
    _check_count(depth, "head_shape")
    if channels % depth or outputs % (channels // depth):
        expected = f"O/groups dividing the {channels} channels, and K a multiple of the groups"
        raise InvalidArgument.found("head_shape", head_shape, expected)
    return outputs * depth


def _check_count(value: int, field: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise InvalidArgument.found(field, repr(value)[:80], f"integers from 1 to {MAX_COUNT}")
