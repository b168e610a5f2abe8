"""The device: what goes up is what lay in memory, whatever way, and what comes down is an array."""

from __future__ import annotations

from typing import Any

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
def test_a_single_array_that_nobody_writes_to_may_stay_where_it_is(dtype: Any) -> None:
    array = np.frombuffer(np.arange(6).astype(dtype).tobytes(), dtype).reshape(2, 3)
    seen: list[torch.Tensor] = []
    shared = CPU.upload([array], seen.append, may_share=True)
    assert shared.data_ptr() == seen[0].data_ptr() == array.ctypes.data
    assert shared.float().flatten().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_an_array_that_is_not_aligned_is_copied(offset: int) -> None:
    data = bytes(offset) + np.arange(6, dtype=np.float32).tobytes()
    array = np.frombuffer(memoryview(data)[offset:], np.float32)
    uploaded = CPU.upload([array], may_share=True)
    assert uploaded.data_ptr() != array.ctypes.data
    assert uploaded.tolist() == [[0, 1, 2, 3, 4, 5]]


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


def test_each_array_can_be_looked_at_as_it_goes_up() -> None:
    arrays = [np.full((2, 3), value, np.float32) for value in (1.0, 2.0)]
    seen: list[torch.Tensor] = []
    uploaded = CPU.upload(arrays, seen.append)
    assert torch.equal(torch.stack(seen), uploaded)
