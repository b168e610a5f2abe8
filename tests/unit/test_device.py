"""The device: what goes up is what lay in memory, whatever way, and what comes down is an array."""

from __future__ import annotations

from typing import Any
from weakref import ref

import ml_dtypes
import numpy as np
import pytest
import torch

from random_calls import ARRAY_DTYPES, LAYOUTS, in_layout
from refusals import refused
from siamcorr.device import Device, open_device

CPU = Device(torch.device("cpu"))


def test_the_cpu_is_always_there() -> None:
    assert open_device("cpu").torch_device == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert open_device("auto").torch_device.type == expected


@pytest.mark.parametrize("name", ["", "gpu", "cuda:99", "cuda:-1", "mps", "meta", "cpu:x", "x" * 500])
def test_another_device_is_refused(name: str) -> None:
    error = refused(open_device, name)
    assert error.field == "device"
    assert len(str(error)) < 200


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*ARRAY_DTYPES, "uint8"])
def test_arrays_go_up_as_they_look(dtype: str, layout: str) -> None:
    numbers = np.arange(24).reshape(2, 3, 4).astype(ARRAY_DTYPES.get(dtype, np.uint8))
    arrays = [in_layout(numbers, layout), numbers + numbers]
    uploaded = CPU.upload(arrays)
    assert uploaded.shape == (2, 2, 3, 4)
    assert str(uploaded.dtype) == f"torch.{arrays[0].dtype.name}"
    for row, array in zip(uploaded, arrays, strict=True):
        np.testing.assert_array_equal(row.float().numpy(), array.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_what_went_up_is_a_copy_even_of_what_nobody_may_write_to(dtype: Any) -> None:
    array = np.ones((2, 3), dtype)
    array.flags.writeable = False
    uploaded = CPU.upload([array])
    uploaded.zero_()
    assert (array == 1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_arrays_that_nobody_writes_to_stay_where_they_are(dtype: Any) -> None:
    arrays = [np.frombuffer(np.arange(6).astype(dtype).tobytes(), dtype).reshape(2, 3) for _ in range(2)]
    shared = CPU.upload_to_read(arrays)
    assert [one.data_ptr() for one in shared] == [array.ctypes.data for array in arrays]
    assert [one.float().tolist() for one in shared] == [[[0, 1, 2], [3, 4, 5]]] * 2


def test_an_array_that_is_read_where_it_lies_lives_as_long_as_its_tensor() -> None:
    array = np.ones((2, 3), np.float32)
    alive = ref(array)
    [shared] = CPU.upload_to_read([array])
    del array
    assert alive() is not None
    del shared
    assert alive() is None


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_an_array_that_is_not_aligned_is_copied_and_its_neighbour_is_not(offset: int) -> None:
    data = bytes(offset) + np.arange(6, dtype=np.float32).tobytes()
    arrays = [np.frombuffer(memoryview(data)[offset:], np.float32), np.arange(6, dtype=np.float32)]
    copied, shared = CPU.upload_to_read(arrays)
    assert copied.data_ptr() != arrays[0].ctypes.data
    assert shared.data_ptr() == arrays[1].ctypes.data
    assert copied.tolist() == shared.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*ARRAY_DTYPES, "uint8"])
def test_arrays_are_read_as_they_look(dtype: str, layout: str) -> None:
    array = in_layout(np.arange(24).reshape(2, 3, 4).astype(ARRAY_DTYPES.get(dtype, np.uint8)), layout)
    [seen] = CPU.upload_to_read([array])
    assert seen.is_contiguous()
    np.testing.assert_array_equal(seen.float().numpy(), array.astype(np.float32))


def test_bits_that_are_no_numbers_go_up_unchanged() -> None:
    bits = np.arange(0x7F80, 0x7FFF, dtype=np.uint16)
    uploaded = CPU.upload([bits.view(ml_dtypes.bfloat16)])
    np.testing.assert_array_equal(uploaded.view(torch.int16).numpy()[0], bits.view(np.int16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_comes_down_is_in_c_order(dtype: torch.dtype) -> None:
    tensor = torch.arange(6).view(2, 3).to(dtype)
    array = CPU.download(tensor.T)
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, tensor.T.float().numpy())
    CPU.settle()


def test_one_stack_of_arrays_stays_where_it_is_and_lives_as_long_as_its_tensor() -> None:
    stack = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    shared = CPU.upload_stacks([stack])
    assert shared.data_ptr() == stack.ctypes.data
    del stack
    assert shared.flatten().tolist() == list(range(24))


@pytest.mark.parametrize("as_lists", [False, True])
def test_several_stacks_are_joined_in_a_copy(as_lists: bool) -> None:
    stacks = [np.full((count, 2, 2, 3), count, np.uint8) for count in (1, 3)]
    joined = CPU.upload_stacks([list(stack) for stack in stacks] if as_lists else stacks)
    assert joined.shape == (4, 2, 2, 3)
    assert joined[:, 0, 0, 0].tolist() == [1, 3, 3, 3]
    joined.zero_()
    assert all(stack.any() for stack in stacks)
