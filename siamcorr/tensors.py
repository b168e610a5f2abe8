"""Bytes to arrays and back: all malformed binary input stops here.

Rules:
- A message's tensors follow one another in its payload, without gaps, in the order in which its fields name
  them; the payload ends where the last one ends. :class:`PayloadReader` is asked for them in that order.
- An array that is read cannot be written to. It is a view of the payload, or a copy where it would not lie at
  a multiple of its elements' size: what reads it next may count on that, unless it said that it does not.
- An array that is written is little-endian and in C order, whatever it was in memory. It is copied once,
  when the payload is joined.
- numpy has no bfloat16 of its own: the package ml_dtypes gives it one, and only who reads one needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from siamcorr.arguments import MAX_NAME_LENGTH, Array, numpy_dtype
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import MAX_COUNT
from siamcorr.v1.tensor_pb2 import (
    DATA_TYPE_BFLOAT16,
    DATA_TYPE_FLOAT16,
    DATA_TYPE_FLOAT32,
    DATA_TYPE_UINT8,
    DataType,
    Tensor,
)

__all__ = ["MAX_AXES", "PayloadReader", "PayloadWriter", "dtype_code", "dtype_name"]

MAX_AXES = 8

_CODES = {
    "float32": DATA_TYPE_FLOAT32,
    "float16": DATA_TYPE_FLOAT16,
    "bfloat16": DATA_TYPE_BFLOAT16,
    "uint8": DATA_TYPE_UINT8,
}
_NAMES = {code: name for name, code in _CODES.items()}


def dtype_code(name: str) -> DataType:
    """Return how the wire spells a dtype.

    Raises:
        InvalidArgument: the wire has no such dtype.
    """
    if name not in _CODES:
        raise InvalidArgument.found("dtype", name, f"one of {', '.join(_CODES)}")
    return _CODES[name]


def dtype_name(code: DataType, field: str, allowed: Sequence[str]) -> str:
    """Return the name of a dtype on the wire, one of ``allowed``.

    Raises:
        InvalidArgument: names ``field``.
    """
    name = _NAMES.get(code, f"code {code}")
    if name not in allowed:
        raise InvalidArgument.found(field, f"dtype {name}", f"one of {', '.join(allowed)}")
    return name


class PayloadWriter:
    """Lays arrays into a message's payload.

    >>> message, writer = Tensor(), PayloadWriter()
    >>> writer.add(message, np.ones((2, 3), np.float32))
    >>> message.length_bytes, b"".join(writer.parts) == np.ones(6, np.float32).tobytes()
    (24, True)
    """

    def __init__(self) -> None:
        """Start with an empty payload."""
        self._parts: list[memoryview] = []
        self._size_bytes = 0

    def add(self, message: Tensor, array: Array, name: str = "") -> None:
        """Describe ``array`` in ``message`` and take it into the payload.

        Raises:
            InvalidArgument: the wire has no such dtype.
        """
        code, dtype = _coded(array.dtype)
        raw = np.ascontiguousarray(array, dtype)
        message.name = name
        message.dtype = code
        message.shape.extend(array.shape)
        message.offset_bytes = self._size_bytes
        message.length_bytes = raw.nbytes
        self._parts.append(raw.reshape(-1).view(np.uint8).data)
        self._size_bytes += raw.nbytes

    @property
    def parts(self) -> Sequence[memoryview]:
        """The bytes of each array: the payload, to be joined."""
        return self._parts


class PayloadReader:
    """Finds a message's tensors in its payload, one after the other."""

    def __init__(self, payload: bytes | memoryview) -> None:
        """Start at the payload's first byte."""
        self._payload = memoryview(payload)
        self._position = 0

    def read(self, message: Tensor, field: str, dtypes: Sequence[str], *, aligned: bool = True) -> Array:
        """Return the next tensor; it cannot be written to.

        Args:
            message: what the caller says of it.
            field: what the tensor is called in errors.
            dtypes: which dtypes it may have.
            aligned: False where it is only going to be copied: it is a view then, wherever it lies.

        Raises:
            InvalidArgument: names ``field``: another dtype, an impossible shape, or bytes that are not there.
        """
        name = dtype_name(message.dtype, field, dtypes)
        shape = _checked_shape(message, field)
        dtype = numpy_dtype(name)
        size_bytes = prod(shape) * dtype.itemsize
        if message.length_bytes != size_bytes:
            expected = f"{size_bytes}: shape {shape} of {name}"
            raise InvalidArgument.found(f"{field}.length_bytes", message.length_bytes, expected)
        if message.offset_bytes != self._position:
            expected = f"{self._position}, where the tensor before ends"
            raise InvalidArgument.found(f"{field}.offset_bytes", message.offset_bytes, expected)
        left = len(self._payload) - self._position
        if size_bytes > left:
            raise InvalidArgument.found("payload", f"{left} bytes for {field}", size_bytes)
        view: Array = np.frombuffer(self._payload, dtype, prod(shape), self._position).reshape(shape)
        self._position += size_bytes
        return view if view.flags.aligned or not aligned else _read_only_copy(view)

    def finish(self) -> None:
        """Check that every byte of the payload belongs to a tensor.

        Raises:
            InvalidArgument: names ``payload``.
        """
        left = len(self._payload) - self._position
        if left:
            raise InvalidArgument.found("payload", f"{left} bytes after the last tensor", "none")


def _checked_shape(message: Tensor, field: str) -> tuple[int, ...]:
    if not 1 <= len(message.shape) <= MAX_AXES:
        raise InvalidArgument.found(f"{field}.shape", f"{len(message.shape)} axes", f"1 to {MAX_AXES}")
    shape = tuple(message.shape)
    most = MAX_COUNT if message.dtype != DATA_TYPE_UINT8 else 1 << 40  # one axis may be a whole image file
    if not all(1 <= size <= most for size in shape):
        raise InvalidArgument.found(f"{field}.shape", shape, f"sizes from 1 to {most}")
    if len(message.name) > MAX_NAME_LENGTH:
        found = f"{len(message.name)} characters"
        raise InvalidArgument.found(f"{field}.name", found, f"at most {MAX_NAME_LENGTH}")
    return shape


def _read_only_copy(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


@cache
def _coded(dtype: np.dtype[Any]) -> tuple[DataType, np.dtype[Any]]:
    return dtype_code(dtype.name), dtype.newbyteorder("<")
