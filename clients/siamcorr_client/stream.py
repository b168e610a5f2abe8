"""Many requests in flight on one stream, for threads.

Rules:

- Each request is answered by itself: with its responses, or with its own error. The others go on.
- Every future ends: with the answer, at its deadline, or with the stream. It may be cancelled; then its
  answer is dropped when it comes.
- A stream that broke stays broken: open another.
- Futures are settled outside the lock, each by whoever took it out of the books.

Two threads serve a stream: one reads the answers, one watches the deadlines, because a server that hangs
keeps none. (gRPC has a third one, which writes.)
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol, Self, Unpack, cast, overload

import grpc

from siamcorr.answers import Response
from siamcorr.calls import CorrelateOptions, Handle
from siamcorr.errors import DeadlineExceeded, InternalError, InvalidArgument, ServerUnavailable, SiamcorrError
from siamcorr_client._calls import Call, correlate_as_written
from siamcorr_client._errors import RpcFailure, error_of_call
from siamcorr_client._in_flight import FAREWELL_S, Answer, InFlight, fresh, stream_request
from siamcorr_client._shared_memory import SharedMemory

__all__ = ["CorrelateStream"]


class _Rpc(Protocol):
    """The part of gRPC's call that is used here."""

    def __iter__(self) -> Iterator[bytes]: ...

    def cancel(self) -> object: ...


class CorrelateStream:
    """A stream of correlate requests; :meth:`Client.stream` opens one. Threads may share it."""

    def __init__(
        self,
        start: Callable[[Iterator[bytes]], _Rpc],
        check: Callable[[Call[Any], float | None], float],
        max_in_flight: int,
        memory: Callable[[float], SharedMemory | None],
    ) -> None:
        """Open the stream.

        ``check`` refuses what is too large, and tells the timeout in seconds. ``memory`` tells through which
        region payloads go, if any, within that time.
        """
        self._in_flight: InFlight[Future[Any]] = InFlight(max_in_flight)
        self._check = check
        self._memory = memory
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # a place is free, or the stream is closing or over
        self._sooner = threading.Condition(self._lock)  # there is a deadline before the one that is watched
        self._watched_s = math.inf
        self._is_closing = False
        self._end: SiamcorrError | None = None
        self._requests: SimpleQueue[bytes | None] = SimpleQueue()
        self._rpc = start(iter(self._requests.get, None))
        self._threads = [
            threading.Thread(target=work, name=f"siamcorr-stream-{name}", daemon=True)
            for name, work in (("answers", self._read_answers), ("deadlines", self._watch_deadlines))
        ]
        for thread in self._threads:
            thread.start()

    @overload  # a handle is a str, and so a sequence of handles to a type checker; it is caught first
    def correlate(  # type: ignore[overload-overlap]
        self, template: Handle, *, timeout_s: float | None = None, **options: Unpack[CorrelateOptions]
    ) -> Future[Response]: ...

    @overload
    def correlate(
        self,
        template: Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> Future[list[Response]]: ...

    def correlate(
        self,
        template: Handle | Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> Future[Any]:
        """Send a request and return the future of its answer; blocks while ``max_in_flight`` are out.

        The arguments, the responses and the errors are those of :meth:`Client.correlate`. The timeout begins
        with this call. What is added to the future as a callback runs on the stream's own thread: it must not
        wait for the stream.

        Raises:
            InvalidArgument: an argument is wrong, or the stream is closed.
            DeadlineExceeded: no place became free in time.
            ServerUnavailable: the stream is broken.
        """
        call = correlate_as_written(template, options)
        limit_s = self._check(call, timeout_s)
        deadline_s = time.monotonic() + limit_s
        call = call.through(self._memory(limit_s))
        future: Future[Any] = Future()
        try:
            request_id = self._enter(call, future, deadline_s, limit_s)
        except SiamcorrError:
            call.end()
            raise
        self._requests.put(stream_request(request_id, deadline_s - time.monotonic(), call.parts))
        return future

    def close(self) -> None:
        """Take no more requests, wait until every future has ended, and end the stream."""
        with self._lock:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(future.done() for future in self._in_flight.waiting()))
            is_all_answered = len(self._in_flight) == 0
        self._requests.put(None)
        if is_all_answered:
            self._threads[0].join(timeout=FAREWELL_S)
        self.cancel()

    def cancel(self) -> None:
        """End the stream at once. What has no answer yet ends with ``Cancelled``."""
        self._rpc.cancel()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        """Return the stream itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stream; cancel it where the block ends with an error."""
        if kind is None:
            self.close()
        else:
            self.cancel()

    def _enter(self, call: Call[Any], future: Future[Any], deadline_s: float, limit_s: float) -> int:
        """Wait for a place, and return the id of the request that has it."""
        with self._lock:
            if not self._changed.wait_for(self._may_go_on, deadline_s - time.monotonic()):
                raise DeadlineExceeded(f"no place on the stream became free within {limit_s:g} s")
            self._check_open()
            request_id = self._in_flight.add(call, future, deadline_s)
            if deadline_s < self._watched_s:
                self._sooner.notify()
            return request_id

    def _may_go_on(self) -> bool:
        return self._end is not None or self._is_closing or not self._in_flight.is_full

    def _check_open(self) -> None:
        if self._is_closing:
            raise InvalidArgument.found("stream", "a closed one", "an open one")
        if self._end is not None:
            raise fresh(self._end)

    def _read_answers(self) -> None:
        end: SiamcorrError = InternalError("reading the answers failed")
        try:
            end = self._read_until_end()
        finally:
            with self._lock:
                self._end = end
                futures = self._in_flight.take_all()
                self._changed.notify_all()
                self._sooner.notify_all()
            self._requests.put(None)
            _fail(futures, end)

    def _read_until_end(self) -> SiamcorrError:
        try:
            for data in self._rpc:
                self._take_answer(data)
        except grpc.RpcError as failure:
            end = error_of_call(cast(RpcFailure, failure))
            end.__cause__ = failure
            return end
        except InternalError as error:
            self._rpc.cancel()
            return error
        return ServerUnavailable("the server has ended the stream")

    def _take_answer(self, data: bytes) -> None:
        with self._lock:
            future, outcome = self._in_flight.take(data)
            self._changed.notify_all()
        if future is None or not future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _watch_deadlines(self) -> None:
        while True:
            with self._lock:
                if self._end is not None:
                    return
                self._watched_s = self._in_flight.next_deadline()
                left_s = self._watched_s - time.monotonic()
                self._sooner.wait(None if left_s == math.inf else max(0.0, left_s))
                late = self._in_flight.expire(time.monotonic())
                self._changed.notify_all()
            _fail(late, DeadlineExceeded("no answer came in time"))


def _fail(futures: Iterable[Future[Answer]], error: SiamcorrError) -> None:
    for future in futures:
        if future.set_running_or_notify_cancel():
            future.set_exception(fresh(error))
