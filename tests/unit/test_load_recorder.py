"""Histograms, windows and verdicts."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr.answers import Timings
from siamcorr.errors import InvalidArgument
from siamcorr_load.histogram import Histogram
from siamcorr_load.recorder import Recorder, Tally
from siamcorr_load.result_json import from_json, to_json
from siamcorr_load.results import Comparison, Distribution, Interval, Run, Window
from siamcorr_load.verdict import agree, judge

TIMES = st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=60)


def histogram_of(times: list[float]) -> Histogram:
    histogram = Histogram()
    for seconds in times:
        histogram.record(seconds)
    return histogram


@given(times=TIMES, percent=st.floats(0, 100))
def test_a_percentile_is_that_of_the_sorted_times_to_a_thousandth(times: list[float], percent: float) -> None:
    true = sorted(times)[max(1, math.ceil(percent / 100 * len(times))) - 1]
    assert histogram_of(times).percentile(percent) == pytest.approx(true, rel=1e-3, abs=1e-6)


@given(a=TIMES, b=TIMES)
def test_merged_histograms_are_that_of_all_times(a: list[float], b: list[float]) -> None:
    merged, whole = histogram_of(a), histogram_of(a + b)
    merged.merge(histogram_of(b))
    assert merged.counts == whole.counts
    assert merged.max_s == whole.max_s
    assert merged.sum_s == pytest.approx(whole.sum_s)


def test_a_distribution_has_the_largest_time_at_its_end_and_rises() -> None:
    found = histogram_of([n / 1e4 for n in range(1, 10_001)]).distribution()
    assert (found.count, found.max_s, found.points[-1]) == (10_000, 1.0, (100.0, 1.0))
    assert list(found.points) == sorted(found.points)
    assert found.p9999_s == pytest.approx(0.9999, rel=1e-3)
    assert Histogram().distribution() == Distribution()


def recorder() -> Recorder:
    return Recorder(begin_s=10.0, window_s=1.0, period_s=0.04, late_s=0.004)


def test_what_was_due_in_the_warm_up_is_in_no_window() -> None:
    one = recorder()
    for due_s in (9.99, 10.0):
        one.due(due_s)
        one.sent(due_s, due_s + 1)
        one.answered(due_s, due_s + 1, due_s + 2, 3, Timings(batch_pairs=6, queue_s=0.5))
    (window,) = one.closed(11.5)
    assert (window.sent, window.ok, window.on_time, window.late_sends, window.updates) == (1, 1, 0, 1, 3)
    assert window.latency.max_s == pytest.approx(2.0)
    assert window.service_time.max_s == pytest.approx(1.0)
    assert window.batches == {6: 1}
    assert window.stages().queue_s == 0.5


def test_a_window_closes_once_nothing_of_it_is_out_and_not_before_the_one_before() -> None:
    one = recorder()
    one.due(10.5)
    one.due(11.5)
    one.failed(11.5, "INTERNAL", is_reject=False)
    assert one.closed(13.5) == []
    one.dropped(10.5)
    first, second, third = one.closed(13.5)
    assert (first.dropped, first.ok, dict(second.errors), third.sent) == (1, 0, {"INTERNAL": 1}, 0)
    assert one.closed(13.5) == []


def test_tallies_merge_field_by_field() -> None:
    a, b = recorder(), recorder()
    for one in (a, b):
        one.due(10.1)
        one.answered(10.1, 10.1, 10.12, 2, Timings(batch_pairs=4))
        one.checked(10.1, is_wrong=one is b)
        one.upset(10.1, "QUEUE_FULL", is_reject=True)
    merged = Tally()
    for one in (a, b):
        merged.merge(one.closed(11.1)[0])
    assert (merged.sent, merged.ok, merged.on_time, merged.updates) == (2, 2, 2, 4)
    assert (merged.checked, merged.wrong, merged.rejects, merged.batches) == (2, 1, {"QUEUE_FULL": 2}, {4: 2})
    assert merged.window(1.0).rejects == {"QUEUE_FULL": 2}


def windows(*rates: int, p50_s: float = 0.01) -> list[Window]:
    return [Window(1.0, rate, rate, rate, p50_s=p50_s) for rate in rates]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (windows(100, 100), False),
        (windows(100, 100, 100), True),
        (windows(500, 100, 105, 95), True),
        (windows(100, 100, 150), False),
        ([*windows(100, 100), *windows(100, p50_s=0.02)], False),
    ],
)
def test_windows_agree_when_the_last_three_are_alike(given: list[Window], expected: bool) -> None:
    assert agree(given, 0.2) is expected


GOOD = {
    "tolerance": 0.2,
    "late_sends": 3,
    "sent": 300,
    "checked": 30,
    "wrong_answers": 0,
    "is_checking": True,
    "headroom": 2.0,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"late_sends": 4}, "late"),
        ({"wrong_answers": 1}, "1 of 30 answers checked were wrong"),
        ({"headroom": 1.1}, "no headroom"),
        ({"checked": 0}, "no answer was checked"),
        ({"tolerance": -1.0}, "do not agree"),
        ({"intervals": {"p50_s": Interval(0.010, 0.007, 0.013)}}, "latency p50 is 30 % more or less"),
    ],
)
def test_a_run_that_cannot_be_believed_says_why(change: dict[str, float], reason: str) -> None:
    steady = windows(100, 100, 100)
    assert judge(steady, **GOOD).is_valid  # type: ignore[arg-type]
    verdict = judge(steady, **GOOD | change)  # type: ignore[arg-type]
    assert not verdict.is_valid
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


def test_a_machine_that_stood_still_is_said_and_windows_of_a_search_need_not_agree() -> None:
    still = [dataclasses.replace(one, stalled_s=0.05) for one in windows(100, 100, 100)]
    (reason,) = judge(still, **GOOD).reasons  # type: ignore[arg-type]
    assert "machine stood still for 150 ms" in reason
    unlike = windows(100, 200, 400)
    assert judge(unlike, **GOOD | {"tolerance": None}).is_valid  # type: ignore[arg-type]


def test_a_run_without_answers_is_not_believed() -> None:
    verdict = judge(windows(0, 0, 0), **GOOD | {"checked": 0})  # type: ignore[arg-type]
    assert verdict.reasons == ("nothing was answered",)


def test_a_server_that_dies_and_stays_away_is_not_believed() -> None:
    dead = [dataclasses.replace(one, sent=100) for one in windows(100, 0, 0, 0)]
    assert agree(dead, 0.2)
    (reason,) = judge(dead, **GOOD).reasons  # type: ignore[arg-type]
    assert "the server may be gone" in reason


def some_run() -> Run:
    return Run(
        settings={"fps": 25.0, "template_shape": [1, 2, 3]},
        machine={"processors": 2},
        started="2026-01-01",
        warm_up_s=1.0,
        duration_s=3.0,
        period_s=0.04,
        windows=tuple(windows(10, 11, 12)),
        latency=histogram_of([0.1, 0.2]).distribution(),
        service_time=Distribution(),
        sent=33,
        ok=33,
        late_sends=0,
        throughput_per_s=11.0,
        target_updates_per_s=22.0,
        on_time_rate=1.0,
        rejects={"QUEUE_FULL": 1},
        batch_sizes={4: 2},
    )


def test_a_run_goes_through_json_unchanged() -> None:
    run = dataclasses.replace(some_run(), headroom=2.0)
    assert from_json(to_json(run), Run) == run
    assert from_json(to_json(some_run()), Run).headroom is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "json: found Expecting"),
        ("[]", "'no object'"),
        ("{}", "'no result'"),
        (to_json(Comparison((), "same")), "'Comparison'"),
        ('{"result": "Run"}', "TypeError"),
        ('{"result": "Run", "speed": 1}', "KeyError"),
    ],
)
def test_what_is_no_run_is_refused(text: str, found: str) -> None:
    with pytest.raises(InvalidArgument, match="json") as caught:
        from_json(text, Run)
    assert found in str(caught.value)
