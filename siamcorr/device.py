"""Where tensors are computed, and the way there and back. All that only CUDA has is in this file.

Rules:
- Arrays go up in one copy, from wherever they lie (a message's payload, say) into one staging batch.
- On the CPU arrays that nobody is going to write to stay where they are, each by itself, if they are aligned:
  a copy of 1 MiB costs more than itself, because it takes the place of all else in a core's cache.
- On CUDA the staging batch is page-locked, so that the copy to the device is asynchronous, and so is the way
  back. torch's host allocator keeps a page-locked block until the copies from it are over.
- :meth:`Device.settle` waits for the device; on the CPU there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.dlpack import from_dlpack

from siamcorr.arguments import Array
from siamcorr.errors import InvalidArgument

__all__ = ["DTYPES", "Device", "open_device"]

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "uint8": torch.uint8,
}
"""What can be uploaded, by numpy's names."""


@cache
def _torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    return DTYPES[dtype.name]


def open_device(name: str) -> Device:
    """Open ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        InvalidArgument: names ``device``.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidArgument.found("device", repr(name)[:80], "auto, cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return Device(device)
    if device.type != "cuda" or (device.index or 0) >= torch.cuda.device_count():
        raise InvalidArgument.found(
            "device", name, f"cpu, or one of {torch.cuda.device_count()} CUDA devices"
        )
    return _Cuda(device)


class Device:
    """The CPU, and the interface of every device."""

    def __init__(self, torch_device: torch.device) -> None:
        """Compute on ``torch_device``."""
        self.torch_device = torch_device

    def upload(self, arrays: Sequence[Array]) -> torch.Tensor:
        """Stack ``arrays``, all of one shape and dtype, into a new tensor (N, *shape) on the device.

        >>> Device(torch.device("cpu")).upload([np.zeros((2, 3), np.float16)] * 4).shape
        torch.Size([4, 2, 3])
        """
        first = arrays[0]
        dtype = _torch_dtype(first.dtype)
        staging = self._host_memory((len(arrays), *first.shape), dtype)
        rows = _raw(staging)
        for index, array in enumerate(arrays):
            rows[index] = array.view(np.int16) if dtype is torch.bfloat16 else array
        return self._to_device(staging)

    def upload_stacks(self, stacks: Sequence[Sequence[Array] | Array]) -> torch.Tensor:
        """Join arrays (N, *shape), which are not to be written to, into one tensor.

        A single one may be the tensor's memory itself, which it keeps alive.

        >>> stack = np.zeros((2, 8, 8, 3), np.uint8)
        >>> Device(torch.device("cpu")).upload_stacks([stack, stack]).shape
        torch.Size([4, 8, 8, 3])
        """
        if len(stacks) == 1 and isinstance(stacks[0], np.ndarray):
            return self._seen(stacks[0])
        return self.upload([array for stack in stacks for array in stack])

    def upload_to_read(self, arrays: Sequence[Array]) -> torch.Tensor | list[torch.Tensor]:
        """Return what is not to be written to: a tensor (N, *shape) as :meth:`upload`, or N tensors (*shape).

        Each of these may be an array itself, which it keeps alive.

        >>> array = np.zeros((2, 3), np.float32)
        >>> [seen] = Device(torch.device("cpu")).upload_to_read([array])
        >>> seen.data_ptr() == array.ctypes.data
        True
        """
        return [self._seen(array) for array in arrays]

    def download(self, tensor: torch.Tensor) -> npt.NDArray[Any]:
        """Return a tensor that nobody else holds as an array."""
        array: npt.NDArray[Any] = tensor.contiguous().numpy()
        return array

    def settle(self) -> None:
        """Wait until everything that was started is done."""

    def allocated_bytes(self) -> int | None:
        """Return what tensors take on the device by torch's own count, in bytes; None where it keeps none."""
        return None

    def _seen(self, array: Array) -> torch.Tensor:
        """Return an array as a tensor in the same memory, or where that cannot be, a copy."""
        dtype = _torch_dtype(array.dtype)
        if array.flags.aligned and array.flags.c_contiguous:
            with suppress(BufferError):  # numpy and torch of before 2025 cannot say that it may only be read
                if dtype is not torch.bfloat16:
                    return from_dlpack(array)
                return from_dlpack(array.view(np.int16)).view(dtype)
        return self.upload([array])[0]

    def _host_memory(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype)

    def _to_device(self, staging: torch.Tensor) -> torch.Tensor:
        return staging


class _Cuda(Device):
    def upload_stacks(self, stacks: Sequence[Sequence[Array] | Array]) -> torch.Tensor:
        return self.upload([array for stack in stacks for array in stack])

    def upload_to_read(self, arrays: Sequence[Array]) -> torch.Tensor:
        return self.upload(arrays)

    def download(self, tensor: torch.Tensor) -> npt.NDArray[Any]:
        landing = self._host_memory(tuple(tensor.shape), tensor.dtype)
        landing.copy_(tensor, non_blocking=True)
        self.settle()
        array: npt.NDArray[Any] = landing.numpy()
        return array

    def settle(self) -> None:
        torch.cuda.current_stream(self.torch_device).synchronize()

    def allocated_bytes(self) -> int | None:
        return torch.cuda.memory_allocated(self.torch_device)

    def _host_memory(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def _to_device(self, staging: torch.Tensor) -> torch.Tensor:
        return staging.to(self.torch_device, non_blocking=True)


def _raw(staging: torch.Tensor) -> Array:
    """Return the staging memory as an array; numpy knows no bfloat16, so that is seen as integers."""
    seen = staging.view(torch.int16) if staging.dtype == torch.bfloat16 else staging
    array: Array = seen.numpy()
    return array
