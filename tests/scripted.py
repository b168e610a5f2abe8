"""A server that does what a test tells it to, on threads: it knows the wire, but neither engine nor torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import grpc
import numpy as np

from siamcorr.answers import Response, Template, TensorInfo
from siamcorr.errors import SiamcorrError
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import error_pb2
from siamcorr.v1 import template_service_pb2 as template_pb
from siamcorr.wire.correlation import read_correlate_request
from siamcorr.wire.templates import write_template
from whole_messages import correlate_response, read

__all__ = [
    "PATIENCE_S",
    "Hold",
    "Received",
    "Refuse",
    "ScriptedServer",
    "answer",
    "error_status",
    "scripted",
    "stream_answer",
    "stream_refusal",
]

PATIENCE_S = 30.0
"""How long a test waits for what must happen before it fails: no test takes nearly as long."""

Handler: TypeAlias = Callable[[bytes, Any], bytes]
StreamHandler: TypeAlias = Callable[[Iterator[correlation_pb.CorrelateStreamRequest], Any], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Received:
    """One attempt of a call, as it arrived. ``method`` is without its service."""

    method: str
    request: bytes
    headers: dict[str, str | bytes]
    timeout_s: float | None
    peer: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """What to refuse a call with."""

    code: grpc.StatusCode
    details: str = "scripted"
    trailers: tuple[tuple[str, str | bytes], ...] = ()

    def __call__(self, _: bytes, context: Any) -> bytes:
        context.set_trailing_metadata(self.trailers)
        context.abort(self.code, self.details)
        raise AssertionError("abort raises")


@dataclass
class ScriptedServer:
    """The script, and what has arrived. A method without a script (any more) gets a friendly answer."""

    address: str = ""
    received: list[Received] = field(default_factory=list)
    on_stream: StreamHandler | None = None
    _script: dict[str, list[Handler]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, method: str, *handlers: Handler) -> None:
        """Handle the next attempts at ``method`` so, one after the other."""
        self._script[method] = [*handlers]

    def methods(self) -> list[str]:
        """Return the methods of all attempts that arrived."""
        with self._lock:
            return [one.method for one in self.received]

    def _unary(self, method: str, request: bytes, context: Any) -> bytes:
        self._receive(method, request, context)
        with self._lock:
            handlers = self._script.get(method)
            handler = handlers.pop(0) if handlers else _FRIENDLY[method]
        return handler(request, context)

    def _stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self._receive("CorrelateStream", b"", context)
        parsed = (correlation_pb.CorrelateStreamRequest.FromString(request) for request in requests)
        for reply in (self.on_stream or _answer_all)(parsed, context):
            yield reply.SerializeToString()

    def _receive(self, method: str, request: bytes, context: Any) -> None:
        headers = dict(context.invocation_metadata())
        received = Received(method, request, headers, context.time_remaining(), context.peer())
        with self._lock:
            self.received.append(received)


@contextmanager
def scripted(
    address: str = "127.0.0.1:0",
    *,
    max_request_bytes: int = -1,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[ScriptedServer]:
    """Serve a script until the block ends; ``max_request_bytes`` below 0 is no bound."""
    served = ScriptedServer()
    with ThreadPoolExecutor(8) as pool:
        limits = {"grpc.so_reuseport": 0, "grpc.max_receive_message_length": max_request_bytes}
        server = grpc.server(pool, handlers=[_Handlers(served)], options=[*limits.items()])
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        served.address = f"127.0.0.1:{port}"
        server.start()
        try:
            yield served
        finally:
            server.stop(None).wait()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, served: ScriptedServer) -> None:
        self._served = served

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method.rpartition("/")[2]
        if method == "CorrelateStream":
            return grpc.stream_stream_rpc_method_handler(self._served._stream)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._served._unary(method, request, context)
        )


class Hold:
    """A stream's handler that answers all requests, but none before ``release``.

    ``arrived`` is set when the first ``expected`` requests have arrived. When the call ends, nothing is held.
    """

    def __init__(self, expected: int = 1) -> None:
        self.expected = expected
        self.arrived = threading.Event()
        self.release = threading.Event()
        self.requests: list[correlation_pb.CorrelateStreamRequest] = []

    def __call__(
        self, requests: Iterator[correlation_pb.CorrelateStreamRequest], context: Any
    ) -> Iterator[correlation_pb.CorrelateStreamResponse]:
        context.add_callback(self.release.set)
        self.requests += islice(requests, self.expected)
        self.arrived.set()
        self.release.wait(PATIENCE_S)
        yield from map(stream_answer, self.requests)
        for request in requests:
            self.requests.append(request)
            yield stream_answer(request)


def error_status(error: SiamcorrError, code: grpc.StatusCode, **changes: str) -> error_pb2.Status:
    """Build the status that tells ``error``; ``changes`` are of its ErrorInfo."""
    fields: dict[str, Any] = {"reason": error.reason, "domain": "siamcorr"}
    info = error_pb2.ErrorInfo(**(fields | changes))
    if error.field:
        info.metadata["field"] = error.field
    if error.retry_after_s is not None:
        info.metadata["retry_after_s"] = str(error.retry_after_s)
    status = error_pb2.Status(code=code.value[0], message=error.message)
    detail = status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo")
    detail.value = info.SerializeToString()
    return status


def answer(request: correlation_pb.CorrelateRequest) -> correlation_pb.CorrelateResponse:
    """Answer each pair with a map of one cell: the search region's first number."""
    call = read(read_correlate_request, request)
    regions: Any = getattr(call.search, "regions", np.zeros((len(call.search_index), 1)))
    return correlate_response(
        [
            Response(call.templates[left], 1, np.full((1, 1, 1), regions[right].flat[0], np.float32))
            for left, right in zip(call.template_index, call.search_index, strict=True)
        ]
    )


