"""Traces: a span for every request and each of its stages, sent where OpenTelemetry's variables say."""

from siamcorr_server.tracing.door import Tracing

__all__ = ["Tracing"]
