from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from siamcorr_load.compare import BETTER, MIXED, NO_DIFFERENCE, SAME, WORSE, compare, exit_code
from siamcorr_load.cut_short import why_cut
from siamcorr_load.page import comparison_page
from siamcorr_load.report import comparison_text
from siamcorr_load.result_json import from_json, to_json
from siamcorr_load.results import Comparison, Distribution, Pace, Repeat, Run, Verdict, Window

PERIOD_S = 0.04
PERCENTILES = (1, 50, 90, 99, 99.9)
NAMES = ("p1_s", "p50_s", "p90_s", "p99_s", "p999_s")
RUNS_OF_A_KIND = 60


def a_run(
    rng: np.random.Generator,
    *,
    slower: float = 1.0,
    windows: int = 3,
    repeats: int = 0,
    disturbed: float = 0.0,
) -> Run:
    """A run as a shared machine gives it: skewed latencies, windows that differ, pauses, runs that differ.

    Others slow most requests, in each window by up to ``disturbed`` of their times.
    """
    of_run = np.exp(rng.normal(0, 0.02))
    samples = []
    for _ in range(windows):
        of_window = of_run * np.exp(rng.normal(0, 0.03))
        others = 1 + disturbed * rng.random() * (rng.random(2000) < 0.9)
        taken = np.exp(rng.normal(0, 0.35, 2000))
        if disturbed:  # one caller: none is faster than the work that it is
            taken = 0.8 + 0.2 * np.exp(rng.normal(0, 0.9, 2000))
        latency = 0.006 * slower * of_window * taken * others
        pauses = rng.random(2000) < 0.001
        samples.append(np.where(pauses, latency + rng.exponential(0.02, 2000), latency))
    whole = np.percentile(np.concatenate(samples), PERCENTILES).tolist()
    on_time = float(np.mean(np.concatenate(samples) <= PERIOD_S))
    rates = [16 / one.mean() for one in samples]  # a closed loop of 16
    return Run(
        settings={"targets": 80},
        machine={"cores": 2},
        started="2026-11-24T12:00:00Z",
        warm_up_s=2.0,
        duration_s=4.0 * windows,
        period_s=PERIOD_S,
        windows=tuple(_window(one, rate) for one, rate in zip(samples, rates, strict=True)),
        latency=Distribution(2000 * windows, **dict(zip(NAMES, whole, strict=True))),
        service_time=Distribution(),
        sent=2000 * windows,
        ok=2000 * windows,
        late_sends=0,
        throughput_per_s=float(np.mean(rates)),
        target_updates_per_s=float(np.mean(rates)),
        on_time_rate=on_time,
        repeats=tuple(_repeat(rng, slower) for _ in range(repeats)),
    )


def _window(latency: np.ndarray, rate: float) -> Window:
    p1, p50, p90, p99, p999 = map(float, np.percentile(latency, PERCENTILES))
    on_time = int(np.sum(latency <= PERIOD_S))
    seconds = len(latency) / rate
    counts = (len(latency), len(latency), on_time)
    return Window(seconds, *counts, 0, {}, {}, p50, p90, p99, p999, p999, p1_s=p1)


def _repeat(rng: np.random.Generator, slower: float) -> Repeat:
    noise = np.exp(rng.normal(0, 0.03))
    return Repeat(2500 / slower / noise, 0.006 * slower * noise, 0.014 * slower * noise, 1.0)


def verdicts(*, slower: float, repeats: int = 0) -> list[str]:
    rng = np.random.default_rng(5)
    runs = [
        (a_run(rng, repeats=repeats), a_run(rng, slower=slower, repeats=repeats))
        for _ in range(RUNS_OF_A_KIND)
    ]
    return [compare(a, b).verdict for a, b in runs]


@pytest.mark.parametrize("repeats", [0, 3])
def test_two_runs_of_the_same_server_show_no_difference_nine_times_in_ten(repeats: int) -> None:
    assert verdicts(slower=1.0, repeats=repeats).count(NO_DIFFERENCE) >= 0.9 * RUNS_OF_A_KIND


@pytest.mark.parametrize("repeats", [0, 3])
def test_a_server_slower_by_a_fifth_is_worse_nine_times_in_ten(repeats: int) -> None:
    assert verdicts(slower=1.2, repeats=repeats).count(WORSE) >= 0.9 * RUNS_OF_A_KIND


