"""Messages of the template service."""

from __future__ import annotations

from dataclasses import dataclass

from siamcorr.answers import Template, TensorInfo
from siamcorr.arguments import FEATURE_DTYPES
from siamcorr.calls import Frame, TemplateSource
from siamcorr.checks import handle_of, update_rate
from siamcorr.errors import InvalidArgument
from siamcorr.tensors import dtype_code, dtype_name
from siamcorr.v1 import template_service_pb2 as pb
from siamcorr.wire.envelope import Buffer, Parts, seal
from siamcorr.wire.parts import read_source, write_source

__all__ = [
    "Update",
    "read_create_request",
    "read_template",
    "read_update_request",
    "seal_create_request",
    "seal_update_request",
    "write_template",
]


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """A checked update: the template's new generation is ``(1 - rate) * old + rate * source``."""

    handle: str
    source: TemplateSource
    rate: float


def seal_create_request(source: TemplateSource) -> Parts:
    """Return the bytes of the request for new templates, to be joined."""
    request = pb.CreateTemplateRequest()
    return seal(request, write_source(request.features, request.frame, source))


def read_create_request(request: pb.CreateTemplateRequest, payload: Buffer) -> TemplateSource:
    """Return what new templates are made from, of the two that :func:`~siamcorr.wire.envelope.unseal` gives.

    Raises:
        InvalidArgument: names the field.
    """
    return read_source(request.WhichOneof("source"), request.features, request.frame, payload)


def seal_update_request(update: Update) -> Parts:
    """Return the bytes of the request for an update, to be joined."""
    request = pb.UpdateTemplateRequest(template=update.handle, rate=update.rate)
    return seal(request, write_source(request.features, request.frame, update.source))


def read_update_request(request: pb.UpdateTemplateRequest, payload: Buffer) -> Update:
    """Return the update that is asked for, of the two that :func:`~siamcorr.wire.envelope.unseal` gives.

    Raises:
        InvalidArgument: names the field.
    """
    source = read_source(request.WhichOneof("source"), request.features, request.frame, payload)
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
