"""The definition of a peak, case by case, and its properties on random maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from siamcorr.errors import InvalidArgument
from siamcorr.peaks import Peak, exclusion_radius, find_peaks, sidelobe_ratio

Maps = npt.NDArray[np.float32]


def bump(rows: int, cols: int, at: tuple[float, float], width: float = 1.5) -> Maps:
    row, col = np.mgrid[:rows, :cols]
    squares = (row - at[0]) ** 2 + (col - at[1]) ** 2
    response: Maps = np.exp(-squares / (2 * width**2))[None].astype(np.float32)
    return response


def test_a_parabola_is_found_exactly() -> None:
    row, col = np.mgrid[:9, :11].astype(np.float64)
    peak = find_peaks(5.0 - (row - 3.75)[None] ** 2 - 2 * (col - 6.25)[None] ** 2)[0]
    assert (peak.row, peak.col) == (3.75, 6.25)


@pytest.mark.parametrize("at", [(8.0, 8.0), (4.3, 11.6), (9.5, 2.5)])
def test_a_smooth_peak_is_found_within_a_tenth_of_a_cell(at: tuple[float, float]) -> None:
    peak = find_peaks(bump(17, 17, at))[0]
    assert abs(peak.row - at[0]) < 0.1
    assert abs(peak.col - at[1]) < 0.1


def test_at_the_border_only_the_other_axis_is_refined() -> None:
    response = np.zeros((1, 5, 5), np.float32)
    response[0, 0, 1:4] = 1, 4, 2
    peak = find_peaks(response)[0]
    assert peak.row == 0
    assert 2 < peak.col < 2.5


def test_beside_a_non_finite_cell_nothing_is_refined() -> None:
    response = np.zeros((1, 5, 5), np.float32)
    response[0, 2, 1:4] = np.nan, 4, 2
    response[0, 1, 2] = 1
    peak = find_peaks(response)[0]
    assert peak.col == 2
    assert 1.5 < peak.row < 2


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 9), (3, 1, 7), (2, 6, 1)])
def test_a_constant_map_has_one_peak_a_channel_at_its_first_cell(shape: tuple[int, int, int]) -> None:
    found = find_peaks(np.full(shape, 0.1, np.float32), top_k=9)
    score = float(np.float32(0.1))
    assert found == tuple(Peak(0.0, 0.0, score, 0.0, channel) for channel in range(shape[0]))


def test_a_map_without_a_finite_cell_has_its_peak_at_the_origin() -> None:
    peak = find_peaks(np.full((2, 3, 3), -np.inf, np.float32), top_k=4)
    assert peak == (Peak(0.0, 0.0, -math.inf, 0.0, 0),)
    assert math.isnan(find_peaks(np.full((1, 3, 3), np.nan, np.float32))[0].score)


def test_infinity_is_no_peak() -> None:
    response = np.zeros((1, 5, 5), np.float32)
    response[0, 1, 1], response[0, 3, 3] = np.inf, 2
    assert find_peaks(response)[0] == Peak(3.0, 3.0, 2.0, 0.0)


def test_peaks_are_sorted_by_score_across_channels() -> None:
    response = np.zeros((2, 9, 9), np.float32)
    response[0, 1, 1], response[0, 7, 7], response[1, 4, 4] = 3, 5, 4
    found = find_peaks(response, top_k=3)
    assert [(peak.score, peak.channel, peak.row, peak.col) for peak in found] == [
        (5, 0, 7, 7),
        (4, 1, 4, 4),
        (3, 0, 1, 1),
    ]
    assert find_peaks(response, top_k=1) == found[:1]


def test_equal_peaks_come_in_row_major_order() -> None:
    response = np.zeros((2, 9, 9), np.float32)
    response[1, 1, 1] = response[0, 7, 2] = response[0, 1, 6] = 5
    found = find_peaks(response, top_k=3)
    assert [(peak.channel, peak.row) for peak in found] == [(0, 1), (0, 7), (1, 1)]


@pytest.mark.parametrize(
    ("side", "width"),
    [(1, 3), (2, 3), (3, 3), (5, 3), (9, 5), (13, 7), (17, 9), (21, 11), (25, 11), (272, 11)],
)
def test_the_square_left_out_is_pinned(side: int, width: int) -> None:
    assert 2 * exclusion_radius(side, side) + 1 == width
    assert exclusion_radius(side, side + 100) == exclusion_radius(side + 100, side) == (width - 1) // 2


@pytest.mark.parametrize(("side", "radius"), [(9, 2), (17, 4), (31, 5)])
def test_the_ratio_is_that_of_the_cells_outside_the_square(side: int, radius: int) -> None:
    response = np.random.default_rng(1).normal(size=(1, side, side))
    response[0, 1, side // 2] = 20
    sidelobe = [
        response[0, row, col]
        for row in range(side)
        for col in range(side)
        if max(abs(row - 1), abs(col - side // 2)) > radius
    ]
    expected = (20 - np.mean(sidelobe)) / np.std(sidelobe)
    assert find_peaks(response)[0].psr == pytest.approx(expected, rel=1e-12)


def test_the_ratio_is_of_the_peaks_own_channel() -> None:
    noise = np.random.default_rng(2).normal(size=(1, 17, 17))
    noise[0, 5, 5] = 9
    both = np.concatenate([noise, 100 * noise[:, ::-1]])
    assert find_peaks(both, top_k=50)[-1].channel in {0, 1}
    alone = find_peaks(noise)[0]
    assert next(peak for peak in find_peaks(both, top_k=500) if peak.channel == 0).psr == alone.psr


def test_the_ratio_is_zero_where_it_is_not_defined() -> None:
    assert find_peaks(bump(3, 3, (1, 1)))[0].psr == 0  # no sidelobe
    lonely = np.full((1, 9, 9), 0.1)
    lonely[0, 4, 4] = 1
    assert find_peaks(lonely)[0].psr == 0  # a constant one
    lonely[0, 0, 0] = np.nan
    assert find_peaks(lonely)[0].psr == 0  # a non-finite one
    huge = np.random.default_rng(3).normal(size=(1, 9, 9)) * 1e200
    assert find_peaks(huge)[0].psr == 0  # its variance overflows
    assert sidelobe_ratio(1.0, 0.0, math.nan) == 0
    assert sidelobe_ratio(1e300, 0.0, 1e-300) == 0  # the ratio itself overflows
    assert sidelobe_ratio(1.7e308, -1.7e308, 1.0) == 0


def test_a_signalling_nan_is_a_cell_like_any_nan() -> None:
    response = bump(5, 5, (2, 2))
    quiet = response.copy()
    quiet[0, 0, 0] = np.nan
    response.view(np.uint32)[0, 0, 0] = 0x7FA00000
    assert find_peaks(response) == find_peaks(quiet)


@pytest.mark.parametrize(
    ("response", "top_k", "field"),
    [
        ([[[0.0]]], 1, "response_map"),
        (np.zeros((3, 3), np.float32), 1, "response_map"),
        (np.zeros((1, 0, 3), np.float32), 1, "response_map"),
        (np.zeros((1, 3, 3), np.int32), 1, "response_map"),
        (np.zeros((1, 3, 3), np.float32), 0, "top_k"),
        (np.zeros((1, 3, 3), np.float32), True, "top_k"),
        (np.zeros((1, 3, 3), np.float32), 1.0, "top_k"),
    ],
)
def test_wrong_arguments_are_refused(response: Any, top_k: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        find_peaks(response, top_k=top_k)
    assert caught.value.field == field


cells = st.one_of(st.integers(-3, 3).map(float), st.floats(width=32))
maps = st_numpy.arrays(np.float32, st_numpy.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=cells)


@settings(deadline=None, max_examples=120)
@given(response=maps, top_k=st.integers(1, 12))
def test_peaks_of_any_map(response: Maps, top_k: int) -> None:
    found = find_peaks(response, top_k=top_k)
    assert 1 <= len(found) <= top_k
    assert all(math.isfinite(peak.psr) for peak in found)
    if not np.isfinite(response).any():
        return
    finite = np.where(np.isfinite(response), response, -np.inf)
    assert found[0].score == finite.max()
    assert [peak.score for peak in found] == sorted((peak.score for peak in found), reverse=True)
    for peak in found:
        row, col = round(peak.row), round(peak.col)
        around = finite[peak.channel, max(0, row - 1) : row + 2, max(0, col - 1) : col + 2]
        assert peak.score in around
        cells = finite[peak.channel] == peak.score
        offsets = np.abs(np.argwhere(cells) - (peak.row, peak.col)).max(1)
        assert offsets.min() <= 0.5, "the refined position is within half a cell of the peak's"


@settings(deadline=None, max_examples=120)
@given(response=maps, top_k=st.integers(1, 12))
def test_the_best_alone_is_the_first_of_many(response: Maps, top_k: int) -> None:
    (best,) = find_peaks(response)
    first = find_peaks(response, top_k=top_k + 1)[0]
    assert repr(best) == repr(first), "NaN is equal to NaN here"
