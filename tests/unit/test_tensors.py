"""Payloads: what is written is read again, and nothing else is read."""

from __future__ import annotations

import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from random_calls import ARRAY_DTYPES, LAYOUTS, bits, feature_arrays, in_layout
from siamcorr.arguments import FEATURE_DTYPES, Array
from siamcorr.errors import InvalidArgument
from siamcorr.tensors import MAX_AXES, PayloadReader, PayloadWriter, dtype_code, dtype_name
from siamcorr.v1.tensor_pb2 import DATA_TYPE_FLOAT16, DATA_TYPE_FLOAT32, DATA_TYPE_UINT8, Tensor

ALL_DTYPES = (*FEATURE_DTYPES, "uint8")


def written(*arrays: Array) -> tuple[list[Tensor], bytes]:
    writer, messages = PayloadWriter(), []
    for array in arrays:
        messages.append(Tensor())
        writer.add(messages[-1], array)
    return messages, b"".join(writer.parts)


def float32s(**changes: Any) -> Tensor:
    """Describe eight bytes at the start of a payload, but for ``changes``."""
    fields: dict[str, Any] = {"dtype": DATA_TYPE_FLOAT32, "shape": [2], "offset_bytes": 0, "length_bytes": 8}
    return Tensor(**(fields | changes))


def refusal(message: Tensor, payload: bytes = bytes(8), dtypes: Any = ALL_DTYPES) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        PayloadReader(payload).read(message, "x", dtypes)
    return caught.value


def read_all(reader: PayloadReader, messages: list[Tensor]) -> None:
    for message in messages:
        reader.read(message, "x", ALL_DTYPES)
    reader.finish()


@given(st.lists(feature_arrays(1, 2, 3, 4), max_size=4))
def test_what_is_written_is_read_again(arrays: list[Array]) -> None:
    messages, payload = written(*arrays)
    reader = PayloadReader(payload)
    assert [bits(reader.read(message, "x", FEATURE_DTYPES)) for message in messages] == [*map(bits, arrays)]
    reader.finish()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*ARRAY_DTYPES])
def test_every_dtype_and_layout_is_little_endian_and_in_c_order(dtype: str, layout: str) -> None:
    numbers = np.arange(24).reshape(2, 3, 4).astype(ARRAY_DTYPES[dtype])
    (message,), payload = written(in_layout(numbers, layout))
    expected = numbers if "bfloat16" in dtype else numbers.astype(numbers.dtype.newbyteorder("<"))
    assert payload == expected.tobytes()
    assert (message.offset_bytes, message.length_bytes) == (0, len(payload))
    assert list(message.shape) == [2, 3, 4]


def test_tensors_follow_one_another() -> None:
    messages, payload = written(np.zeros(3, np.float16), np.zeros((2, 2), np.uint8), np.zeros(1, np.float32))
    assert [(each.offset_bytes, each.length_bytes) for each in messages] == [(0, 6), (6, 4), (10, 4)]
    assert len(payload) == 14


def test_an_aligned_tensor_is_a_view_and_no_tensor_can_be_written_to() -> None:
    messages, payload = written(np.ones(1, np.float32), np.ones(1, np.float16), np.ones(1, np.float32))
    reader = PayloadReader(payload)
    aligned, _, unaligned = (reader.read(message, "x", ALL_DTYPES) for message in messages)
    assert np.shares_memory(aligned, np.frombuffer(payload, np.uint8))
    assert not np.shares_memory(unaligned, np.frombuffer(payload, np.uint8))
    for array in (aligned, unaligned):
        assert array.flags.aligned
        assert not array.flags.writeable
        assert array.tolist() == [1.0]


def test_a_tensor_holds_the_view_that_its_payload_is() -> None:
    lent = np.ones(8, np.uint8)[:]
    is_held = weakref.ref(lent)
    array = PayloadReader(lent.data).read(float32s(), "x", ALL_DTYPES)
    del lent
    assert is_held() is not None
    del array
    assert is_held() is None


def test_what_is_not_a_number_or_subnormal_keeps_its_bits() -> None:
    odd = np.array([0x7F800001, 0x80000000, 0x00000001, 0xFFC01234], np.uint32).view(np.float32)
    (message,), payload = written(odd)
    assert PayloadReader(payload).read(message, "x", ALL_DTYPES).tobytes() == odd.tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.bool_, np.complex64, ml_dtypes.float8_e5m2])
