"""The dashboard's seconds: what is counted, in how much memory."""

from __future__ import annotations

import json
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr import Engine, EngineSettings
from siamcorr.answers import Timings
from siamcorr.errors import QueueFull
from siamcorr.stats import EngineStats
from siamcorr_server.dashboard.history import KEPT_SECONDS, STAGES, History
from siamcorr_server.dashboard.spans import BATCH_BINS, Durations, batch_bin
from siamcorr_server.observers import Finished

SETTINGS = EngineSettings(device="cpu", models={})


@pytest.fixture(scope="module")
def stats() -> EngineStats:
    with Engine(SETTINGS) as engine:
        return engine.stats()


def request(took_s: float = 0.01, code: str = "OK", **known: Any) -> Finished:
    status = grpc.StatusCode[code]
    return Finished("siamcorr.v1.CorrelationService/Correlate", "id", status, 5.0, 5.0 + took_s, **known)


def closed(history: History, stats: EngineStats, at_s: float = 100.0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(history.close_second(at_s, stats))
    return found


def test_a_request_counts_in_the_second_in_which_it_ends_and_in_no_other(stats: EngineStats) -> None:
    history = History()
    history.finished(request())
    history.finished(request(code="RESOURCE_EXHAUSTED", error=QueueFull("full")))
    first, second = closed(history, stats, 100.4), closed(history, stats, 101.4)
    assert first["t"] == 100
    assert first["requests"] == {"OK": 1, "RESOURCE_EXHAUSTED": 1}
    assert first["errors"] == {"QUEUE_FULL": 1}
    assert (second["t"], second["requests"], second["errors"]) == (101, {}, {})
    assert history.totals()["errors"] == {"QUEUE_FULL": 1}
    assert history.totals()["requests"] == [
        {"method": "CorrelationService/Correlate", "code": "OK", "count": 1},
        {"method": "CorrelationService/Correlate", "code": "RESOURCE_EXHAUSTED", "count": 1},
    ]


def test_an_error_that_is_nobodys_goes_by_its_code(stats: EngineStats) -> None:
    history = History()
    history.finished(request(code="CANCELLED"))
    history.finished(request(code="INTERNAL", error=KeyError("secret")))
    assert closed(history, stats)["errors"] == {"CANCELLED": 1, "INTERNAL": 1}


def test_the_stages_of_a_correlation_add_up_to_its_latency(stats: EngineStats) -> None:
    history = History()
    for took_s in (0.010, 0.020):
        timings = Timings(prepare_s=0.001, queue_s=0.002, embed_s=0.003, compute_s=0.001, copy_s=0.001)
        history.finished(request(took_s, timings=timings, pairs=1))
    found = closed(history, stats)
    assert dict(zip(STAGES, found["stages_ms"], strict=True)) == {
        "prepare": 1.0, "queue": 2.0, "embed": 3.0, "compute": 1.0, "copy": 1.0, "rest": 7.0,
    }  # fmt: skip
    assert found["latency_ms"] == pytest.approx([10.0, 20.0, 20.0], rel=0.05)


def test_without_a_correlation_there_is_no_latency(stats: EngineStats) -> None:
    history = History()
    history.finished(request())  # no timings: it made a template, say
    found = closed(history, stats)
    assert (found["latency_ms"], found["stages_ms"], found["minute_latency_ms"]) == (None, None, None)


def test_the_last_minute_forgets_what_is_older(stats: EngineStats) -> None:
    history = History()
    history.finished(request(1.0, timings=Timings(), pairs=1))
    seconds = [closed(history, stats, float(at_s)) for at_s in range(61)]
    assert seconds[0]["minute_latency_ms"] == pytest.approx([1000.0] * 3, rel=0.05)
    assert seconds[59]["minute_latency_ms"] == seconds[0]["minute_latency_ms"]
    assert seconds[60]["minute_latency_ms"] is None


def test_ten_minutes_are_kept_and_the_totals_are_of_all(stats: EngineStats) -> None:
    history = History()
    for at_s in range(KEPT_SECONDS + 5):
        history.finished(request())
        history.close_second(float(at_s), stats)
    assert len(history.seconds) == KEPT_SECONDS
    assert json.loads(history.seconds[0])["t"] == 5
    assert history.closed == KEPT_SECONDS + 5
    assert history.totals()["requests"][0]["count"] == KEPT_SECONDS + 5


def test_launches_are_counted_by_kind_with_their_pairs_and_their_plan() -> None:
    history = History()
    ones = np.ones((4, 3, 3), np.float32)
    with Engine(SETTINGS, on_launch=history.launched) as engine:
        templates = [engine.create_template(ones) for _ in range(3)]
        engine.correlate(templates, features=np.ones((4, 8, 8), np.float32))
        found = closed(history, engine.stats())
    assert history.totals()["launches"] == {"template": 3, "naive": 1}
    assert history.totals()["pairs"] == {"template": 3, "naive": 3}
    assert (found["launches"], found["pairs"]) == (4, 3)
    assert found["batches"][batch_bin(3)] == sum(found["batches"]) == 1
    assert sum(found["plans"].values()) == 1
    assert found["bank"]["templates"] == 3


@given(st.lists(st.floats(1e-5, 80.0), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_quantile_is_right_within_five_percent(seconds: list[float], share: float) -> None:
    durations = Durations()
    for one in seconds:
        durations.add(one)
    exact = sorted(seconds)[int(np.ceil(share * len(seconds))) - 1]
    assert durations.quantile(share) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, -1e-6, 1e6])
def test_what_is_out_of_range_counts_at_its_end(seconds: float) -> None:
    durations = Durations()
    durations.add(seconds)
    assert durations.count == 1
    assert 1e-5 <= durations.quantile(0.5) <= 84


@given(st.integers(1, 10**7))
def test_a_launch_is_in_one_bin_and_larger_ones_in_no_lower_one(pairs: int) -> None:
    assert 0 <= batch_bin(pairs) <= batch_bin(pairs + 1) < BATCH_BINS
