"""What is counted of requests and launches, and how it is shown: without a server."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace as replaced
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from siamcorr import Engine, EngineSettings
from siamcorr.answers import Timings
from siamcorr.errors import BankFull, Draining, InternalError, QueueFull, TemplateNotFound
from siamcorr.ops.kernel import Compilations
from siamcorr_server.metrics.collector import EngineCollector
from siamcorr_server.metrics.counts import LAUNCH_PAIRS, REQUEST_SECONDS, STAGE_SECONDS, Counts, Histogram
from siamcorr_server.observers import Finished

OK = Finished("a.b.Service/Method", "id", grpc.StatusCode.OK, began_s=10.0, ended_s=10.5)
Z = np.ones((4, 3, 3), np.float32)
X = np.ones((4, 8, 8), np.float32)


def count_of(histogram: Histogram) -> int:
    return sum(histogram.read()[0])


def values_of(counts: Counts, **changes: Any) -> dict[str, float]:
    """Return the samples that a scrape would show, each under its name and sorted labels."""
    with Engine(EngineSettings(device="cpu", models={})) as engine:
        stats = replaced(engine.stats(), **changes)
    registry = CollectorRegistry()
    registry.register(EngineCollector(counts, lambda: stats))
    text = generate_latest(registry).decode()
    return {
        f"{sample.name} {sorted(sample.labels.items())}": sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


@given(st.lists(st.floats(0, 20)))
def test_a_number_counts_for_the_first_bound_that_it_does_not_exceed(values: list[float]) -> None:
    histogram = Histogram(REQUEST_SECONDS)
    for value in values:
        histogram.observe(value)
    counts, total = histogram.read()
    bounds = [*REQUEST_SECONDS, float("inf")]
    for bound, cumulative in zip(bounds, np.cumsum(counts), strict=True):
        assert cumulative == sum(value <= bound for value in values)
    assert total == pytest.approx(sum(values))


def test_what_was_read_does_not_change_any_more() -> None:
    histogram = Histogram(LAUNCH_PAIRS)
    counts, _ = histogram.read()
    histogram.observe(1)
    assert sum(counts) == 0


@pytest.mark.parametrize("bounds", [REQUEST_SECONDS, STAGE_SECONDS, LAUNCH_PAIRS])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


@pytest.mark.parametrize("frames_per_s", [15, 25, 30, 50, 60])
def test_a_frame_period_is_a_bound_of_a_request_s_seconds(frames_per_s: int) -> None:
    above = REQUEST_SECONDS[bisect_left(REQUEST_SECONDS, 0.99 / frames_per_s)]
    assert above == pytest.approx(1 / frames_per_s, rel=0.003)


def test_requests_are_counted_by_method_and_code() -> None:
    counts = Counts()
    failed = OK._replace(code=grpc.StatusCode.NOT_FOUND, error=TemplateNotFound("gone"))
    for request in (OK, OK, failed, OK._replace(method="a.b.Other/Method")):
        counts.finished(request)
    shown = values_of(counts)
    of_requests = {name: value for name, value in shown.items() if "requests_total" in name}
    assert of_requests == {
        "siamcorr_requests_total [('code', 'OK'), ('method', 'Service/Method')]": 2,
        "siamcorr_requests_total [('code', 'NOT_FOUND'), ('method', 'Service/Method')]": 1,
        "siamcorr_requests_total [('code', 'OK'), ('method', 'Other/Method')]": 1,
    }
    assert shown["siamcorr_request_seconds_count [('method', 'Service/Method')]"] == 2
    assert shown["siamcorr_request_seconds_sum [('method', 'Service/Method')]"] == 1.0
    assert shown["siamcorr_request_seconds_bucket [('le', '0.25'), ('method', 'Service/Method')]"] == 0
    assert shown["siamcorr_request_seconds_bucket [('le', '0.5'), ('method', 'Service/Method')]"] == 2


def test_overload_is_counted_by_reason_and_nothing_else_is() -> None:
    counts = Counts()
    assert counts.rejects == {"QUEUE_FULL": 0, "BANK_FULL": 0, "DRAINING": 0}, "rates need a first value"
    overload = (QueueFull("x"), QueueFull("x"), BankFull("x"), Draining("x"))
    for error in (*overload, TemplateNotFound("x"), InternalError("x"), KeyError()):
        counts.finished(OK._replace(error=error))
    assert counts.rejects == {"QUEUE_FULL": 2, "BANK_FULL": 1, "DRAINING": 1}


def test_prepare_is_counted_of_requests_with_a_frame_only() -> None:
    counts = Counts()
    for timings in (None, Timings(queue_s=0.1), Timings(queue_s=0.2, prepare_s=0.3)):
        counts.finished(OK._replace(timings=timings))
    assert counts.stage_seconds["queue"].read()[1] == pytest.approx(0.3)
    assert count_of(counts.stage_seconds["queue"]) == 2
    assert count_of(counts.stage_seconds["prepare"]) == 1


def test_a_launch_is_counted_once_however_many_calls_share_it() -> None:
    counts = Counts()
    with Engine(EngineSettings(device="cpu", models={}), on_launch=counts.launched) as engine:
        templates = [engine.create_template(Z) for _ in range(3)]
        engine.correlate(templates, features=X, kind="depthwise")
        engine.correlate(templates[0], features=X, kind="depthwise")
    assert counts.launch_pairs["template"].read() == ([3, *[0] * 9], 3.0)
    assert counts.launch_pairs["depthwise"].read() == ([1, 0, 1, *[0] * 7], 4.0)
    assert [count_of(one) for one in counts.stage_seconds.values()] == [0, 0, 0, 2, 2]


def test_a_launch_that_gave_nothing_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    settings = EngineSettings(device="cpu", models={}, budget_bytes=Z.nbytes)
    with Engine(settings, on_launch=counts.launched) as engine:
        template = engine.create_template(Z)
        with pytest.raises(BankFull):
            engine.create_template(Z)
        with pytest.raises(ValueError, match="NaN"):
            engine.correlate(template, features=np.full_like(X, np.nan))
    assert not caplog.records
    assert counts.launch_pairs.keys() == {"template"}
    assert count_of(counts.launch_pairs["template"]) == 1
    assert count_of(counts.stage_seconds["compute"]) == 0


def test_the_device_s_memory_is_shown_where_it_is_known() -> None:
    assert not any("device_bytes" in name for name in values_of(Counts()))
    assert values_of(Counts(), device_bytes=7)["siamcorr_device_bytes []"] == 7


def test_compilations_are_the_engine_s() -> None:
    shown = values_of(Counts(), compilations=Compilations(3, 0.5))
    assert shown["siamcorr_compilations_total []"] == 3
    assert shown["siamcorr_compilation_seconds_total []"] == 0.5


def test_both_of_prometheus_s_formats_are_well_formed_and_say_the_same() -> None:
    counts = Counts()
    counts.finished(OK)
    with Engine(EngineSettings(device="cpu", models={}), on_launch=counts.launched) as engine:
        engine.create_template(Z)
        registry = CollectorRegistry()
        registry.register(EngineCollector(counts, engine.stats))
        text = generate_latest(registry).decode()
        open_text = generate_open_metrics(registry).decode()  # type: ignore[no-untyped-call]
    families = list(parse_text(text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    plain, opened = (
        [(sample.name, sample.labels, sample.value) for family in found for sample in family.samples]
        for found in (families, parse_open_metrics(open_text))  # type: ignore[no-untyped-call]
    )
    assert plain == opened
