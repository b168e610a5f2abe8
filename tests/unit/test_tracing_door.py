"""Spans of requests: whose children they are, what they say, and when there are none."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from siamcorr import errors
from siamcorr.answers import Timings
from siamcorr_server.observers import Finished
from siamcorr_server.tracing import Tracing, door

CORRELATE = "siamcorr.v1.CorrelationService/Correlate"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01", "tracestate": "vendor=value"}
UNSAMPLED = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"}
TIMINGS = Timings(queue_s=0.25, copy_s=0.125, compute_s=0.5, batch_pairs=7, plan="matmul")


def request(**changes: Any) -> Finished:
    facts: dict[str, Any] = {
        "method": CORRELATE,
        "request_id": "frame-7",
        "code": grpc.StatusCode.OK,
        "began_s": 100.0,
        "ended_s": 101.0,
        "pairs": 2,
        "timings": TIMINGS,
    }
    return Finished(**(facts | changes))


def spans_of(*requests: Finished, root: Sampler = ALWAYS_ON) -> list[ReadableSpan]:
    """Return the spans of ``requests`` in the order of their beginnings."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(root), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider.get_tracer("test"))
    for one in requests:
        tracing.finished(one)
    return sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


def test_a_request_is_a_server_span_with_its_stages_in_it() -> None:
    served, *stages = spans_of(request())
    assert (served.name, served.kind, served.parent) == (CORRELATE, SpanKind.SERVER, None)
    assert dict(served.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": CORRELATE,
        "rpc.response.status_code": "OK",
        "siamcorr.request_id": "frame-7",
        "siamcorr.pairs": 2,
        "siamcorr.batch_pairs": 7,
        "siamcorr.plan": "matmul",
    }
    assert served.status.status_code is StatusCode.UNSET
    assert [span.name for span in stages] == ["queue", "copy", "compute"]
    for span in stages:
        assert span.parent == served.context
        assert span.kind is SpanKind.INTERNAL


def test_a_launch_that_had_to_compile_says_so_in_its_compute() -> None:
    _, *stages = spans_of(request(timings=replace(TIMINGS, compile_s=0.375)))
    said = {span.name: dict(span.attributes or {}) for span in stages}
    assert said == {"queue": {}, "copy": {}, "compute": {"siamcorr.compile_s": 0.375}}


def test_times_are_of_the_day_by_one_reading_of_the_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    day_ns = iter([5_000_000_000_000, 1_000_000_000_000])  # it is set back by more than an hour
    clocks = SimpleNamespace(monotonic_ns=lambda: 102_000_000_000, time_ns=lambda: next(day_ns))
    monkeypatch.setattr(door, "time", clocks)
    before = spans_of(request())
    after = spans_of(request())
    assert [(span.start_time, span.end_time) for span in before] == [
        (4_998_000_000_000, 4_999_000_000_000),
        (4_998_125_000_000, 4_998_375_000_000),
        (4_998_375_000_000, 4_998_500_000_000),
        (4_998_500_000_000, 4_999_000_000_000),
    ]
    assert (after[0].start_time, after[0].end_time) == (998_000_000_000, 999_000_000_000)


def test_the_parent_comes_from_the_callers_metadata() -> None:
    served, *stages = spans_of(request(metadata=SAMPLED | {"x-request-id": "frame-7"}), root=ALWAYS_OFF)
    assert served.parent is not None
    assert served.parent.is_remote
    assert f"{served.parent.span_id:016x}" == SPAN_ID
    assert {f"{span.context.trace_id:032x}" for span in (served, *stages)} == {TRACE_ID}
    assert served.context.trace_state.get("vendor") == "value"
    assert len(stages) == 3


def test_a_parent_that_is_not_sampled_has_no_spans() -> None:
    assert spans_of(request(metadata=UNSAMPLED)) == []


@pytest.mark.parametrize(
    "malformed",
    ["", "00", f"00-{TRACE_ID}-{SPAN_ID}", f"00-{'0' * 32}-{SPAN_ID}-01", f"ff-{TRACE_ID}-{SPAN_ID}-01", "é"],
)
def test_a_malformed_parent_is_none(malformed: str) -> None:
    served, *stages = spans_of(request(metadata={"traceparent": malformed}))
    assert served.parent is None
    assert f"{served.context.trace_id:032x}" != TRACE_ID
    assert len(stages) == 3


def test_without_a_parent_the_sampler_decides_once_for_a_request_and_its_stages() -> None:
    assert spans_of(request(), root=ALWAYS_OFF) == []
    requests = [request() for _ in range(3)]
    assert len({span.context.trace_id for span in spans_of(*requests)}) == 3


def test_what_is_no_correlation_has_no_stages() -> None:
    method = "siamcorr.v1.TemplateService/CreateTemplate"
    (span,) = spans_of(request(method=method, pairs=0, timings=None))
    assert span.name == method
    assert not [name for name in span.attributes or {} if name in {"siamcorr.pairs", "siamcorr.plan"}]


@pytest.mark.parametrize(
    ("error", "code", "error_type"),
    [
        (errors.TemplateEvicted("tpl_secret is gone"), grpc.StatusCode.NOT_FOUND, "TEMPLATE_EVICTED"),
        (errors.QueueFull("tpl_secret"), grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
        (None, grpc.StatusCode.CANCELLED, "CANCELLED"),
    ],
)
def test_what_the_caller_did_is_told_and_is_no_error_of_the_server(
    error: Exception | None, code: grpc.StatusCode, error_type: str
) -> None:
    (span,) = spans_of(request(code=code, error=error, timings=None))
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == code.name
    assert span.attributes["error.type"] == error_type
    assert "secret" not in span.to_json()


@pytest.mark.parametrize(
    ("error", "code", "error_type", "message"),
    [
        (KeyError("tpl_secret"), grpc.StatusCode.INTERNAL, "KeyError", "under the request id frame-7"),
        (errors.InternalError("tpl_secret"), grpc.StatusCode.INTERNAL, "INTERNAL", "request id frame-7"),
        (errors.Draining("shutting down"), grpc.StatusCode.UNAVAILABLE, "DRAINING", "shutting down"),
        (errors.DeadlineExceeded("late"), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "late"),
        (None, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", None),
    ],
)
def test_what_the_server_failed_to_do_is_an_error_with_what_the_caller_was_told(
    error: Exception | None, code: grpc.StatusCode, error_type: str, message: str | None
) -> None:
    (span,) = spans_of(request(code=code, error=error, timings=None))
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == error_type
    assert (span.status.description or "").endswith(message or "")
    assert bool(span.status.description) is bool(message)
    assert "secret" not in span.to_json()
