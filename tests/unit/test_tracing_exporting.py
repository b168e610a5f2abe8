"""Where spans go, and how it ends: by the standard variables, few words, and within a bound."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc import exporter as exporter_module
from opentelemetry.sdk import _shared_internal as processor_module
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gates import PATIENCE_S
from siamcorr.errors import InvalidArgument
from siamcorr_server.config import ServerConfig
from siamcorr_server.doors import doors_of
from siamcorr_server.observers import Finished
from siamcorr_server.tracing import Tracing
from siamcorr_server.tracing import exporting as exporting_module
from siamcorr_server.tracing.exporting import Exporting, Seldom


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have no variables but a test's own, and end what was started."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Otel")]


class Stuck(SpanExporter):
    """Never gets a batch off, until it is told to stop."""

    def __init__(self) -> None:
        self.is_busy = threading.Event()
        self.stopped = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_busy.set()
        self.stopped.wait(PATIENCE_S)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.stopped.set()


async def service() -> object:
    (span,) = await exported()
    return span.resource.attributes["service.name"]


async def exported() -> Sequence[ReadableSpan]:
    """Make one span, and return those that come out."""
    exporter = InMemorySpanExporter()
    exporting = Exporting(exporter)
    exporting.tracer.start_span("one").end()
    await exporting.close()
    return exporter.get_finished_spans()


async def test_the_service_is_named_by_the_variables_and_otherwise_after_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await service() == "siamcorr-server"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=camera-hall,deployment.environment=test")
    assert await service() == "camera-hall"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "camera-gate")
    assert await service() == "camera-gate"


async def test_the_sampler_is_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert not await exported()


async def test_closing_sends_what_is_left_once() -> None:
    exporter = InMemorySpanExporter()
    exporting = Exporting(exporter)
    exporting.tracer.start_span("one").end()
    await exporting.close()
    await exporting.close()
    assert len(exporter.get_finished_spans()) == 1


async def test_closing_waits_no_longer_than_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Stuck()
    exporting = Exporting(exporter)
    exporting.tracer.start_span("one").end()
    await exporting.close(timeout_s=0.0)
    assert exporter.stopped.is_set()
    assert "the last traces could not be sent" in caplog.text
    for thread in threading.enumerate():
        if thread.name.startswith(("Otel", "siamcorr-traces")):
            thread.join(PATIENCE_S)


def test_nobody_traces_unasked() -> None:
    assert doors_of(ServerConfig()) == []


async def test_a_server_that_was_never_opened_can_be_closed() -> None:
    for door in doors_of(ServerConfig(tracing=True)):
        assert isinstance(door, Tracing)
        await door.close()


async def test_spans_on_the_console_are_lines_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    exporting = Exporting.from_environment()
    exporting.tracer.start_span("one").end()
    await exporting.close()
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert '"name": "one"' in line


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "tracing"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "tracing"),
    ],
)
def test_a_variable_that_is_wrong_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidArgument) as caught:
        doors_of(ServerConfig(tracing=True))
    assert caught.value.field == field
    assert value in str(caught.value)


def test_an_unknown_propagator_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PROPAGATORS", "pigeon")  # read when it is imported, so once a process
    done = subprocess.run(
        [sys.executable, "-m", "siamcorr_server", "--listen", "127.0.0.1:0", "--tracing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("siamcorr-server: error: OTEL_PROPAGATORS: found 'pigeon'")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("siamcorr_server.tracing")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(InvalidArgument, match=r"pip install 'siamcorr\[tracing\]'") as caught:
        doors_of(ServerConfig(tracing=True))
    assert caught.value.field == "tracing"


def test_tracing_is_on_or_off() -> None:
    assert ServerConfig().tracing is False
    with pytest.raises(InvalidArgument, match="tracing: found 'yes', expected True or False"):
        ServerConfig(tracing="yes")  # type: ignore[arg-type]


def test_what_the_sdk_complains_of_comes_through_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seldom = Seldom()
    monkeypatch.setattr(exporting_module, "_seldom", seldom)
    Exporting.from_environment()
    for logger in (exporter_module.logger, processor_module._logger):
        for _ in range(3):
            logger.error("cannot reach %s", "collector")
            logger.warning("lost %s", "spans")
        logger.removeFilter(seldom)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("WARNING", "cannot reach collector"), ("WARNING", "lost spans")] * 2


class Away(SpanExporter):
    """Fails as long as it is told to."""

    def __init__(self) -> None:
        self.result = SpanExportResult.FAILURE

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result

    def shutdown(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"}, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:key@a:1"}, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:2"},
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:2"),
        ),
    ],
)
async def test_an_endpoint_that_takes_no_traces_is_named_once_until_it_has_worked(
    variables: dict[str, str],
    told: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = Away()
    exporting = Exporting(exporter)
    failure, success = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    for result in (failure, failure, success, failure):
        exporter.result = result
        exporting.tracer.start_span("one").end()
        exporting._provider.force_flush()
    await exporting.close()
    lines = [line.__dict__["fields"] for line in caplog.records if line.msg == "traces cannot be sent"]
    assert [(line["variable"], line["endpoint"]) for line in lines] == [told] * 2


def test_the_same_message_is_logged_once_a_minute_and_as_a_warning() -> None:
    seldom = Seldom()

    def passes(at_s: float, message: str = "failed to export %s", logger: str = "exporter") -> int:
        record = logging.LogRecord(logger, logging.ERROR, "", 0, message, ("traces",), None)
        record.created = at_s
        return record.levelno if seldom.filter(record) else 0

    assert [passes(at_s) for at_s in (100.0, 101.0, 159.0, 160.0, 161.0)] == [30, 0, 0, 30, 0]
    assert passes(161.0, message="queue full") == logging.WARNING
    assert passes(161.0, logger="another") == logging.WARNING


@pytest.mark.parametrize(
    "sent",
    [
        {"baggage": "!,a b=c," * 100},
        {"baggage": "x" * 9000},
        {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "secret"},
        {"traceparent": "x" * 9000},
    ],
)
async def test_callers_cannot_write_the_log(
    sent: dict[str, str | bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    tracing = Tracing.from_environment()
    tracing.finished(Finished("a.B/C", "id", grpc.StatusCode.OK, 0.0, 1.0, metadata=sent))
    await tracing.close()
    assert not caplog.records
