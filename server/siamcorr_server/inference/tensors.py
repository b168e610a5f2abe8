"""The protocol's tensors: bytes and numbers to arrays and back. All malformed contents stop here.

Rules:
- Raw contents are little-endian, row-major, and exactly as many bytes as datatype and shape say. Sizes are
  bounded before they are multiplied, and Python's integers do not overflow.
- An array that is read cannot be written to. Where it views a request it may lie at any address.
- A BYTES element is its length in 4 bytes, little-endian, and so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from siamcorr.arguments import MAX_PAIRS, Array, numpy_dtype
from siamcorr.errors import InvalidArgument
from siamcorr.wire.envelope import Buffer
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

__all__ = ["BYTES", "Output", "Value", "of_array", "of_bytes", "read_raw", "read_typed", "shape_of"]

BYTES = "BYTES"

Value: TypeAlias = Array | list[bytes]
"""A tensor that was read: a list if it is BYTES."""

_MAX_AXES = 8
_MAX_SIZE = 1 << 31
_LENGTH = struct.Struct("<I")

_DTYPES = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16", "FP64": "float64", "UINT8": "uint8"}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()} | {"int64": "INT64"}
_TYPED = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "UINT8": "uint_contents",
    BYTES: "bytes_contents",
}


def shape_of(message: pb.ModelInferRequest.InferInputTensor) -> tuple[int, ...]:
    """Return an input's shape.

    Raises:
        InvalidArgument: names the input: there is no tensor of this shape.
    """
    shape = tuple(message.shape)
    if not 1 <= len(shape) <= _MAX_AXES or not all(1 <= size <= _MAX_SIZE for size in shape):
        expected = f"1 to {_MAX_AXES} axes of sizes from 1 to {_MAX_SIZE}"
        raise InvalidArgument.found(f"{message.name}.shape", str(shape)[:80], expected)
    return shape


def read_raw(name: str, datatype: str, shape: tuple[int, ...], raw: Buffer) -> Value:
    """Return a tensor that lies in ``raw``, as a view of it unless it is BYTES.

    Raises:
        InvalidArgument: names the input: there are other bytes than its shape says.

    >>> read_raw("template", "BYTES", (2,), b"\\x01\\0\\0\\0a\\x02\\0\\0\\0bc")
    [b'a', b'bc']
    >>> read_raw("search", "FP16", (1, 2), b"abc")
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: search: found 3 bytes, expected 4: shape (1, 2) of FP16
    """
    view, count = memoryview(raw), prod(shape)
    if datatype == BYTES:
        return _elements(name, view, shape)
    dtype = numpy_dtype(_DTYPES[datatype])
    if view.nbytes != count * dtype.itemsize:
        expected = f"{count * dtype.itemsize}: shape {shape} of {datatype}"
        raise InvalidArgument.found(name, f"{view.nbytes} bytes", expected)
    return np.frombuffer(view, dtype, count).reshape(shape)


def read_typed(name: str, datatype: str, shape: tuple[int, ...], contents: pb.InferTensorContents) -> Value:
    """Return a tensor whose elements are listed.

    Raises:
        InvalidArgument: names the input: other elements than datatype and shape say.
    """
    if datatype not in _TYPED:
        raise InvalidArgument.found(name, f"{datatype} in contents", f"{datatype} in raw_input_contents")
    filled = {field.name: elements for field, elements in contents.ListFields()}
    elements = filled.pop(_TYPED[datatype], ())
    if filled:
        raise InvalidArgument.found(name, f"{', '.join(filled)} for {datatype}", f"{_TYPED[datatype]} alone")
    if len(elements) != prod(shape):
        raise InvalidArgument.found(name, f"{len(elements)} elements", f"{prod(shape)}: shape {shape}")
    if datatype == BYTES:
        return list(elements)
    array = np.array(elements, np.int64 if datatype == "UINT8" else _DTYPES[datatype])
    if datatype == "UINT8" and array.max() > 0xFF:
        raise InvalidArgument.found(name, f"the element {array.max()}", "0 to 255")
    return array.astype(_DTYPES[datatype], copy=False).reshape(shape)


def _elements(name: str, view: memoryview, shape: tuple[int, ...]) -> list[bytes]:
    count, position = prod(shape), 0
    if count > MAX_PAIRS:
        raise InvalidArgument.found(f"{name}.shape", shape, f"at most {MAX_PAIRS} elements of {BYTES}")
    elements: list[bytes] = []
    for _ in range(count):
        begin = position + _LENGTH.size
        length = _LENGTH.unpack_from(view, position)[0] if begin <= len(view) else len(view)
        position = begin + length
        if position > len(view):
            found = f"{len(view)} bytes that end in element {len(elements)}"
            raise InvalidArgument.found(name, found, f"{count} elements, each after its length in 4 bytes")
        elements.append(bytes(view[begin:position]))
    if position != len(view):
        raise InvalidArgument.found(name, f"{len(view) - position} bytes too many", f"{count} elements")
    return elements


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of an answer: ``parts`` are its raw contents, to be joined."""

    datatype: str
    shape: tuple[int, ...]
    parts: Sequence[Buffer]


def of_array(arrays: Sequence[Array], shape: tuple[int, ...]) -> Output:
    """Return arrays of one dtype, which lie behind each other in a tensor of ``shape``.

    >>> of_array([np.zeros(2, np.float16), np.ones(2, np.float16)], (2, 2)).datatype
    'FP16'
    """
    dtype = arrays[0].dtype
    flat = (np.ascontiguousarray(array, dtype.newbyteorder("<")).reshape(-1) for array in arrays)
    return Output(_NAMES[dtype.name], shape, [array.view(np.uint8).data for array in flat])


def of_bytes(elements: Sequence[bytes]) -> Output:
    """Return a BYTES tensor of one axis."""
    parts = [part for element in elements for part in (_LENGTH.pack(len(element)), element)]
    return Output(BYTES, (len(elements),), parts)
