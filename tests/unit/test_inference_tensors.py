"""The protocol's tensors: exactly as many bytes as they should be, and the numbers that were sent."""

from __future__ import annotations

from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refusals import refused
from siamcorr_server.inference.tensors import of_array, of_bytes, read_raw, read_typed, shape_of
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

DTYPES: dict[str, Any] = {
    "FP32": np.dtype("<f4"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP64": np.dtype("<f8"),
    "UINT8": np.dtype("u1"),
}
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@given(st.sampled_from(list(DTYPES)), SHAPES, st.integers(0, 7))
def test_raw_numbers_are_read_where_they_lie(datatype: str, shape: tuple[int, ...], at: int) -> None:
    array = np.arange(prod(shape)).astype(DTYPES[datatype]).reshape(shape)
    message = bytes(at) + array.tobytes()
    found = read_raw("x", datatype, shape, memoryview(message)[at:])
    np.testing.assert_array_equal(np.asarray(found, np.float64), array.astype(np.float64))
    assert isinstance(found, np.ndarray)
    assert not found.flags.writeable
    assert not found.flags.owndata


@given(st.sampled_from(list(DTYPES)), SHAPES, st.integers(-9, 9))
def test_no_other_number_of_bytes_is_taken(datatype: str, shape: tuple[int, ...], more: int) -> None:
    size = prod(shape) * DTYPES[datatype].itemsize
    if more and size + more >= 0:
        found = refused(read_raw, "x", datatype, shape, bytes(size + more))
        assert str(found).startswith(f"x: found {size + more} bytes, expected {size}: shape {shape} of ")


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=5))
def test_elements_of_bytes_go_both_ways(elements: list[bytes]) -> None:
    raw = b"".join(of_bytes(elements).parts)
    assert read_raw("x", "BYTES", (len(elements),), raw) == elements
    for length in range(len(raw)):
        assert refused(read_raw, "x", "BYTES", (len(elements),), raw[:length]).field == "x"


def test_elements_of_bytes_are_bounded_before_they_are_read() -> None:
    assert refused(read_raw, "x", "BYTES", (1 << 31, 2), b"").field == "x.shape"


@pytest.mark.parametrize(
    ("datatype", "field", "elements"),
    [
        ("FP32", "fp32_contents", [1.5, -2.0]),
        ("FP64", "fp64_contents", [1.5, 1e300]),
        ("UINT8", "uint_contents", [0, 255]),
    ],
)
def test_listed_numbers_are_read(datatype: str, field: str, elements: list[Any]) -> None:
    found = read_typed("x", datatype, (2, 1), pb.InferTensorContents(**{field: elements}))
    assert isinstance(found, np.ndarray)
    assert found.dtype == DTYPES[datatype]
    assert found.tolist() == [[elements[0]], [elements[1]]]


def test_listed_elements_of_bytes_are_read() -> None:
    assert read_typed("x", "BYTES", (2,), pb.InferTensorContents(bytes_contents=[b"a", b""])) == [b"a", b""]


def test_listed_numbers_that_do_not_fit_are_refused() -> None:
    large = pb.InferTensorContents(uint_contents=[256])
    assert (
        str(refused(read_typed, "x", "UINT8", (1,), large)) == "x: found the element 256, expected 0 to 255"
    )
    both = pb.InferTensorContents(fp32_contents=[1.0], bool_contents=[True])
    assert "found bool_contents for FP32" in str(refused(read_typed, "x", "FP32", (1,), both))
    assert "found 0 elements" in str(refused(read_typed, "x", "FP32", (1,), pb.InferTensorContents()))


@pytest.mark.parametrize("shape", [(), (0,), (-1, 2), (1 << 31, (1 << 31) + 1), (1,) * 9])
def test_shapes_of_no_tensor_are_refused(shape: tuple[int, ...]) -> None:
    message = pb.ModelInferRequest.InferInputTensor(name="x", shape=shape)
    assert refused(shape_of, message).field == "x.shape"


def test_arrays_of_any_layout_are_written_row_by_row() -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    output = of_array([array.T, array.T + 1], (2, 3, 2))
    assert (output.datatype, output.shape) == ("FP32", (2, 3, 2))
    expected = np.stack([array.T, array.T + 1]).astype("<f4").tobytes()
    assert b"".join(output.parts) == expected
