"""PSR and APCE of score maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr.peaks import find_peaks
from siamcorr_client.trackers.confidence import apce, psr


def maps(count: int, seed: int, cells: int = 17) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, 1, (count, cells, cells + 2)).astype(np.float32)


@pytest.mark.parametrize("cells", [3, 9, 15, 25])
def test_the_sidelobe_ratio_is_that_of_a_response_s_peak(cells: int) -> None:
    found = maps(4, cells, cells)
    expected = [find_peaks(one[None])[0].psr for one in found]
    assert psr(found) == pytest.approx(expected, rel=1e-9)


def test_the_energy_is_as_published() -> None:
    found = maps(3, 1).astype(np.float64)
    expected = [(one.max() - one.min()) ** 2 / np.mean((one - one.min()) ** 2) for one in found]
    assert apce(found) == pytest.approx(expected)


@given(count=st.integers(2, 40), seed=st.integers(0, 99))
def test_a_map_has_the_same_bits_alone_and_among_others(count: int, seed: int) -> None:
    found = maps(count, seed)
    for row in range(count):
        assert psr(found)[row] == psr(found[row : row + 1])[0]
        assert apce(found)[row] == apce(found[row : row + 1])[0]


@pytest.mark.parametrize("value", [0.0, 2.5, np.nan, np.inf])
def test_an_even_map_or_one_without_numbers_has_none(value: float) -> None:
    even = np.full((1, 9, 9), value)
    assert psr(even).tolist() == apce(even).tolist() == [0.0]


def test_a_second_peak_lowers_both() -> None:
    one = np.abs(maps(1, 2)) / 10
    two = one.copy()
    one[0, 8, 8] = two[0, 8, 8] = 5
    two[0, 1, 1] = 4.9
    assert apce(two)[0] < apce(one)[0]
    assert psr(two)[0] < psr(one)[0]
