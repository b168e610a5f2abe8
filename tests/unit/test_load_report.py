"""Results as text for the terminal."""

from __future__ import annotations

import dataclasses
import re

import pytest

from load_runs import CAPACITY, EMPTY, NOTHING, RUN, SLOW, TOLD
from siamcorr_load.report import capacity_text, comparison_text, point_text, run_text
from siamcorr_load.results import CapacityPoint, Comparison, ComparisonRow, Verdict


def test_the_servers_own_figures_and_the_repeats_are_written_as_text() -> None:
    lines = [re.sub(" +", " ", one) for one in run_text(TOLD).splitlines()]
    spans = "answers/s 241 to 257, p50 10.1 ms to 12.1 ms, p99 20.0 ms to 30.0 ms"
    assert f"repeats 2: {spans}, 95 times in 100" in lines
    assert "its own 249 answers/s, rejected 3 (3 QUEUE_FULL); by the server's metrics" in lines
    assert "memory generators 310 MiB, server 415 MiB" in lines


@pytest.mark.parametrize(
    "line",
    [
        "p99 24.8 ms 22.1 ms",
        "on time 99.600 % of 1,500 within 40.0 ms",
        "dropped 1 frames",
        "rejected 3 (3 RESOURCE_EXHAUSTED)",
        "errors 1 (1 UNAVAILABLE)",
        "batches 9.70 pairs in the launch of an average answer, 16 at most",
        "valid",
    ],
)
def test_a_run_is_written_as_text(line: str) -> None:
    lines = [re.sub(" +", " ", one) for one in run_text(RUN).splitlines()]
    assert line in lines


def test_a_run_without_answers_is_written_too() -> None:
    assert run_text(EMPTY).endswith("invalid\n  nothing was answered")


def test_a_capacity_is_written_as_text() -> None:
    assert capacity_text(CAPACITY).splitlines() == [
        "targets  updates/s      p50      p99   on time  windows",
        "80           1,995  11.1 ms  24.8 ms  99.600 %   0 of 3  carried",
        "160          1,995  11.1 ms   310 ms    20.0 %   0 of 3  not carried",
        "",
        "capacity: 80 targets at 25 fps; nine times in ten the limit is 76 to 84",
        "valid",
    ]
    assert point_text(CAPACITY.points[1]) == (
        "160 targets: 1,995 updates/s, p50 11.1 ms, p99 310 ms, on time 20.0 %, windows in time 0 of 3, "
        "not carried"
    )
    assert "capacity: not known" in capacity_text(NOTHING)
    believed = dataclasses.replace(NOTHING, verdict=Verdict())
    assert "not one target is answered in time at 25 fps" in capacity_text(believed)


def test_a_generator_that_was_late_stands_beside_its_run() -> None:
    late = dataclasses.replace(SLOW, late_sends=150)
    assert point_text(CapacityPoint(160, late, False)).endswith(
        "windows in time 0 of 3, not carried, 10.0 % sent late"
    )


def test_a_trial_that_the_machine_spoilt_counts_for_nothing() -> None:
    windows = tuple(dataclasses.replace(window, slow=0.5) for window in SLOW.windows)
    spoilt = dataclasses.replace(SLOW, windows=windows)
    assert point_text(CapacityPoint(160, spoilt, False)).endswith("windows in time 0 of 0, does not count")


def test_a_comparison_is_written_as_text() -> None:
    row = ComparisonRow("latency p50", 0.010, 0.012, 0.2, 0.08, "worse")
    share = ComparisonRow("on time", 1.0, 0.9995, -0.0005, 0.002, "same")
    assert comparison_text(Comparison((row, share), "worse", ("a note",))).splitlines() == [
        "              before     after   change   noise",
        "latency p50  10.0 ms   12.0 ms  +20.0 %  ±8.0 %  worse",
        "on time        100 %  99.950 %   -0.1 %  ±0.2 %  same",
        "",
        "note: a note",
        "worse",
    ]
