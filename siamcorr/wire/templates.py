"""Messages of the template service."""

from __future__ import annotations

from dataclasses import dataclass

from siamcorr.answers import Template, TensorInfo
from siamcorr.arguments import FEATURE_DTYPES
from siamcorr.calls import Frame, TemplateSource
from siamcorr.checks import handle_of, update_rate
from siamcorr.errors import InvalidArgument
from siamcorr.tensors import PayloadWriter, dtype_code, dtype_name
from siamcorr.v1 import template_service_pb2 as pb
from siamcorr.wire.envelope import Buffer, seal
from siamcorr.wire.parts import read_source, write_source

__all__ = [
    "Update",
    "create_request",
    "read_create_request",
    "read_template",
    "read_update_request",
    "seal_create_request",
    "seal_update_request",
    "update_request",
    "write_template",
]


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """A checked update: the template's new generation is ``(1 - rate) * old + rate * source``."""

    handle: str
    source: TemplateSource
    rate: float


def create_request(source: TemplateSource) -> pb.CreateTemplateRequest:
    """Build the request for new templates."""
    request, writer = _write_create(source)
    request.payload = writer.payload()
    return request


def seal_create_request(source: TemplateSource) -> list[Buffer]:
    """Return the bytes of the request for new templates, to be joined."""
    request, writer = _write_create(source)
    return seal(request, writer.parts)


def read_create_request(request: pb.CreateTemplateRequest, payload: Buffer | None = None) -> TemplateSource:
    """Return what the new templates are made from.

    Args:
        request: the message.
        payload: its payload, where :func:`~siamcorr.wire.envelope.unseal` has taken it out.

    Raises:
        InvalidArgument: names the field.
    """
    bulk = request.payload if payload is None else payload
    return read_source(request.WhichOneof("source"), request.features, request.frame, bulk)


def update_request(update: Update) -> pb.UpdateTemplateRequest:
    """Build the request for an update."""
    request, writer = _write_update(update)
    request.payload = writer.payload()
    return request


def seal_update_request(update: Update) -> list[Buffer]:
    """Return the bytes of the request for an update, to be joined."""
    request, writer = _write_update(update)
    return seal(request, writer.parts)


def read_update_request(request: pb.UpdateTemplateRequest, payload: Buffer | None = None) -> Update:
    """Return the update that is asked for.

    Args:
        request: the message.
        payload: its payload, where :func:`~siamcorr.wire.envelope.unseal` has taken it out.

    Raises:
        InvalidArgument: names the field.
    """
    bulk = request.payload if payload is None else payload
    source = read_source(request.WhichOneof("source"), request.features, request.frame, bulk)
    if isinstance(source, Frame) and source.count != 1:
        raise InvalidArgument.found("box", f"{source.count} boxes", "one box for one template")
    rate = request.rate if request.HasField("rate") else 1.0
    return Update(handle_of(request.template), source, update_rate(rate))


def write_template(message: pb.Template, template: Template) -> None:
    """Fill ``message`` with what a template is."""
    message.handle = template.handle
    message.generation = template.generation
    for info in template.tensors:
        message.tensors.add(name=info.name, dtype=dtype_code(info.dtype), shape=info.shape)
    message.model = template.model or ""
    message.size_bytes = template.size_bytes
    message.idle_s = template.idle_s


def read_template(message: pb.Template) -> Template:
    """Return what a template is."""
    return Template(
        handle=message.handle,
        generation=message.generation,
        tensors=tuple(
            TensorInfo(tensor.name, dtype_name(tensor.dtype, "tensors", FEATURE_DTYPES), tuple(tensor.shape))
            for tensor in message.tensors
        ),
        model=message.model or None,
        size_bytes=message.size_bytes,
        idle_s=message.idle_s,
    )


def _write_create(source: TemplateSource) -> tuple[pb.CreateTemplateRequest, PayloadWriter]:
    request, writer = pb.CreateTemplateRequest(), PayloadWriter()
    write_source(request.features, request.frame, source, writer)
    return request, writer


def _write_update(update: Update) -> tuple[pb.UpdateTemplateRequest, PayloadWriter]:
    request, writer = pb.UpdateTemplateRequest(template=update.handle, rate=update.rate), PayloadWriter()
    write_source(request.features, request.frame, update.source, writer)
    return request, writer
