"""What ``xcorr`` refuses: all that can be wrong with its arguments beside the shapes, by name.

:mod:`siamcorr.shapes` refuses wrong settings and shapes of one sample. Below these two nothing checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch

from siamcorr import arguments
from siamcorr.arguments import as_pairs
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, Resolved, resolve

__all__ = ["Indices", "as_offset", "common_dtype", "paired", "resolve_batches"]

Indices: TypeAlias = arguments.Indices | torch.Tensor

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


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
    """Return the template's and the search region's index of each pair; tensors are indices too.

    Raises:
        InvalidArgument: names ``pairs``, or ``template`` where no pairs are given and the numbers differ.

    >>> paired((torch.tensor([0, 1]), [2, 2]), 2, 3)
    ((0, 1), (2, 2))
    """
    if isinstance(pairs, tuple | list) and len(pairs) == 2:
        left, right = (side.tolist() if isinstance(side, torch.Tensor) else side for side in pairs)
        return as_pairs((left, right), templates, regions)
    return as_pairs(pairs, templates, regions)


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
