"""Spans of requests, made after the fact.

Rules:
- A request has one span, also each request of a stream, and in it one for each stage that took part: see
  :mod:`~siamcorr_server.tracing.stages`. It ends when the answer is handed to gRPC.
- The caller's metadata names the parent, as ``OTEL_PROPAGATORS`` says: by a W3C ``traceparent``. All requests
  of a stream have the stream's.
- The sampler decides first. A request that it leaves out has cost its decision, and nothing else.
- Names follow OpenTelemetry's conventions for RPC servers; what they have no name for begins with
  ``siamcorr.``. A span is an error only where the server is at fault or could not serve: a caller's mistake
  is the caller's span's error.
- Handles and messages that may name them stay out, as they stay out of the log. A fault of ours says the
  request id, under which the log tells more.

All times of a request come from the monotonic clock, and one reading of both clocks turns them into time of
day. So a clock that is set cannot make a span end before it begins, and the next request is right again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

import grpc
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from siamcorr import Engine
from siamcorr.answers import Timings
from siamcorr.errors import InvalidArgument, SiamcorrError
from siamcorr.tasks import CorrelateTask, TemplateTask
from siamcorr_server.observers import Finished
from siamcorr_server.status import status_of
from siamcorr_server.tracing.exporting import Exporting
from siamcorr_server.tracing.stages import laid_out, nanoseconds

__all__ = ["Tracing"]

_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""The codes that make a server's span an error, by the conventions."""


class Tracing:
    """The door: it makes the spans of every request that has ended.

    Example::

        provider = TracerProvider()
        tracing = Tracing(provider.get_tracer("mine"))      # an observer for a server of one's own
        tracing = Tracing.from_environment()                # what ``--tracing`` opens
    """

    def __init__(self, tracer: Tracer, exporting: Exporting | None = None) -> None:
        """Make spans with ``tracer``, and close ``exporting`` at the end, if there is one to close."""
        self._tracer = tracer
        self._exporting = exporting
        self._propagator = _propagator()
        self._headers = self._propagator.fields

    @classmethod
    def from_environment(cls) -> Tracing:
        """Do what the ``OTEL_*`` variables say.

        Raises:
            InvalidArgument: names the variable.
        """
        exporting = Exporting.from_environment()
        return cls(exporting.tracer, exporting)

    async def open(self, engine: Engine) -> None:
        """Do nothing: spans are made of requests alone."""

    async def close(self) -> None:
        """Send what is left, within a bound."""
        if self._exporting is not None:
            await self._exporting.close()

    def launched(self, tasks: Sequence[CorrelateTask | TemplateTask], outcomes: Sequence[object]) -> None:
        """Do nothing: a request tells of its own launches."""

    def finished(self, request: Finished) -> None:
        """Make the spans of ``request``."""
        to_day_ns = time.time_ns() - time.monotonic_ns()
        began_ns = nanoseconds(request.began_s) + to_day_ns
        ended_ns = nanoseconds(request.ended_s) + to_day_ns
        span = self._tracer.start_span(
            request.method,
            self._parent(request.metadata),
            SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": request.method},
            start_time=began_ns,
        )
        if span.is_recording():
            _describe(span, request)
            if request.timings is not None:
                self._add_stages(span, request.timings, began_ns, ended_ns)
        span.end(ended_ns)

    def _parent(self, metadata: Mapping[str, str | bytes]) -> Context:
        """Return a context that holds what the caller sent, and nothing of this process."""
        if self._headers.isdisjoint(metadata):
            return Context()
        return self._propagator.extract(metadata, Context())

    def _add_stages(self, parent: Span, timings: Timings, began_ns: int, ended_ns: int) -> None:
        context = set_span_in_context(parent, Context())
        for stage in laid_out(timings, began_ns, ended_ns):
            is_slowed = stage.name == "compute" and timings.compile_s > 0
            facts = {"siamcorr.compile_s": timings.compile_s} if is_slowed else None
            span = self._tracer.start_span(stage.name, context, attributes=facts, start_time=stage.began_ns)
            span.end(stage.ended_ns)


def _propagator() -> TextMapPropagator:
    try:
        from opentelemetry.propagate import get_global_textmap  # noqa: PLC0415 - it reads the variable
    except ValueError as error:
        found = repr(os.environ.get("OTEL_PROPAGATORS"))[:80]
        raise InvalidArgument.found("OTEL_PROPAGATORS", found, "propagators that are installed") from error
    return get_global_textmap()


def _describe(span: Span, request: Finished) -> None:
    facts: dict[str, AttributeValue] = {
        "rpc.response.status_code": request.code.name,
        "siamcorr.request_id": request.request_id,
    }
    if (timings := request.timings) is not None:
        facts["siamcorr.pairs"] = request.pairs
        facts["siamcorr.batch_pairs"] = timings.batch_pairs
        if timings.plan:
            facts["siamcorr.plan"] = timings.plan
    if request.code is not grpc.StatusCode.OK:
        facts["error.type"] = _error_type(request)
    span.set_attributes(facts)
    if request.code in _ERRORS:
        span.set_status(StatusCode.ERROR, _told(request))


def _error_type(request: Finished) -> str:
    if isinstance(request.error, SiamcorrError):
        return request.error.reason
    return request.code.name if request.error is None else type(request.error).__name__


def _told(request: Finished) -> str | None:
    """Return what the caller was told."""
    if not isinstance(request.error, Exception):
        return None
    return str(status_of(request.error, request.request_id).message)