def test_a_server_faster_by_a_fifth_is_better_nine_times_in_ten() -> None:
    assert verdicts(slower=1 / 1.2).count(BETTER) >= 0.9 * RUNS_OF_A_KIND


@pytest.mark.parametrize(("slower", "verdict"), [(1.0, NO_DIFFERENCE), (1.2, WORSE), (1 / 1.2, BETTER)])
def test_runs_disturbed_by_others_are_told_apart_by_their_fastest_requests(
    slower: float, verdict: str
) -> None:
    rng = np.random.default_rng(11)
    found = [
        compare(a_run(rng, disturbed=0.5), a_run(rng, slower=slower, disturbed=0.5))
        for _ in range(RUNS_OF_A_KIND)
    ]
    assert [one.verdict for one in found].count(verdict) >= 0.9 * RUNS_OF_A_KIND
    p50 = [row.verdict for one in found for row in one.rows if row.name == "latency p50"]
    assert p50.count(SAME) >= 0.7 * RUNS_OF_A_KIND  # which is too noisy by then


def test_a_run_shows_no_difference_to_itself() -> None:
    run = a_run(np.random.default_rng(1))
    found = compare(run, run)
    assert found.verdict == NO_DIFFERENCE
    assert found.warnings == ()
    assert {row.verdict for row in found.rows} == {SAME}
    assert {row.change for row in found.rows} == {0.0}
    assert exit_code(found) == 0


@pytest.mark.parametrize("turns", [None, "t"])
@pytest.mark.parametrize("still_answered", [0, 1])
def test_a_server_that_answers_nothing_any_more_or_nothing_in_time_is_worse(
    turns: str | None, still_answered: int
) -> None:
    before = dataclasses.replace(a_run(np.random.default_rng(1), repeats=3), turns=turns)
    before = dataclasses.replace(
        before, repeats=tuple(dataclasses.replace(one, answered_rate=1.0) for one in before.repeats)
    )
    windows = [
        dataclasses.replace(one, ok=still_answered * one.ok, on_time=0, p50_s=still_answered * one.p50_s)
        for one in before.windows
    ]
    after = dataclasses.replace(
        before,
        windows=tuple(windows),
        ok=still_answered * before.ok,
        on_time_rate=0.0,
        throughput_per_s=still_answered * before.throughput_per_s,
        latency=before.latency if still_answered else Distribution(),
        repeats=tuple(
            dataclasses.replace(one, on_time_rate=0.0, answered_rate=float(still_answered))
            for one in before.repeats
        ),
    )
    found = compare(before, after)
    assert found.verdict == WORSE
    (row,) = (row for row in found.rows if row.name == "on time")
    assert (row.b, row.verdict) == (0.0, WORSE)
    assert row.change == pytest.approx(-1.0, abs=0.01)
    assert ("answered" in [row.name for row in found.rows if row.verdict == WORSE]) == (not still_answered)
    assert "on time" in comparison_text(found)
    assert "on time" in comparison_page(found, before, after)


def test_windows_that_differ_more_make_more_noise() -> None:
    calm = a_run(np.random.default_rng(1))
    windows = tuple(
        dataclasses.replace(window, p50_s=window.p50_s * factor)
        for window, factor in zip(calm.windows, (0.7, 1.0, 1.4), strict=True)
    )
    wild = dataclasses.replace(calm, windows=windows)
    assert noise(wild, "latency p50") > 2 * noise(calm, "latency p50")
    assert noise(wild, "latency p90") == noise(calm, "latency p90")


def test_repeats_that_agree_make_less_noise() -> None:
    run = a_run(np.random.default_rng(1))
    repeats = (Repeat(2500, 0.006, 0.014, 1.0),) * 5
    assert noise(dataclasses.replace(run, repeats=repeats), "latency p50") < noise(run, "latency p50")


def noise(run: Run, name: str) -> float:
    return next(row.noise for row in compare(run, run).rows if row.name == name)


def test_one_wrong_answer_is_worse_whatever_else_became_better() -> None:
    rng = np.random.default_rng(1)
    faster = dataclasses.replace(a_run(rng, slower=0.5), wrong_answers=1)
    found = compare(a_run(rng), faster)
    assert found.verdict == WORSE
    assert "wrong answers in the second run: 1" in found.warnings
    assert exit_code(found) == 1


