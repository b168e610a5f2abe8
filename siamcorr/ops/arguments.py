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
from siamcorr.shapes import Correlation

__all__ = ["Indices", "as_offset", "check_device", "check_regions", "check_templates", "paired"]

Indices: TypeAlias = arguments.Indices | torch.Tensor

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def check_templates(correlation: Correlation, template: torch.Tensor) -> None:
    """Refuse what is no tensor (T, ...) of templates as ``correlation`` stores them.

    Raises:
        InvalidArgument: names ``template``.

    >>> check_templates(Correlation(), torch.zeros(256, 6, 6))
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: template: found shape (256, 6, 6), expected (T, C, h, w)
    """
    _check_batch(
        template, "template", "(T, O, C/g, h, w)" if correlation.kind == "grouped" else "(T, C, h, w)"
    )


def check_regions(search: torch.Tensor) -> None:
    """Refuse what is no tensor (S, C, H, W) of search regions.

    Raises:
        InvalidArgument: names ``search``.
    """
    _check_batch(search, "search", "(S, C, H, W)")


def check_device(template: torch.device, search: torch.Tensor) -> None:
    """Refuse templates that are elsewhere than the search regions.

    Raises:
        InvalidArgument: names ``template``.
    """
    if template != search.device:
        raise InvalidArgument.found("template", template, f"{search.device}, where search is")


def _check_batch(value: object, field: str, expected: str) -> None:
    if not isinstance(value, torch.Tensor):
        raise InvalidArgument.found(field, type(value).__name__, "a tensor")
    if value.dtype not in _DTYPES:
        raise InvalidArgument.found(field, f"dtype {value.dtype}", "float32, float16, bfloat16 or float64")
    if value.ndim != 1 + expected.count(","):
        raise InvalidArgument.found(field, f"shape {tuple(value.shape)}", expected)
    if len(value) == 0:
        raise InvalidArgument.found(field, f"shape {tuple(value.shape)}", "a batch of at least one")


def paired(
    pairs: tuple[Indices, Indices] | None, templates: int, regions: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the template's and the search region's index of each pair; tensors are indices too.

    Raises:
        InvalidArgument: names ``pairs``, or ``template`` where no pairs are given and the numbers differ.

    >>> paired((torch.tensor([0, 1]), [2, 2]), 2, 3)
    ((0, 1), (2, 2))
    """
    if pairs is None and templates == regions == 1:
        return (0,), (0,)
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
