"""What happens to every call on its way in and out: request id, errors to statuses, one log line.

Rules:
- Handlers get and give bytes, whatever serializers they are registered with: see
  :mod:`~siamcorr_server.messages` for why. They raise errors and never see a status.
- A request id comes from the caller's metadata ``x-request-id`` if it is sane, else one is made. It goes back
  in the trailing metadata, and is in the log line, which is written before the answer is sent.
- :meth:`Interceptor.refuse` refuses all that come later, and :meth:`Interceptor.finish` waits for the others,
  until their last byte is handed to gRPC.
- Answers that their callers have not read are held in memory, and gRPC puts no bound on that. So there is one
  here: at it, new calls are refused with QUEUE_FULL until some are read.
- Only siamcorr's own services are treated so; health and reflection pass.
- Handlers are wrapped when they are registered. gRPC's own interceptors do the same once a call, and took a
  tenth of an echo's time for it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias, cast

import grpc
from grpc_status import rpc_status  # type: ignore[import-untyped]

from siamcorr.answers import Response, Timings
from siamcorr.errors import QueueFull, SiamcorrError
from siamcorr_server.logs import LeanRecord
from siamcorr_server.observers import Finished, Observers
from siamcorr_server.status import code_of, pushback_ms, status_of

__all__ = ["PUSHBACK", "REQUEST_ID", "Call", "Context", "Interceptor", "Registry", "current_call"]

REQUEST_ID = "x-request-id"
PUSHBACK = "grpc-retry-pushback-ms"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_SANE_ID = re.compile(r"[\w.:/+=-]{1,64}", re.ASCII)
_LEVELS = {grpc.StatusCode.RESOURCE_EXHAUSTED: logging.WARNING, grpc.StatusCode.INTERNAL: logging.ERROR}

_UNREAD_HINT_S = 0.25

_log = logging.getLogger(__name__)
_current: ContextVar[Call] = ContextVar("call")


@dataclass(slots=True)
class Call:
    """What is known of a call. ``method`` is its full name; ``deadline_s`` is in monotonic seconds, or None.

    Handlers fill in what the log line tells: the number of templates, the kind of correlation, and of a
    stream the number of requests and how many of them failed. ``peer`` tells the caller's address.
    ``unread_bytes`` are those of the answer, until gRPC has written it.
    """

    id: str
    method: str
    deadline_s: float | None
    peer: Callable[[], str]
    metadata: Mapping[str, str | bytes] = field(default_factory=dict)
    observers: Observers = field(default_factory=Observers)
    templates: int = 0
    kind: str = ""
    requests: int = 0
    failed: int = 0
    unread_bytes: int = 0
    answered: Sequence[Response] = ()

    def finished(
        self,
        code: grpc.StatusCode,
        began_s: float,
        answered: Sequence[Response] = (),
        error: BaseException | None = None,
    ) -> None:
        """Tell the observers of a request that has ended: the call, or one of a stream's."""
        if self.observers:
            self.observers.finished(
                Finished(
                    method=self.method,
                    request_id=self.id,
                    code=code,
                    began_s=began_s,
                    ended_s=time.monotonic(),
                    pairs=len(answered),
                    timings=answered[0].timings if answered else None,
                    error=error,
                    metadata=self.metadata,
                )
            )


def current_call() -> Call:
    """Return the call that is being handled."""
    return _current.get()


