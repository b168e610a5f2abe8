"""The figures, against cases counted by hand and, where it is installed, against the got10k toolkit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from siamcorr_eval.measures import Measures, centre_errors, mean, measure, overlaps, pool

SIZE = (100, 100)
NAN = (np.nan,) * 4


def boxes(*rows: tuple[float, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(rows, np.float64)


def shifted_by(*shifts: float) -> Measures:
    """Measure boxes of 10 x 10 that lie ``shifts`` pixels beside the truth, after the first."""
    truth = boxes(*[(40.0, 40, 10, 10)] * (1 + len(shifts)))
    found = truth.copy()
    found[1:, 0] += shifts
    return measure(found, truth, SIZE)


def test_an_overlap_is_counted_by_hand() -> None:
    a = boxes((0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 0, 0))
    b = boxes((5, 0, 10, 10), (2, 2, 5, 5), (20, 20, 5, 5), (0, 0, 10, 10))
    assert overlaps(a, b) == pytest.approx([50 / 150, 25 / 100, 0, 0])


def test_centres_are_those_of_pixels() -> None:
    assert centre_errors(boxes((0, 0, 11, 11)), boxes((3, 4, 11, 11))).tolist() == [5]
    assert centre_errors(boxes((0, 0, 1, 1)), boxes((0, 0, 7, 9))).tolist() == [5]


def test_success_counts_the_first_frame_and_thresholds_are_exceeded() -> None:
    """Overlaps 1, 1, 1/3 and 0: 20 thresholds lie below 1, 7 below 1/3, none below 0."""
    found = shifted_by(0, 5, 30)
    assert found.success[[0, 6, 7, 19, 20]].tolist() == [0.75, 0.75, 0.5, 0.5, 0]
    assert found.auc == pytest.approx((20 + 20 + 7 + 0) / (4 * 21))


def test_precision_counts_the_first_frame_and_thresholds_are_reached() -> None:
    found = shifted_by(0, 20, 20.5)
    assert found.precision[[0, 19, 20, 21]].tolist() == [0.5, 0.5, 0.75, 1]
    assert found.precision_20px == 0.75


def test_ao_and_sr_leave_the_first_frame_out() -> None:
    """A shift of 2 overlaps 80/120, one of 1 overlaps 90/110, and one of 5 overlaps 1/3."""
    found = shifted_by(2, 1, 5)
    assert found.ao == pytest.approx((80 / 120 + 90 / 110 + 1 / 3) / 3)
    assert (found.sr50, found.sr75) == pytest.approx((2 / 3, 1 / 3))


def test_an_overlap_of_the_threshold_is_no_success() -> None:
    truth = boxes((0, 0, 10, 10), (0, 0, 10, 10))
    found = measure(boxes((0, 0, 10, 10), (0, 0, 10, 5)), truth, SIZE)
    assert (found.ao, found.sr50, found.success[10]) == (0.5, 0, 0.5)


def test_for_ao_boxes_are_bounded_by_the_frame() -> None:
    """Of the box only 10 of 20 columns are in the frame, all within the truth."""
    truth = boxes((80, 40, 20, 20), (90, 40, 10, 20))
    found = measure(boxes((80, 40, 20, 20), (90, 40, 20, 20)), truth, SIZE)
    assert found.ao == 1
    assert found.success[10] == 0.5, "not so for success: the overlap is 0.5"


def test_frames_without_a_visible_target_count_nowhere() -> None:
    truth = boxes((0, 0, 10, 10), NAN, (0, 0, 10, 10), NAN)
    found = measure(boxes((0, 0, 10, 10), (50, 50, 9, 9), (0, 0, 10, 10), (70, 7, 9, 9)), truth, SIZE)
    assert (found.ao, found.sr75, found.success[0], found.precision_20px) == (1, 1, 1, 1)
    assert len(found.overlaps) == 1


def test_the_given_box_alone_measures_nothing() -> None:
    found = measure(boxes(*[(0, 0, 10, 10)] * 3), boxes((0, 0, 10, 10), NAN, NAN), SIZE)
    assert np.isnan([found.auc, found.precision_20px, found.ao, found.sr50, found.sr75]).all()


def test_sequences_count_the_same_and_pooled_frames_do() -> None:
    long, short = shifted_by(0, 0, 0), shifted_by(5)
    assert mean([long, short]).ao == pytest.approx((1 + 1 / 3) / 2)
    assert mean([long, short]).auc == pytest.approx((long.auc + short.auc) / 2)
    assert pool([long, short]) == pytest.approx(((3 + 1 / 3) / 4, 3 / 4, 3 / 4))


def test_a_sequence_without_truth_is_no_part_of_the_mean() -> None:
    nothing = measure(boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10)), SIZE)
    assert mean([shifted_by(2), nothing]).ao == shifted_by(2).ao
    assert np.isnan(mean([nothing]).ao)
    assert np.isnan(pool([])).all()


ROWS = arrays(
    np.float64,
    (7, 4),
    elements=st.floats(-50, 150),
).map(lambda rows: np.column_stack([rows[:, :2], np.abs(rows[:, 2:]) + 1]))


@given(found=ROWS, truth=ROWS)
def test_the_toolkits_own_functions_give_the_same(found: np.ndarray, truth: np.ndarray) -> None:
    metrics = pytest.importorskip("got10k.utils.metrics", reason="the got10k toolkit is not installed")
    ours = measure(found, truth, (100, 80))
    ious = metrics.rect_iou(found, truth)
    errors = metrics.center_error(found, truth)
    assert ours.success.tolist() == (ious[:, None] > np.linspace(0, 1, 21)).mean(axis=0).tolist()
    assert ours.precision.tolist() == (errors[:, None] <= np.arange(51)).mean(axis=0).tolist()
    bounded = metrics.rect_iou(found[1:].copy(), truth[1:].copy(), bound=(100, 80))
    assert ours.overlaps == pytest.approx(bounded, abs=1e-12)