def test_a_dtype_that_the_wire_does_not_know_is_refused(dtype: Any) -> None:
    with pytest.raises(InvalidArgument, match="dtype: found"):
        PayloadWriter().add(Tensor(), np.zeros(2, dtype))


def test_codes_and_names_of_dtypes_are_each_others_inverse() -> None:
    assert [dtype_name(dtype_code(name), "x", ALL_DTYPES) for name in ALL_DTYPES] == [*ALL_DTYPES]


@pytest.mark.parametrize("code", [0, 5, -1, 2**31 - 1, dtype_code("uint8")])
def test_a_code_that_is_not_allowed_is_refused(code: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^x: found dtype .*, expected one of float32"):
        dtype_name(code, "x", FEATURE_DTYPES)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (float32s(dtype=0), "x"),
        (float32s(dtype=77), "x"),
        (float32s(dtype=-1), "x"),
        (float32s(shape=[]), "x.shape"),
        (float32s(shape=[1] * (MAX_AXES + 1)), "x.shape"),
        (float32s(shape=[0], length_bytes=0), "x.shape"),
        (float32s(shape=[2, 0], length_bytes=0), "x.shape"),
        (float32s(shape=[2**63], length_bytes=8), "x.shape"),
        (float32s(shape=[2**64 - 1]), "x.shape"),
        (float32s(shape=[2**20 + 1], length_bytes=4 * (2**20 + 1)), "x.shape"),
        (float32s(shape=[2**20] * 8, length_bytes=2**64 - 1), "x.length_bytes"),
        (float32s(shape=[2**20] * 8, length_bytes=(4 * 2**160) % 2**64), "x.length_bytes"),
        (float32s(shape=[2**20] * 2, length_bytes=4 * 2**40), "payload"),
        (float32s(shape=[2**40], dtype=DATA_TYPE_UINT8, length_bytes=2**40), "payload"),
        (float32s(shape=[2**40 + 1], dtype=DATA_TYPE_UINT8), "x.shape"),
        (float32s(shape=[3]), "x.length_bytes"),
        (float32s(length_bytes=0), "x.length_bytes"),
        (float32s(length_bytes=9), "x.length_bytes"),
        (float32s(length_bytes=2**63), "x.length_bytes"),
        (float32s(length_bytes=2**64 - 8), "x.length_bytes"),
        (float32s(shape=[3], length_bytes=12), "payload"),
        (float32s(offset_bytes=1), "x.offset_bytes"),
        (float32s(offset_bytes=2**63), "x.offset_bytes"),
        (float32s(offset_bytes=2**64 - 8), "x.offset_bytes"),
        (float32s(name="n" * 65), f"x['{'n' * 65}'].name"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused_by_field(message: Tensor, field: str) -> None:
    error = refusal(message)
    assert error.field == field
    assert str(error).startswith(f"{field}: found ")


@pytest.mark.parametrize("offset", [0, 4, 7, 9, 16])
def test_tensors_that_overlap_or_leave_a_gap_are_refused(offset: int) -> None:
    reader = PayloadReader(bytes(16))
    reader.read(float32s(), "first", ALL_DTYPES)
    with pytest.raises(InvalidArgument, match=f"second.offset_bytes: found {offset}, expected 8"):
        reader.read(float32s(offset_bytes=offset), "second", ALL_DTYPES)


def test_a_payload_cut_at_any_length_or_with_more_behind_is_refused() -> None:
    messages, payload = written(np.ones((2, 3), np.float32), np.ones(3, np.uint8))
    for length in [*range(len(payload)), len(payload) + 1]:
        reader = PayloadReader((payload + b"?")[:length])
        with pytest.raises(InvalidArgument, match="payload: found"):
            read_all(reader, messages)


def of_many_pairs() -> tuple[list[Tensor], bytes]:
    """Return what an answer of four pairs has: two maps of each, whose descriptions repeat."""
    writer, messages = PayloadWriter(), []
    for number in range(4):
        for name, channels in (("cls", 2), ("loc", 4)):
            messages.append(Tensor())
            writer.add(messages[-1], np.full((channels, 3, 3), number, np.float32), name)
    return messages, b"".join(writer.parts)


def read_named(messages: list[Tensor], payload: bytes) -> list[Array]:
    reader = PayloadReader(payload)
    arrays = [reader.read(message, "maps", FEATURE_DTYPES) for message in messages]
    reader.finish()
    return arrays


def test_tensors_that_repeat_are_each_described_in_full() -> None:
    messages, payload = of_many_pairs()
    for number, message in enumerate(messages):
        channels = 4 if number % 2 else 2
        assert message == Tensor(
            name="loc" if number % 2 else "cls",
            dtype=DATA_TYPE_FLOAT32,
            shape=[channels, 3, 3],
            offset_bytes=36 * (number // 2 * 6 + number % 2 * 2),
            length_bytes=36 * channels,
        )
    arrays = read_named(messages, payload)
    assert [array.shape[0] for array in arrays] == [2, 4] * 4
    assert [array.min() for array in arrays] == [array.max() for array in arrays] == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("which", range(8))
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dtype": 0}, ""),
        ({"dtype": DATA_TYPE_UINT8}, ""),
        ({"dtype": DATA_TYPE_FLOAT16}, ".length_bytes"),
        ({"shape": [3, 3, 3]}, ".length_bytes"),
        ({"shape": [0, 3, 3]}, ".shape"),
        ({"shape": []}, ".shape"),
        ({"length_bytes": 40}, ".length_bytes"),
        ({"offset_bytes": 1}, ".offset_bytes"),
        ({"offset_bytes": 2**64 - 4}, ".offset_bytes"),
    ],
)
def test_a_tensor_is_checked_though_the_like_was_read_before(
    which: int, changes: dict[str, Any], field: str
) -> None:
    messages, payload = of_many_pairs()
    for name in changes:
        messages[which].ClearField(name)
    messages[which].MergeFrom(Tensor(**changes))
    with pytest.raises(InvalidArgument) as caught:
        read_named(messages, payload)
    assert caught.value.field == f"maps['{messages[which].name}']{field}"


def test_a_dtype_is_checked_though_the_like_was_read_where_it_may_be() -> None:
    messages, payload = written(*[np.ones(2, np.float16)] * 3)
    reader = PayloadReader(payload)
    for message in messages[:2]:
        reader.read(message, "x", FEATURE_DTYPES)
    with pytest.raises(InvalidArgument, match=r"^x"):
        reader.read(messages[2], "x", ("float32",))


def test_tensors_that_differ_are_told_apart_by_all_that_is_said_of_them() -> None:
    messages, payload = of_many_pairs()
    messages[4].shape[:] = [3, 2, 3]
    messages[6].name = "loc"
    shapes = [array.shape for array in read_named(messages, payload)]
    assert shapes == [(2, 3, 3), (4, 3, 3), (2, 3, 3), (4, 3, 3), (3, 2, 3), (4, 3, 3), (2, 3, 3), (4, 3, 3)]


def test_any_number_of_different_tensors_is_read() -> None:
    writer, messages = PayloadWriter(), [Tensor() for _ in range(200)]
    for number, message in enumerate(messages):
        writer.add(message, np.full(1 + number % 100, number, np.float16), f"n{number % 100}")
    arrays = read_named(messages, b"".join(writer.parts))
    assert [array.tolist() for array in arrays] == [[n] * (1 + n % 100) for n in range(200)]


@pytest.mark.parametrize("cells", [4, 4096])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_small_and_large_arrays_are_written_alike_again_and_again(cells: int, layout: str) -> None:
    numbers = in_layout(np.arange(6 * cells, dtype=np.float32).reshape(2, 3, cells), layout)
    messages, payload = written(numbers, numbers, numbers)
    assert payload == 3 * numbers.astype("<f4").tobytes()
    assert [message.offset_bytes for message in messages] == [0, 24 * cells, 48 * cells]


def test_a_payload_is_read_out_of_a_larger_message() -> None:
    (message,), payload = written(np.arange(4, dtype=np.float32))
    for shift in range(5):
        inside = memoryview(bytes(shift) + payload)[shift:]
        assert PayloadReader(inside).read(message, "x", ALL_DTYPES).tolist() == [0, 1, 2, 3]


@given(
    st.builds(
        Tensor,
        dtype=st.integers(0, 5),
        shape=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 4), max_size=9),
        offset_bytes=st.integers(0, 2**64 - 1) | st.just(0),
        length_bytes=st.integers(0, 2**64 - 1) | st.integers(0, 64),
    ),
    st.binary(max_size=64),
)
def test_any_description_is_read_or_refused(message: Tensor, payload: bytes) -> None:
    try:
        array = PayloadReader(payload).read(message, "x", ALL_DTYPES)
    except InvalidArgument:
        return
    assert array.tobytes() == payload[: message.length_bytes]
    assert array.shape == tuple(message.shape)
