"""Traces of real servers: each request once, its stages as its answer tells them, sent to a collector."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector_rpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from servers import Refusal, Stubs, process, serving
from siamcorr import EngineSettings
from siamcorr.checks import correlate_call
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr_server.tracing import Tracing
from whole_messages import correlate_request

CORRELATE = "siamcorr.v1.CorrelationService/Correlate"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = (("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01"),)
Z = np.ones((4, 3, 3), np.float32)
X = np.ones((4, 8, 8), np.float32)
FRAME = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
BOX = (40.0, 30.0, 24.0, 20.0)


@dataclass
class Traced:
    """An observer that traces, and what it has traced."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def observer(self) -> Tracing:
        provider = TracerProvider(sampler=DEFAULT_ON, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        return Tracing(provider.get_tracer("test"))

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_a_frame_is_traced_by_the_stages_that_its_answer_tells() -> None:
    traced = Traced()
    settings = EngineSettings(device="cpu")
    with serving(settings, observers=[traced.observer()]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(image=FRAME, boxes=[BOX])
            (response,) = stubs.correlate([template.handle], image=FRAME, box=BOX)
    (served,) = traced.spans(CORRELATE)
    told = response.timings
    stages = [span for span in traced.exporter.get_finished_spans() if span.parent == served.context]
    for stage in stages:
        assert seconds(stage) == pytest.approx(getattr(told, f"{stage.name}_s"), abs=1e-6)
    assert {"prepare", "embed", "compute"} <= {stage.name for stage in stages}
    assert sum(map(seconds, stages)) < seconds(served)
    assert served.attributes is not None
    assert served.attributes["siamcorr.plan"] == told.plan
    assert served.attributes["siamcorr.batch_pairs"] == told.batch_pairs == 1


def test_requests_of_a_stream_have_a_span_each_and_the_streams_parent() -> None:
    traced = Traced()
    with serving(observers=[traced.observer()]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            template = stubs.create(Z)[0]
            asked = [
                pb.CorrelateStreamRequest(
                    id=id_, request=correlate_request(correlate_call(handle, features=X))
                )
                for id_, handle in enumerate([template.handle, "tpl_unknown", template.handle])
            ]
            assert len(list(stubs.correlation.CorrelateStream(iter(asked), metadata=PARENT))) == 3
    spans = traced.spans("siamcorr.v1.CorrelationService/CorrelateStream")
    codes = [(span.attributes or {})["rpc.response.status_code"] for span in spans]
    assert sorted(map(str, codes)) == ["NOT_FOUND", "OK", "OK"]
    assert len({span.context.span_id for span in spans}) == 3
    assert {f"{span.parent.span_id:016x}" for span in spans if span.parent} == {SPAN_ID}
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE_ID}
    assert len(traced.spans("compute")) == 2


def test_two_servers_of_one_process_trace_each_their_own() -> None:
    first, second = Traced(), Traced()
    with serving(observers=[first.observer()]) as one, serving(observers=[second.observer()]) as other:
        for server, count in ((one, 1), (other, 2)):
            stubs = Stubs(server.address)
            with stubs.channel:
                for _ in range(count):
                    Refusal.of(stubs.correlate, "tpl_unknown", features=X)
    assert [len(traced.spans(CORRELATE)) for traced in (first, second)] == [1, 2]


class Collector(collector_rpc.TraceServiceServicer):
    """Takes in what is exported, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.received: list[collector_pb.ExportTraceServiceRequest] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by the contract
        self.received.append(request)
        return collector_pb.ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        resources = [one.resource for request in self.received for one in request.resource_spans]
        return {
            attribute.value.string_value
            for resource in resources
            for attribute in resource.attributes
            if attribute.key == "service.name"
        }


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    """Run a collector, and return where."""
    collector = Collector()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        collector_rpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}", collector
        finally:
            server.stop(None).wait()


@pytest.fixture
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_NAME", "RESOURCE_ATTRIBUTES", "TRACES_SAMPLER", "TRACES_EXPORTER"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)


@pytest.mark.usefixtures("_bare_environment")
def test_a_servers_process_sends_its_spans_to_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as (endpoint, collector):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with process("--device", "cpu", "--tracing") as server:
            stubs = Stubs(server.address)
            with stubs.channel:
                template = stubs.create(Z)[0]
                request = correlate_request(correlate_call(template, features=X))
                stubs.correlation.Correlate(request, metadata=PARENT)
            assert server.stop(signal.SIGTERM) == 0
            assert "WARNING" not in server.errors()
        spans = {span.name: span for span in collector.spans()}
    served, compute = spans[CORRELATE], spans["compute"]
    assert served.trace_id.hex() == compute.trace_id.hex() == TRACE_ID
    assert served.parent_span_id.hex() == SPAN_ID
    assert compute.parent_span_id == served.span_id
    assert served.kind == Span.SPAN_KIND_SERVER
    assert served.start_time_unix_nano <= compute.start_time_unix_nano
    assert compute.end_time_unix_nano == served.end_time_unix_nano
    assert spans["siamcorr.v1.TemplateService/CreateTemplate"].parent_span_id == b""
    assert collector.services() == {"siamcorr-server"}


@pytest.mark.usefixtures("_bare_environment")
def test_without_a_collector_a_server_answers_stops_and_says_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
        with process("--device", "cpu", "--tracing") as server:
            stubs = Stubs(server.address)
            with stubs.channel:
                template = stubs.create(Z)[0]
                for _ in range(30):
                    assert stubs.correlate([template.handle], features=X)
            assert server.stop(signal.SIGTERM) == 0
            lines = server.errors().splitlines()
    said = [line.partition(" WARNING ")[2][:20] for line in lines if " INFO " not in line]
    assert "Transient error Stat" in said
    assert set(said) <= {
        "Transient error Stat",
        "Queue full, dropping",
        "Failed to export tra",
        "the last traces coul",
        "Shutdown in progress",
    }
    assert len(said) == len(set(said))