class Interceptor:
    """Wraps the handlers of siamcorr's services."""

    def __init__(self, observers: Observers, *, max_unread_bytes: int) -> None:
        """Start without calls. ``max_unread_bytes`` of answers may wait to be read when a call comes."""
        self._observers = observers
        self._max_unread_bytes = max_unread_bytes
        self._unread_bytes = 0
        self._calls: set[asyncio.Task[Any]] = set()
        self._refusal: SiamcorrError | None = None

    def before(self, server: grpc.aio.Server) -> Registry:
        """Return what generated code takes for a server: it adds a service to ``server``, wrapped."""
        return Registry(server, self._wrap)

    def refuse(self, reason: SiamcorrError) -> None:
        """Answer every new call with ``reason``."""
        self._refusal = reason

    async def finish(self, timeout_s: float) -> None:
        """Wait until no call is left, at most ``timeout_s`` seconds."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=timeout_s)

    def _wrap(self, method: str, handler: Handler) -> Handler:
        async def unary(data: bytes, context: Context) -> bytes:
            answer: bytes = await self._handle(method, handler.unary_unary, data, context)
            return answer

        async def stream(_: object, context: Context) -> None:
            await self._handle(method, handler.stream_stream, _Requests(context), context)

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(cast(Any, stream))
        return grpc.unary_unary_rpc_method_handler(cast(Any, unary))

    async def _handle(self, method: str, handle: Any, request: Any, context: Context) -> Any:
        metadata = dict(context.invocation_metadata() or ())
        call = Call(
            _request_id(metadata), method, _deadline_s(context), context.peer, metadata, self._observers
        )
        _current.set(call)
        self._track(call)
        context.set_trailing_metadata(((REQUEST_ID, call.id),))
        start_s = time.monotonic()
        try:
            self._check_open()
            answer = await handle(request, context)
        except (asyncio.CancelledError, grpc.aio.InternalError):  # the peer is not there any more
            in_time = context.time_remaining() != 0
            code = grpc.StatusCode.CANCELLED if in_time else grpc.StatusCode.DEADLINE_EXCEEDED
            _ended(call, code, start_s)
            raise
        except Exception as error:
            _ended(call, code_of(error), start_s, error)
            await _abort(context, error, call.id)
        _ended(call, grpc.StatusCode.OK, start_s)
        if answer is not None:
            call.unread_bytes = len(answer)
            self._unread_bytes += call.unread_bytes
        return answer

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise copy(self._refusal)  # a raised error collects tracebacks
        if self._unread_bytes > self._max_unread_bytes:
            message = f"answers: {self._unread_bytes} bytes wait to be read, at most {self._max_unread_bytes}"
            raise QueueFull(message, retry_after_s=_UNREAD_HINT_S)

    def _track(self, call: Call) -> None:
        """Count a call, and its answer, until gRPC has written that: its task ends then."""

        def let_go(task: asyncio.Task[Any]) -> None:
            self._calls.discard(task)
            self._unread_bytes -= call.unread_bytes

        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
            task.add_done_callback(let_go)


@dataclass(frozen=True, slots=True)
class Registry:
    """Where generated code leaves the handlers of a service."""

    server: grpc.aio.Server
    wrap: Callable[[str, Handler], Handler]

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add the handlers, wrapped."""
        wrapped = {name: self.wrap(f"{service}/{name}", handler) for name, handler in handlers.items()}
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, wrapped)])

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Leave out the handlers as they are: they come again, by name."""


class _Requests:
    """The requests of a stream. No generator: one that is left half-way outlives its call."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> bytes:
        data = await self._context.read()
        if data is grpc.aio.EOF:
            raise StopAsyncIteration
        return cast(bytes, data)


async def _abort(context: Context, error: Exception, request_id: str) -> NoReturn:
    status = rpc_status.to_status(status_of(error, request_id))
    trailers = [*status.trailing_metadata, (REQUEST_ID, request_id)]
    if (pushback := pushback_ms(error)) is not None:
        trailers.append((PUSHBACK, str(pushback)))
    await context.abort(status.code, status.details, tuple(trailers))


def _request_id(metadata: Mapping[str, str | bytes]) -> str:
    value = metadata.get(REQUEST_ID)
    is_sane = isinstance(value, str) and _SANE_ID.fullmatch(value)
    return cast(str, value) if is_sane else secrets.token_hex(8)


def _deadline_s(context: Context) -> float | None:
    remaining_s: float | None = context.time_remaining()
    return None if remaining_s is None else time.monotonic() + remaining_s


def _ended(call: Call, code: grpc.StatusCode, start_s: float, error: Exception | None = None) -> None:
    """Log a call and tell the observers, once its answer is ready."""
    if not call.requests or code is not grpc.StatusCode.OK:  # a stream has told of its requests
        call.finished(code, start_s, call.answered, error)
    level = _LEVELS.get(code, logging.INFO)
    if _log.isEnabledFor(level):
        fields = _fields(call, code, start_s)
        if code is grpc.StatusCode.INTERNAL:
            _log.log(level, "call", extra={"fields": fields}, exc_info=error)
        else:
            _log.handle(LeanRecord(_log.name, level, "call", fields))
    call.answered = ()  # its maps are in the answer by now


def _fields(call: Call, code: grpc.StatusCode, start_s: float) -> dict[str, object]:
    """Return what the log line tells of a call. Stages that took no part are left out."""
    fields: dict[str, object] = {
        "request_id": call.id,
        "peer": call.peer(),
        "method": call.method.rpartition("/")[2],
        "code": code.name,
        "duration_ms": round((time.monotonic() - start_s) * 1e3, 3),
        "templates": call.templates,
    }
    if call.requests:
        fields |= {"requests": call.requests, "failed": call.failed}
    elif call.kind:
        fields["kind"] = call.kind
    if call.answered:
        timings = call.answered[0].timings
        fields["pairs"], fields["batch_pairs"] = len(call.answered), timings.batch_pairs
        fields["plan"] = timings.plan
        for name, seconds in _stages(timings):
            if seconds:
                fields[name] = round(seconds * 1e3, 3)
    return fields


def _stages(timings: Timings) -> Sequence[tuple[str, float]]:
    return (
        ("prepare_ms", timings.prepare_s),
        ("queue_ms", timings.queue_s),
        ("embed_ms", timings.embed_s),
        ("compute_ms", timings.compute_s),
        ("compile_ms", timings.compile_s),
        ("copy_ms", timings.copy_s),
    )
