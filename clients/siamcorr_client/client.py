"""The client for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TypeVar, cast

import grpc

from siamcorr.answers import Response, Template
from siamcorr.blocking import BlockingCalls
from siamcorr.calls import CorrelateOptions, Handle, TemplateSource
from siamcorr_client import _calls
from siamcorr_client._attach import ATTACH, attach, late
from siamcorr_client._base import ClientBase
from siamcorr_client._calls import CORRELATE_STREAM, Call
from siamcorr_client._errors import RpcFailure
from siamcorr_client._shared_memory import SharedMemory
from siamcorr_client.stream import CorrelateStream

__all__ = ["Client"]

_T = TypeVar("_T")


class Client(ClientBase, BlockingCalls):
    """A connection to a server, with the calls of ``Engine``. Threads may share it.

    ``timeout_s`` of a call is for all its attempts together. A call that changes nothing is tried again, with
    growing pauses, where the server is full or cannot be reached; one that makes or changes a template only
    where the server is full, because then it has done nothing.

    Beside the errors that a call names, each may raise:

    - ``InvalidArgument``: it names the argument, what was found and what was expected;
    - ``DeadlineExceeded``: no answer came in time;
    - ``QueueFull``, ``Draining``: no more work for now; ``retry_after_s`` says when again, where it is known;
    - ``ServerUnavailable``: the server cannot be reached;
    - ``Cancelled``: the client was closed meanwhile;
    - ``InternalError``: a fault of the server.

    Example::

        with Client("127.0.0.1:50051") as client:
            template = client.create_template(features=z)      # (256, 6, 6) float32
            response = client.correlate(template, features=x)  # (256, 22, 22) float32
        response.map.shape  # (1, 17, 17)
    """

    _channel: grpc.Channel
    _memory: SharedMemory | None = None

    def stream(self, *, max_in_flight: int = 16) -> CorrelateStream:
        """Open a stream on which up to ``max_in_flight`` correlate requests are out at once.

        Example::

            with client.stream() as stream:
                futures = [stream.correlate(template, features=x) for x in regions]
                rows = [future.result().peak.row for future in futures]
            len(rows)  # 3
        """
        self._check_open()
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(CORRELATE_STREAM)
        headers = self._headers()
        return CorrelateStream(
            lambda requests: method(requests, metadata=headers),
            self._check_stream_call,
            max_in_flight,
            self._shared_memory,
        )

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Wait until the server can be reached.

        Raises:
            ServerUnavailable: it could not within ``timeout_s`` seconds.
        """
        self._check_open()
        limit_s = self._timeout(timeout_s)
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(limit_s)
        except grpc.FutureTimeoutError as error:
            raise self._not_ready(limit_s) from error
        finally:
            ready.cancel()

    def close(self) -> None:
        """Close the connection. Calls that still wait in other threads end with ``Cancelled``."""
        self._closed = True
        self._channel.close()
        self._memory = None

    def _connect(self) -> None:
        self._attaching = threading.Lock()
        target, options = self._settings.target, self._settings.channel_options()
        if self._settings.credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, self._settings.credentials, options)

    def _create(self, source: TemplateSource, timeout_s: float | None) -> list[Template]:
        return self._run(_calls.create(source), timeout_s)

    def _get(self, handle: str, timeout_s: float | None) -> Template:
        return self._run(_calls.get(handle), timeout_s)

    def _page(self, after: str, timeout_s: float | None) -> tuple[list[Template], str]:
        return self._run(_calls.page(after), timeout_s)

    def _update(self, handle: str, source: TemplateSource, rate: float, timeout_s: float | None) -> Template:
        return self._run(_calls.update(handle, source, rate), timeout_s)

    def _delete(self, handle: str, timeout_s: float | None) -> None:
        self._run(_calls.delete(handle), timeout_s)

    def _correlate(
        self, template: Handle | Sequence[Handle], options: CorrelateOptions, timeout_s: float | None
    ) -> list[Response]:
        return self._run(_calls.correlate(template, options), timeout_s)

    def _run(self, call: Call[_T], timeout_s: float | None) -> _T:
        limit_s, headers = self._check_call(call, timeout_s), self._headers()
        deadline_s = time.monotonic() + limit_s
        if (memory := self._shared_memory(limit_s)) is not None:
            call, limit_s = call.through(memory), max(0.0, deadline_s - time.monotonic())
        sending = self._sending(call, limit_s, headers)
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(call.method)
        try:
            data = method(sending.request, timeout=sending.timeout_s, metadata=sending.headers)
            return call.answer(data)
        except grpc.RpcError as failure:
            raise sending.failed(cast(RpcFailure, failure)) from failure
        finally:
            call.end()

    def _shared_memory(self, limit_s: float) -> SharedMemory | None:
        """Return the region, if one is wanted, attached at the first call and again when it was lost."""
        slot_bytes = self._settings.slot_bytes
        if not slot_bytes:
            return None
        deadline_s = time.monotonic() + limit_s
        if not self._attaching.acquire(timeout=limit_s):
            raise late(limit_s)
        try:
            if self._memory is None or self._memory.is_lost:
                method: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(ATTACH)
                headers, left_s = self._headers(), deadline_s - time.monotonic()
                self._memory = attach(lambda said: method(said, metadata=headers), slot_bytes, left_s)
            return self._memory
        finally:
            self._attaching.release()
