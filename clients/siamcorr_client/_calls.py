"""The calls, described once for both clients: which method, which bytes to send, how to read the answer.

They are made of what :mod:`siamcorr.checks` has checked, as the engine's are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from siamcorr.answers import Response, Template
from siamcorr.calls import CorrelateOptions, Frame, Handle, TemplateSource
from siamcorr.errors import InternalError, InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import template_service_pb2 as template_pb
from siamcorr.wire.correlation import read_correlate_response
from siamcorr.wire.envelope import Buffer, Parts, unseal
from siamcorr.wire.families import RequestWriter
from siamcorr.wire.templates import Update, read_template, seal_create_request, seal_update_request
from siamcorr_client._shared_memory import Loan, SharedMemory

__all__ = [
    "CORRELATE",
    "CORRELATE_STREAM",
    "Call",
    "correlate",
    "correlate_as_written",
    "create",
    "delete",
    "get",
    "page",
    "update",
]

_T = TypeVar("_T")

_CORRELATION = "/siamcorr.v1.CorrelationService"
_TEMPLATES = "/siamcorr.v1.TemplateService"
CORRELATE = f"{_CORRELATION}/Correlate"
CORRELATE_STREAM = f"{_CORRELATION}/CorrelateStream"

_WRITER = RequestWriter()  # all clients ask for the like


@dataclass(frozen=True, slots=True)
class Call(Generic[_T]):
    """One request: ``method`` is its path, ``parts`` its bytes, ``read`` takes the answer's bytes.

    ``loan`` is the slot of shared memory that it has, if it has one. Then :meth:`end` must be called.
    """

    method: str
    parts: Parts
    read: Callable[[Buffer], _T]
    loan: Loan | None = None

    def through(self, memory: SharedMemory | None) -> Call[_T]:
        """Return the same call with its payload in a slot of ``memory``, if there is one for it."""
        if memory is None or self.method != CORRELATE or (loan := memory.lend(self.parts)) is None:
            return self
        return replace(self, parts=loan.parts, loan=loan)

    def end(self) -> None:
        """Let go of the slot, with or without an answer."""
        if self.loan is not None:
            self.loan.end()

    def answer(self, data: Buffer) -> _T:
        """Read the answer.

        Raises:
            InternalError: it is malformed, or not an answer to this request.
        """
        try:
            return self.read(data if self.loan is None else self.loan.answer(data))
        except (InvalidArgument, DecodeError) as error:
            raise InternalError(f"the server's answer cannot be read: {error}") from error


def create(source: TemplateSource) -> Call[list[Template]]:
    """Make one template, or one for each box of a frame."""
    count = source.count if isinstance(source, Frame) else 1

    def read(data: Buffer) -> list[Template]:
        message = template_pb.CreateTemplateResponse.FromString(bytes(data))
        _check_count(len(message.templates), count, "templates")
        return [read_template(template) for template in message.templates]

    return Call(f"{_TEMPLATES}/CreateTemplate", seal_create_request(source), read)


def get(handle: str) -> Call[Template]:
    """Describe a template."""
    request = template_pb.GetTemplateRequest(template=handle)
    return Call(
        f"{_TEMPLATES}/GetTemplate",
        [request.SerializeToString()],
        lambda data: read_template(template_pb.GetTemplateResponse.FromString(bytes(data)).template),
    )


def page(token: str) -> Call[tuple[list[Template], str]]:
    """Describe the templates of one page, and tell the token of the next; it is empty on the last one."""
    request = template_pb.ListTemplatesRequest(page_token=token)

    def read(data: Buffer) -> tuple[list[Template], str]:
        message = template_pb.ListTemplatesResponse.FromString(bytes(data))
        return [read_template(template) for template in message.templates], message.next_page_token

    return Call(f"{_TEMPLATES}/ListTemplates", [request.SerializeToString()], read)


def update(handle: str, source: TemplateSource, rate: float) -> Call[Template]:
    """Replace a template, or blend it with new features."""
    return Call(
        f"{_TEMPLATES}/UpdateTemplate",
        seal_update_request(Update(handle, source, rate)),
        lambda data: read_template(template_pb.UpdateTemplateResponse.FromString(bytes(data)).template),
    )


def delete(handle: str) -> Call[None]:
    """Forget a template."""
    request = template_pb.DeleteTemplateRequest(template=handle)

    def read(data: Buffer) -> None:
        template_pb.DeleteTemplateResponse.FromString(bytes(data))

    return Call(f"{_TEMPLATES}/DeleteTemplate", [request.SerializeToString()], read)


def correlate(template: Handle | Sequence[Handle], options: CorrelateOptions) -> Call[list[Response]]:
    """Check and correlate: one response for each pair.

    Raises:
        InvalidArgument: names the argument.
    """
    sealed = _WRITER.seal(template, options)

    def read(data: Buffer) -> list[Response]:
        responses = read_correlate_response(*unseal(correlation_pb.CorrelateResponse, data))
        _check_count(len(responses), sealed.pairs, "responses")
        return responses

    return Call(CORRELATE, sealed.parts, read)


def correlate_as_written(
    template: Handle | Sequence[Handle], options: CorrelateOptions
) -> Call[Response | list[Response]]:
    """Check and correlate: one template gives one response, a list of them a list."""
    call = correlate(template, options)
    one = isinstance(template, str | Template)

    def read(data: Buffer) -> Response | list[Response]:
        responses = call.read(data)
        return responses[0] if one else responses

    return Call(call.method, call.parts, read)


def _check_count(found: int, expected: int, what: str) -> None:
    if found != expected:
        raise InvalidArgument.found(what, found, expected)
