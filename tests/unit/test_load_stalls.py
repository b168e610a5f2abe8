from __future__ import annotations

import pytest

from siamcorr_load.intervals import interval, intervals_of
from siamcorr_load.results import Repeat, Window
from siamcorr_load.stalls import LEAST_S, StallMeter
from siamcorr_load.threshold import Threshold
from siamcorr_load.windows import is_carried, proves

PERIOD_S = 0.04


class Machine:
    """A clock on which a sleep takes as much longer as ``late`` says, in turn."""

    def __init__(self, *late_s: float) -> None:
        self.now_s = 0.0
        self.late_s = list(late_s)

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self.late_s.pop(0)


def meter_of(*late_s: float) -> StallMeter:
    machine = Machine(*late_s)
    meter = StallMeter(machine.clock, machine.sleep)
    for _ in late_s:
        meter.look()
    return meter


def test_only_delays_from_the_least_on_are_stalls() -> None:
    assert meter_of(0.0, LEAST_S / 2, 0.0).stalled_s(0.0, 10.0) == 0.0
    assert meter_of(0.0, 0.5, 0.0).stalled_s(0.0, 10.0) == pytest.approx(0.5)


def test_a_stall_counts_for_the_window_that_it_lies_in_and_is_shared_by_two() -> None:
    meter = meter_of(1.0)  # from 0.002 to 1.002
    assert meter.stalled_s(0.0, 0.502) == pytest.approx(0.5)
    assert meter.stalled_s(0.502, 2.0) == pytest.approx(0.5)
    assert meter.stalled_s(2.0, 3.0) == 0.0


def test_a_meter_watches_from_entering_to_leaving() -> None:
    asked: list[float] = []
    with StallMeter(lambda: 0.0, asked.append) as meter:
        while not asked:
            pass
    assert meter.stalled_s(0.0, 1.0) == 0.0


@pytest.mark.parametrize(
    ("late", "stalled_s", "is_proof"),
    [
        (10, 0.0, True),
        (10, 0.01, False),
        (100, 0.01, False),
        (101, 0.01, True),
        (1000, 0.05, True),
        (0, 0.5, True),
    ],
)
def test_a_stall_explains_so_many_late_answers_and_no_more(
    late: int, stalled_s: float, is_proof: bool
) -> None:
    window = Window(2.0, 1000, 1000, 1000 - late, p99_s=0.01, stalled_s=stalled_s)
    assert proves(window, PERIOD_S) is is_proof


def test_most_of_the_windows_that_prove_something_decide() -> None:
    good, bad = Window(2.0, 1000, 1000, 1000), Window(2.0, 1000, 1000, 900)
    void = Window(2.0, 1000, 1000, 990, stalled_s=0.1)
    assert is_carried([good], PERIOD_S)
    assert is_carried([good, good, bad], PERIOD_S)
    assert is_carried([good, void, void], PERIOD_S)
    assert not is_carried([good, bad], PERIOD_S)
    assert not is_carried([void], PERIOD_S)


def test_a_threshold_that_has_seen_nothing_knows_nothing() -> None:
    threshold = Threshold(100)
    assert threshold.quantile(0.05) < 1
    assert threshold.quantile(0.95) > 100


def test_what_was_seen_narrows_a_threshold_and_a_lie_is_outvoted() -> None:
    threshold = Threshold(1000)
    threshold.saw(50, is_in_time=False, is_clear=False)  # the lie
    for _ in range(3):
        threshold.saw(100, is_in_time=True, is_clear=True)
        threshold.saw(110, is_in_time=False, is_clear=True)
    assert 90 < threshold.quantile(0.05) < threshold.quantile(0.95) < 120
    assert threshold.chance_in_time(80) > 0.8
    assert threshold.chance_in_time(130) < 0.1


def test_one_window_never_rules_a_threshold_out() -> None:
    threshold = Threshold(1000)
    threshold.saw(100, is_in_time=False, is_clear=True)
    for _ in range(4):
        threshold.saw(200, is_in_time=True, is_clear=True)
    assert threshold.quantile(0.5) > 190


def test_the_interval_of_repeats_holds_their_mean_and_narrows_with_their_number() -> None:
    two, many = interval([1.0, 1.2]), interval([1.0, 1.2] * 10)
    assert two.mean == many.mean == pytest.approx(1.1)
    assert two.high - two.low == pytest.approx(2 * 12.706 * 0.1)
    assert many.high - many.low < 0.1
    assert many.low < 1.1 < many.high


def test_every_measure_of_repeats_has_its_interval() -> None:
    repeats = [Repeat(100.0 + one, 0.004, 0.01, 1.0) for one in range(3)]
    found = intervals_of(repeats)
    assert found["throughput_per_s"].mean == 101.0
    assert found["p50_s"].low == pytest.approx(found["p50_s"].high) == pytest.approx(0.004)
    assert set(found) == {"throughput_per_s", "p50_s", "p99_s", "on_time_rate"}