def test_faster_but_refusing_is_mixed_and_fails() -> None:
    rng = np.random.default_rng(1)
    a, b = a_run(rng), a_run(rng, slower=0.5)
    windows = tuple(
        dataclasses.replace(one, ok=1800, rejects={"RESOURCE_EXHAUSTED": 200}) for one in b.windows
    )
    found = compare(a, dataclasses.replace(b, ok=5400, windows=windows))
    assert found.verdict == MIXED
    assert exit_code(found) == 1


def test_what_makes_a_comparison_doubtful_is_said() -> None:
    run = a_run(np.random.default_rng(1))
    other = dataclasses.replace(
        run,
        settings={"targets": 160},
        machine={"cores": 64},
        windows=run.windows[:1],
        verdict=Verdict("invalid", ("late for 2 % of its sends",)),
    )
    assert compare(run, other).warnings == (
        "the second run is not valid: late for 2 % of its sends",
        "the second run has too few windows to learn its noise from",
        "the runs differ in their settings: targets",
        "the runs were made on machines that differ: cores",
    )


def test_a_machine_that_was_not_as_fast_is_told() -> None:
    run = a_run(np.random.default_rng(1))
    first, second = (dataclasses.replace(run, pace=Pace(fastest_s, 0.0)) for fastest_s in (3e-4, 4.2e-4))
    (warning,) = compare(first, second).warnings
    assert warning == (
        "the machine itself was not as fast: it took 1.40 times as long in the second run as in the first "
        "for the same piece of work"
    )
    assert compare(first, first).warnings == ()


def test_the_servers_addresses_and_the_machines_mood_may_differ() -> None:
    run = a_run(np.random.default_rng(1))
    other = dataclasses.replace(
        run,
        settings={"targets": 80, "server": "127.0.0.1:1", "metrics_url": "http://127.0.0.1:2/metrics"},
        machine={"cores": 2, "load_average": 0.7},
    )
    assert compare(run, other).warnings == ()


def test_runs_without_answers_are_compared_by_nothing() -> None:
    run = a_run(np.random.default_rng(1))
    none = dataclasses.replace(
        run, ok=0, latency=Distribution(), windows=(), throughput_per_s=0.0, on_time_rate=0.0
    )
    assert compare(none, none).rows == ()


def test_a_comparison_survives_its_json() -> None:
    rng = np.random.default_rng(1)
    found = compare(a_run(rng), a_run(rng, slower=1.5))
    assert from_json(to_json(found), Comparison) == found


def in_turns(rng: np.random.Generator, *, slower: float, turns: int = 8) -> tuple[Run, Run]:
    """Two runs of a machine that is faster in one minute than in the next, by a tenth and more."""
    of_minute = np.exp(rng.normal(0, 0.12, turns))
    pairs = [(_repeat(rng, minute), _repeat(rng, minute * slower)) for minute in of_minute.tolist()]
    a, b = a_run(rng), a_run(rng, slower=slower)
    return (
        dataclasses.replace(a, turns="t", repeats=tuple(one for one, _ in pairs)),
        dataclasses.replace(b, turns="t", repeats=tuple(two for _, two in pairs)),
    )


@pytest.mark.parametrize(("slower", "verdict"), [(1.0, NO_DIFFERENCE), (1.2, WORSE), (1 / 1.2, BETTER)])
def test_runs_made_in_turns_are_told_apart_although_the_machine_changes(slower: float, verdict: str) -> None:
    rng = np.random.default_rng(7)
    found = [compare(*in_turns(rng, slower=slower)).verdict for _ in range(RUNS_OF_A_KIND)]
    assert found.count(verdict) >= 0.9 * RUNS_OF_A_KIND


def test_turns_that_were_cut_short_are_no_verdict_but_a_wrong_answer_is() -> None:
    a, b = in_turns(np.random.default_rng(7), slower=1.5)
    verdict = Verdict("invalid", (why_cut(KeyboardInterrupt()),))
    cut = dataclasses.replace(b, repeats=b.repeats[:-1], verdict=verdict)
    found = compare(a, cut)
    assert (found.verdict, exit_code(found)) == ("invalid", 1)
    assert {row.verdict for row in found.rows if row.name == "latency p50"} == {WORSE}
    assert found.warnings == ("the second run is not valid: it was interrupted before its end",)
    assert compare(a, dataclasses.replace(cut, wrong_answers=1)).verdict == WORSE
    assert compare(a, dataclasses.replace(cut, turns="others")).verdict == WORSE
