"""Peaks on the device: to the bit those that the definition in numpy finds."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from siamcorr.errors import InvalidArgument
from siamcorr.ops import batched_peaks
from siamcorr.ops.peaks import peaks_in_torch
from siamcorr.peaks import Peak, find_peaks

pytestmark = pytest.mark.usefixtures("one_thread")


def bits(peaks: tuple[Peak, ...]) -> list[list[str]]:
    """Return the numbers of the peaks so that only equal bits, and NaN and NaN, are equal."""
    return [[float(number).hex() for number in astuple(peak)] for peak in peaks]


WAYS = batched_peaks, peaks_in_torch


def check(maps: npt.NDArray[Any], top_k: int) -> None:
    expected = [bits(find_peaks(one, top_k=top_k)) for one in maps]
    for way in WAYS:
        assert [bits(peaks) for peaks in way(torch.from_numpy(maps), top_k)] == expected


cells = {
    np.float16: st.one_of(st.integers(-3, 3).map(float), st.floats(width=16)),
    np.float32: st.one_of(st.integers(-3, 3).map(float), st.floats(width=32)),
    np.float64: st.one_of(st.integers(-3, 3).map(float), st.floats(width=64)),
}
batches = st.sampled_from(list(cells)).flatmap(
    lambda dtype: st_numpy.arrays(
        dtype, st_numpy.array_shapes(min_dims=4, max_dims=4, max_side=7), elements=cells[dtype]
    )
)


@settings(deadline=None, max_examples=80)
@given(maps=batches, top_k=st.integers(1, 12))
def test_any_maps_have_the_peaks_of_the_definition(maps: npt.NDArray[Any], top_k: int) -> None:
    check(maps, top_k)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(3, 1, 17, 17), (2, 10, 25, 25), (5, 2, 9, 16), (2, 1, 1, 30), (1, 1, 272, 272)]
)
def test_maps_as_they_are_have_the_peaks_of_the_definition(
    shape: tuple[int, ...], dtype: type[np.floating[Any]]
) -> None:
    maps = np.random.default_rng(1).normal(size=shape).astype(dtype)
    for top_k in (1, 7):
        check(maps, top_k)
        check(maps.round(1), top_k)
        check(np.abs(maps).cumsum(-1), top_k)
    check(maps.clip(-0.1, 0.1), 3)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e160, 1e307])
def test_ratios_that_underflow_or_overflow_are_the_same(scale: float) -> None:
    maps = np.random.default_rng(2).normal(size=(2, 1, 13, 13)) * scale
    check(maps, 5)
    maps[:, :, 3, 3] = 1.7e308
    check(maps, 5)


def test_bfloat16_maps_are_widened() -> None:
    maps = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(3)).bfloat16()
    for way in WAYS:
        assert way(maps, 4) == [find_peaks(one, top_k=4) for one in maps.float().numpy()]


def test_maps_of_any_layout_that_need_a_gradient() -> None:
    maps = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(4)).mT.requires_grad_()
    assert batched_peaks(maps, 4) == [find_peaks(one, top_k=4) for one in maps.detach().numpy()]


def test_many_peaks_are_measured_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.randn(3, 2, 9, 9, generator=torch.Generator().manual_seed(5))
    at_once = peaks_in_torch(maps, 20)
    monkeypatch.setattr("siamcorr.ops.peaks._CELLS_PER_STEP", 2 * 81)
    assert peaks_in_torch(maps, 20) == at_once


@pytest.mark.parametrize(
    ("maps", "top_k", "field"),
    [
        (np.zeros((1, 1, 3, 3), np.float32), 1, "response_map"),
        (torch.zeros(1, 3, 3), 1, "response_map"),
        (torch.zeros(0, 1, 3, 3), 1, "response_map"),
        (torch.zeros(1, 1, 3, 3, dtype=torch.int32), 1, "response_map"),
        (torch.zeros(1, 1, 3, 3), 0, "top_k"),
        (torch.zeros(1, 1, 3, 3), True, "top_k"),
    ],
)
def test_wrong_arguments_are_refused(maps: Any, top_k: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        batched_peaks(maps, top_k)
    assert caught.value.field == field
