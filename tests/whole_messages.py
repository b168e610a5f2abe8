"""The contract's messages as protobuf has them, payload and all: for tests that look inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from siamcorr.answers import Response
from siamcorr.calls import CorrelateCall, TemplateSource
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import template_service_pb2 as template_pb
from siamcorr.wire.correlation import seal_correlate_request, seal_correlate_response
from siamcorr.wire.envelope import unseal
from siamcorr.wire.templates import Update, seal_create_request, seal_update_request

__all__ = ["correlate_request", "correlate_response", "create_request", "read", "update_request"]

T = TypeVar("T")


def read(reader: Callable[[Any, memoryview], T], message: Message) -> T:
    """Read a whole message with one of the readers of :mod:`siamcorr.wire`."""
    return reader(*unseal(type(message), message.SerializeToString()))


def correlate_request(call: CorrelateCall) -> correlation_pb.CorrelateRequest:
    """Build the request for a call."""
    return correlation_pb.CorrelateRequest.FromString(b"".join(seal_correlate_request(call)))


def correlate_response(responses: Sequence[Response]) -> correlation_pb.CorrelateResponse:
    """Build the message for one call's responses."""
    return correlation_pb.CorrelateResponse.FromString(b"".join(seal_correlate_response(responses)))


def create_request(source: TemplateSource) -> template_pb.CreateTemplateRequest:
    """Build the request for new templates."""
    return template_pb.CreateTemplateRequest.FromString(b"".join(seal_create_request(source)))


def update_request(update: Update) -> template_pb.UpdateTemplateRequest:
    """Build the request for an update."""
    return template_pb.UpdateTemplateRequest.FromString(b"".join(seal_update_request(update)))