def stream_answer(request: correlation_pb.CorrelateStreamRequest) -> correlation_pb.CorrelateStreamResponse:
    """Answer a request on a stream as :func:`answer` does."""
    return correlation_pb.CorrelateStreamResponse(id=request.id, response=answer(request.request))


def stream_refusal(
    request: correlation_pb.CorrelateStreamRequest, error: SiamcorrError
) -> correlation_pb.CorrelateStreamResponse:
    """Refuse a request on a stream with ``error``."""
    status = error_status(error, grpc.StatusCode.INVALID_ARGUMENT)
    return correlation_pb.CorrelateStreamResponse(id=request.id, error=status)


def _answer_all(
    requests: Iterator[correlation_pb.CorrelateStreamRequest], _: Any
) -> Iterator[correlation_pb.CorrelateStreamResponse]:
    return map(stream_answer, requests)


def _template(message: template_pb.Template, handle: str, generation: int = 1) -> None:
    infos = (TensorInfo("features", "float32", (1, 1, 1)),)
    write_template(message, Template(handle, generation, infos, None, 4, 0.0))


def _correlate(data: bytes, _: Any) -> bytes:
    return answer(correlation_pb.CorrelateRequest.FromString(data)).SerializeToString()


def _create(data: bytes, _: Any) -> bytes:
    request, response = (
        template_pb.CreateTemplateRequest.FromString(data),
        template_pb.CreateTemplateResponse(),
    )
    for number in range(len(request.frame.boxes) or 1):
        _template(response.templates.add(), f"tpl_{number}")
    return response.SerializeToString()


def _get(data: bytes, _: Any) -> bytes:
    response = template_pb.GetTemplateResponse()
    _template(response.template, template_pb.GetTemplateRequest.FromString(data).template)
    return response.SerializeToString()


def _update(data: bytes, _: Any) -> bytes:
    response = template_pb.UpdateTemplateResponse()
    _template(response.template, template_pb.UpdateTemplateRequest.FromString(data).template, 2)
    return response.SerializeToString()


def _list(data: bytes, _: Any) -> bytes:
    """Answer with two pages of two templates."""
    token = template_pb.ListTemplatesRequest.FromString(data).page_token
    response = template_pb.ListTemplatesResponse(next_page_token="" if token else "second")
    for number in range(2):
        _template(response.templates.add(), f"{token}tpl_{number}")
    return response.SerializeToString()


_FRIENDLY: dict[str, Handler] = {
    "Correlate": _correlate,
    "CreateTemplate": _create,
    "GetTemplate": _get,
    "ListTemplates": _list,
    "UpdateTemplate": _update,
    "DeleteTemplate": lambda _, __: b"",
}
