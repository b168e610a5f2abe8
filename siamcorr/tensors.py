"""Bytes to arrays and back: all malformed binary input stops here.

Rules:
- A message's tensors follow one another in its payload, without gaps, in the order in which its fields name
  them; the payload ends where the last one ends. :class:`PayloadReader` is asked for them in that order.
- An array that is read cannot be written to. It is a view of the payload, or a copy where it would not lie at
  a multiple of its elements' size: what reads it next may count on that, unless it said that it does not.
- An array that is written is little-endian and in C order, whatever it was in memory. It is copied once,
  when the payload is joined; a small one twice, which is faster than to make a view of it.
- A message of many pairs describes the same shapes again and again: what was checked or written of one tensor
  is not done again for the next that differs only in where it lies.
- numpy has no bfloat16 of its own: the package ml_dtypes gives it one, and only who reads one needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple, TypeAlias

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

_MAX_KNOWN = 64  # tensors of a message that differ: a template's, at the most
_COPIED_BYTES = 4096  # a view costs 0.5 us more than the bytes of so small an array

_Written: TypeAlias = tuple[str, np.dtype[Any], tuple[int, ...]]


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
        self._parts: list[bytes | memoryview] = []
        self._size_bytes = 0
        self._known: dict[_Written, tuple[Tensor, np.dtype[Any]]] = {}

    def add(self, message: Tensor, array: Array, name: str = "") -> None:
        """Describe ``array`` in ``message``, which nobody changes any more, and take it into the payload.

        Raises:
            InvalidArgument: the wire has no such dtype.
        """
        key = name, array.dtype, array.shape
        known = self._known.get(key)
        if known is None:
            code, dtype = _coded(array.dtype)
            message.name, message.dtype = name, code
            message.shape.extend(array.shape)
            message.length_bytes = array.nbytes
            self._known[key] = message, dtype
        else:
            like, dtype = known
            message.CopyFrom(like)
        message.offset_bytes = self._size_bytes
        self._size_bytes += array.nbytes
        raw = array if array.dtype == dtype else array.astype(dtype)
        if raw.nbytes <= _COPIED_BYTES:
            self._parts.append(raw.tobytes())
        else:
            self._parts.append(np.ascontiguousarray(raw).reshape(-1).view(np.uint8).data)

    @property
    def parts(self) -> Sequence[bytes | memoryview]:
        """The bytes of each array: the payload, to be joined."""
        return self._parts


class _Form(NamedTuple):
    """What the bytes of a tensor mean."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    size_bytes: int


class PayloadReader:
    """Finds a message's tensors in its payload, one after the other."""

    def __init__(self, payload: bytes | memoryview) -> None:
        """Start at the payload's first byte."""
        # An array of its own: one made of a memoryview would not hold it, and its end tells that it was read.
        self._payload = np.frombuffer(payload, np.uint8)
        self._position = 0
        self._known: dict[tuple[str, str, Sequence[str]], tuple[Tensor, _Form]] = {}

    def read(self, message: Tensor, field: str, dtypes: tuple[str, ...], *, aligned: bool = True) -> Array:
        """Return the next tensor; it cannot be written to.

        Args:
            message: what the caller says of it.
            field: what the tensor is called in errors; its own name goes behind, if it has one.
            dtypes: which dtypes it may have.
            aligned: False where it is only going to be copied: it is a view then, wherever it lies.

        Raises:
            InvalidArgument: names ``field``: another dtype, an impossible shape, or bytes that are not there.
        """
        form = self._form(message, field, dtypes)
        end = self._position + form.size_bytes
        if end > len(self._payload):
            found = f"{len(self._payload) - self._position} bytes for {_named(field, message)}"
            raise InvalidArgument.found("payload", found, form.size_bytes)
        view: Array = np.ndarray(form.shape, form.dtype, self._payload, self._position)
        self._position = end
        return view if view.flags.aligned or not aligned else _read_only_copy(view)

    def _form(self, message: Tensor, field: str, dtypes: tuple[str, ...]) -> _Form:
        key = field, message.name, dtypes
        known = self._known.get(key)
        if known is not None:
            like, form = known
            like.offset_bytes = self._position
            if like == message:
                return form
        form = self._checked(message, _named(field, message), dtypes)
        if self._position and len(self._known) < _MAX_KNOWN:  # the first one may be the only one
            like = Tensor()
            like.CopyFrom(message)
            self._known[key] = like, form
        return form

    def _checked(self, message: Tensor, field: str, dtypes: Sequence[str]) -> _Form:
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
        return _Form(dtype, shape, size_bytes)

    def finish(self) -> None:
        """Check that every byte of the payload belongs to a tensor.

        Raises:
            InvalidArgument: names ``payload``.
        """
        left = len(self._payload) - self._position
        if left:
            raise InvalidArgument.found("payload", f"{left} bytes after the last tensor", "none")


def _named(field: str, message: Tensor) -> str:
    return f"{field}[{message.name!r:.80}]" if message.name else field


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
