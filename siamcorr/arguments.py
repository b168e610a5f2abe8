"""Checks of single arguments of a call: numbers, names, arrays, indices. Each error names the argument."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from numbers import Real
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument

__all__ = [
    "FEATURE_DTYPES",
    "MAX_NAME_LENGTH",
    "MAX_NUMBERS",
    "MAX_PAIRS",
    "Array",
    "Indices",
    "as_count",
    "as_features",
    "as_name",
    "as_number",
    "as_numbers",
    "as_pairs",
    "is_int",
    "numpy_dtype",
]

Array: TypeAlias = npt.NDArray[Any]
Indices: TypeAlias = Sequence[int] | npt.NDArray[np.integer]

FEATURE_DTYPES = ("float32", "float16", "bfloat16")
"""What features may be made of; numpy knows ``bfloat16`` through the package ml_dtypes."""

MAX_PAIRS = 4096
"""The most templates, search regions or pairs in one call."""

MAX_NUMBERS = 1 << 20
"""The most numbers in a bias or head. They are compared and hashed at admission, which must not take long."""

MAX_NAME_LENGTH = 64


@cache
def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """Return the little-endian dtype of that name.

    Raises:
        ModuleNotFoundError: it is bfloat16, and ml_dtypes is not installed.
    """
    if name == "bfloat16":
        bfloat16: np.dtype[np.generic] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
        return bfloat16
    return np.dtype(name).newbyteorder("<")


def is_int(value: object) -> TypeGuard[int]:
    """Tell an integer from a truth value, which Python takes for one too."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_count(value: object, field: str, *, most: int) -> int:
    """Check an integer from 1 to ``most``."""
    if not is_int(value) or not 1 <= value <= most:
        raise InvalidArgument.found(field, repr(value)[:80], f"an integer from 1 to {most}")
    return value


def as_number(value: object, field: str) -> float:
    """Check a finite number."""
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise InvalidArgument.found(field, repr(value)[:80], "a finite number")
    return number


def as_numbers(value: object, field: str, *, axes: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Check an array of finite numbers: how many axes it has, that none is empty, and its size."""
    try:
        found = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise InvalidArgument.found(field, repr(value)[:80], "numbers") from error
    if found.dtype.kind not in "iuf" and found.dtype.name != "bfloat16":
        raise InvalidArgument.found(field, f"dtype {found.dtype}", "numbers")
    if found.ndim not in axes or found.size == 0:
        expected = f"{' or '.join(map(str, axes))} axes, not empty"
        raise InvalidArgument.found(field, f"shape {found.shape}", expected)
    if found.size > MAX_NUMBERS:
        raise InvalidArgument.found(field, f"{found.size} numbers", f"at most {MAX_NUMBERS}")
    with np.errstate(over="ignore"):
        numbers = found.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise InvalidArgument.found(field, "NaN or infinity", "numbers that float32 can hold")
    return numbers


def as_features(value: object, field: str, *, axes: tuple[int, ...]) -> Array:
    """Check an array of features: its dtype, how many axes it has, and that none is empty."""
    if not isinstance(value, np.ndarray):
        value = _converted(value, field)
    if value.dtype.name not in FEATURE_DTYPES:
        raise InvalidArgument.found(field, f"dtype {value.dtype}", "float32, float16 or bfloat16")
    if value.ndim not in axes:
        expected = f"{' or '.join(map(str, axes))} axes"
        raise InvalidArgument.found(field, f"{value.ndim} axes {value.shape}", expected)
    if value.size == 0:
        raise InvalidArgument.found(field, f"shape {value.shape}", "no zero sizes")
    return value


def _converted(value: object, field: str) -> Array:
    """Take what converts itself, a torch tensor on the CPU for one; lists have no dtype to be trusted."""
    try:
        if hasattr(value, "__array__"):
            return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        found = f"{type(value).__name__} that is no numpy array: {error}"
        raise InvalidArgument.found(field, found[:160], "a numpy array") from error
    raise InvalidArgument.found(field, type(value).__name__, "a numpy array")


def as_name(value: object, field: str) -> str:
    """Check a name: of a handle, a tensor or a model."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME_LENGTH or not value.isprintable():
        expected = f"1 to {MAX_NAME_LENGTH} printable characters"
        raise InvalidArgument.found(field, repr(value)[:80], expected)
    return value


def as_pairs(
    pairs: tuple[Indices, Indices] | None, templates: int, regions: int, *, most: int | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which template meets which search region, one entry for each of ``most`` pairs or fewer.

    Without ``pairs`` i meets i, and one template or one search region is shared by all.

    >>> as_pairs(None, 3, 1)
    ((0, 1, 2), (0, 0, 0))
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
    if len(left) != len(right) or not 1 <= len(left) <= (most or len(left)):
        found = f"{len(left)} and {len(right)} indices"
        expected = "two lists of one length, " + (f"1 to {most}" if most else "at least 1")
        raise InvalidArgument.found("pairs", found, expected)
    return left, right


def _indices(side: Indices, count: int) -> tuple[int, ...]:
    try:
        indices = np.asarray(side)
    except ValueError as error:
        raise InvalidArgument.found("pairs", repr(side)[:80], "flat lists of integers") from error
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu") or _has_truth(side):
        raise InvalidArgument.found("pairs", f"{indices.dtype} {indices.shape}", "flat lists of integers")
    if indices.size and (indices.min() < 0 or indices.max() >= count):
        worst = indices.min() if indices.min() < 0 else indices.max()
        raise InvalidArgument.found("pairs", f"index {worst}", f"0 to {count - 1}")
    return tuple(indices.tolist())


def _has_truth(side: Indices) -> bool:
    """Tell whether there is a truth value among integers: numpy takes it for one of them."""
    return isinstance(side, list | tuple) and any(isinstance(index, bool) for index in side)
