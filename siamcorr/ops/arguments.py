"""What ``xcorr`` refuses: all that can be wrong with its arguments beside the shapes, by name.

:mod:`siamcorr.shapes` refuses wrong settings and shapes of one sample. Below these two nothing checks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TypeAlias

import torch

from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, Resolved, resolve

__all__ = ["Indices", "as_gain", "as_offset", "common_dtype", "paired", "resolve_batches"]

Indices: TypeAlias = Sequence[int] | torch.Tensor

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def common_dtype(template: torch.Tensor, search: torch.Tensor) -> torch.dtype:
    """Return the dtype to compute in: float32, or float64 if one of the two is.

    Raises:
        InvalidArgument: names ``template`` or ``search``: no tensor, of another dtype, or on two devices.
    """
    for field, value in (("template", template), ("search", search)):
        if not isinstance(value, torch.Tensor):
            raise InvalidArgument.found(field, type(value).__name__, "a tensor")
        if value.dtype not in _DTYPES:
            expected = "float32, float16, bfloat16 or float64"
            raise InvalidArgument.found(field, f"dtype {value.dtype}", expected)
    if template.device != search.device:
        raise InvalidArgument.found("template", template.device, f"{search.device}, where search is")
    return torch.float64 if torch.float64 in {template.dtype, search.dtype} else torch.float32


def resolve_batches(correlation: Correlation, template: torch.Tensor, search: torch.Tensor) -> Resolved:
    """Return the operator of one pair of these batches.

    Raises:
        InvalidArgument: names ``template``, ``search``, ``groups`` or ``k``.

    >>> resolve_batches(Correlation(), torch.zeros(256, 6, 6), torch.zeros(1, 256, 22, 22))
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: template: found shape (256, 6, 6), expected (T, C, h, w)
    """
    stored = "(T, O, C/g, h, w)" if correlation.kind == "grouped" else "(T, C, h, w)"
    for field, value, expected in (("template", template, stored), ("search", search, "(S, C, H, W)")):
        if value.ndim != 1 + expected.count(","):
            raise InvalidArgument.found(field, f"shape {tuple(value.shape)}", expected)
        if len(value) == 0:
            raise InvalidArgument.found(field, f"shape {tuple(value.shape)}", "a batch of at least one")
    return resolve(correlation, template.shape[1:], search.shape[1:])


def paired(
    pairs: tuple[Indices, Indices] | None, templates: int, regions: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the template's and the search region's index of each pair.

    Raises:
        InvalidArgument: names ``pairs``, or ``template`` where no pairs are given and the numbers differ.

    >>> paired(None, 1, 3)
    ((0, 0, 0), (0, 1, 2))
    """
    if pairs is None:
        if templates != regions and 1 not in {templates, regions}:
            found = f"{templates} templates for {regions} search regions"
            raise InvalidArgument.found("template", found, "equal numbers, or one of either")
        both = range(max(templates, regions))
        return tuple(i % templates for i in both), tuple(i % regions for i in both)
    if not isinstance(pairs, tuple | list) or len(pairs) != 2:
        raise InvalidArgument.found("pairs", repr(pairs)[:80], "(template indices, search indices)")
    left, right = _indices(pairs[0], templates), _indices(pairs[1], regions)
    if len(left) != len(right) or not left:
        found = f"{len(left)} and {len(right)} indices"
        raise InvalidArgument.found("pairs", found, "two sequences of one length, at least 1")
    return left, right


def as_gain(gain: float) -> float:
    """Return the gain, a finite number.

    Raises:
        InvalidArgument: names ``gain``.
    """
    try:
        number = float(gain) if isinstance(gain, Real) and not isinstance(gain, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidArgument.found("gain", repr(gain)[:80], "a finite number")
    return number


def as_offset(
    bias: float | Sequence[float] | torch.Tensor, outputs: int, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Return the bias in the shape in which it is added to a response: (), (1, 1, 1) or (O, 1, 1).

    Raises:
        InvalidArgument: names ``bias``.
    """
    expected = f"a number, or ({outputs},) numbers"
    try:
        offset = torch.as_tensor(bias, dtype=dtype, device=device).detach()
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidArgument.found("bias", repr(bias)[:80], expected) from error
    if offset.ndim > 1 or len(offset.reshape(-1)) not in {1, outputs}:
        raise InvalidArgument.found("bias", f"shape {tuple(offset.shape)}", expected)
    return offset if offset.ndim == 0 else offset[:, None, None]


def _indices(indices: Indices, count: int) -> tuple[int, ...]:
    expected = f"one axis of integers from 0 to {count - 1}"
    if isinstance(indices, torch.Tensor):
        if indices.ndim != 1 or indices.dtype not in _INTEGERS:
            raise InvalidArgument.found("pairs", f"{indices.dtype} {tuple(indices.shape)}", expected)
        indices = indices.tolist()
    if not isinstance(indices, Iterable):
        raise InvalidArgument.found("pairs", repr(indices)[:80], expected)
    checked = []
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, Integral) or not 0 <= int(index) < count:
            raise InvalidArgument.found("pairs", repr(index)[:80], expected)
        checked.append(int(index))
    return tuple(checked)
