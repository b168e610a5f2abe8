"""Where spans go: what OpenTelemetry's standard variables say, read once, and no settings of our own.

Rules:
- Spans are gathered and sent by a thread of OpenTelemetry's SDK, never in the event loop. Where they come
  faster than they go, the SDK drops some.
- A collector that is away costs lines in the log, few of them: the SDK would write several for every batch.
  The first one that is lost says where it was to go, and by which variable: a wrong one is found out only so.
- What is wrong with a caller's metadata is no line: callers do not write the log.
- Closing sends what is left, and waits so long and no longer: the SDK by itself waits up to half a minute.
- The provider is no global one: whoever has a server in a process of theirs keeps their own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import Tracer

from siamcorr.errors import InvalidArgument

__all__ = ["DEFAULT_SERVICE_NAME", "Exporting", "Seldom"]

DEFAULT_SERVICE_NAME = "siamcorr-server"

_FLUSH_S = 2.0
_LAST_WORDS_S = 0.5  # for the thread to notice that what it sends was broken off
_SELDOM_S = 60.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_DEFAULT_ENDPOINT = "http://localhost:4317"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_TALKATIVE = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal")

_QUOTING = (
    "opentelemetry.baggage.propagation",
    "opentelemetry.trace.propagation.tracecontext",
    "opentelemetry.trace.span",
)
"""They log what is wrong with a caller's metadata, word for word and for every part of it."""

_log = logging.getLogger(__name__)


class Seldom(logging.Filter):
    """Lets the same message through once a minute, as a warning at the most: a lost trace is no fault."""

    def __init__(self) -> None:
        """Start without having seen any."""
        super().__init__()
        self._last_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to log ``record``."""
        key = (record.name, str(record.msg))
        if record.created - self._last_s.get(key, -_SELDOM_S) < _SELDOM_S:
            return False
        self._last_s[key] = record.created
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


_seldom = Seldom()


def _never(_: logging.LogRecord) -> bool:
    return False


class Exporting:
    """A provider of tracers, and the exporter that its spans go through; None is nowhere."""

    def __init__(self, exporter: SpanExporter | None) -> None:
        """Start the thread that sends. What else matters is in the environment.

        Raises:
            ValueError: the SDK does not take a variable.
        """
        self._exporter = None if exporter is None else _Breakable(exporter)
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._is_closed = False
        if self._exporter is not None:
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter))

    @classmethod
    def from_environment(cls) -> Exporting:
        """Do what the variables say.

        Raises:
            InvalidArgument: names a variable that is wrong, or ``tracing`` where the SDK does not say which.
        """
        for logger in _TALKATIVE:
            logging.getLogger(logger).addFilter(_seldom)  # adding it again changes nothing
        for logger in _QUOTING:
            logging.getLogger(logger).addFilter(_never)
        make = _exporter()
        try:
            return cls(make())
        except Exception as error:
            expected = "OTEL_* variables that the OpenTelemetry SDK can read"
            raise InvalidArgument.found("tracing", f"{error}"[:200], expected) from error

    @property
    def tracer(self) -> Tracer:
        """What makes spans."""
        return self._provider.get_tracer("siamcorr_server")

    async def close(self, timeout_s: float = _FLUSH_S) -> None:
        """Send what is left, at most ``timeout_s`` seconds long."""
        if self._is_closed:
            return
        self._is_closed = True
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop did not wait
                loop.call_soon_threadsafe(closed.set)

        threading.Thread(target=close, name="siamcorr-traces-close", daemon=True).start()
        if not await _within(timeout_s, closed) and self._exporter is not None:
            _log.warning("the last traces could not be sent", extra={"fields": {"waited_s": timeout_s}})
            self._exporter.shutdown()
            await _within(_LAST_WORDS_S, closed)


class _Breakable(SpanExporter):
    """An exporter that may be shut down while it sends, and once more after that. The log has its failure."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_shut = False
        self._has_told = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._is_shut:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        is_lost = result is SpanExportResult.FAILURE
        if is_lost and not self._has_told and not self._is_shut:
            _log.warning("traces cannot be sent", extra={"fields": _destination()})
        self._has_told = is_lost
        return result

    def shutdown(self) -> None:
        if not self._is_shut:
            self._is_shut = True
            self._exporter.shutdown()


def _destination() -> dict[str, str]:
    """Return where spans go, and the variable that says so, or would."""
    name = next((name for name in _ENDPOINTS if os.environ.get(name)), _ENDPOINTS[1])
    endpoint = os.environ.get(name) or _DEFAULT_ENDPOINT
    scheme, slashes, rest = endpoint.rpartition("//")
    return {"variable": name, "endpoint": scheme + slashes + rest.rpartition("@")[2]}  # without a password


async def _within(timeout_s: float, event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


def _exporter() -> Callable[[], SpanExporter | None]:
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "grpc")
    if protocol != "grpc":
        raise InvalidArgument.found(_PROTOCOLS[1], repr(protocol)[:80], "grpc, which is the only one here")
    makers: dict[str, Callable[[], SpanExporter | None]] = {
        "otlp": OTLPSpanExporter,
        "console": _console,
        "none": lambda: None,
    }
    name = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if name not in makers:
        raise InvalidArgument.found("OTEL_TRACES_EXPORTER", repr(name)[:80], f"one of {', '.join(makers)}")
    return makers[name]


def _console() -> SpanExporter:
    """Write a span a line to stderr, beside the logs: stdout says where the server listens."""
    return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")


def _resource() -> Resource:
    found = Resource.create()
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: DEFAULT_SERVICE_NAME}))
    return found
