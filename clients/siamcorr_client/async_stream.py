"""Many requests in flight on one stream, for asyncio; the rules are those of :mod:`siamcorr_client.stream`.

One task reads the answers. Requests reach gRPC through a queue: it gives the whole stream up when the task
that writes is cancelled, so the callers' tasks must not be the ones that write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, Unpack, cast, overload

import grpc

from siamcorr.answers import Response
from siamcorr.calls import CorrelateOptions, Handle
from siamcorr.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    ServerUnavailable,
    SiamcorrError,
)
from siamcorr_client._calls import Call, correlate_as_written
from siamcorr_client._errors import RpcFailure, error_of_call
from siamcorr_client._in_flight import FAREWELL_S, Answer, InFlight, fresh, stream_request
from siamcorr_client._shared_memory import SharedMemory

__all__ = ["AsyncCorrelateStream"]


class _Rpc(Protocol):
    """The part of gRPC's call that is used here."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def cancel(self) -> object: ...


class AsyncCorrelateStream:
    """A stream of correlate requests; :meth:`AsyncClient.stream` opens one."""

    def __init__(
        self,
        start: Callable[[AsyncIterator[bytes]], _Rpc],
        check: Callable[[Call[Any], float | None], float],
        max_in_flight: int,
        memory: Callable[[float], Awaitable[SharedMemory | None]],
    ) -> None:
        """Open the stream; the arguments are those of :class:`~siamcorr_client.CorrelateStream`."""
        self._in_flight: InFlight[asyncio.Future[Answer]] = InFlight(max_in_flight)
        self._free = asyncio.Semaphore(max_in_flight)
        self._check = check
        self._memory = memory
        self._is_closing = False
        self._end: SiamcorrError | None = None
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rpc = start(self._take_requests())
        self._reader = asyncio.create_task(self._read_answers(), name="siamcorr-stream-answers")

    @overload  # a handle is a str, and so a sequence of handles to a type checker; it is caught first
    async def correlate(  # type: ignore[overload-overlap]
        self, template: Handle, *, timeout_s: float | None = None, **options: Unpack[CorrelateOptions]
    ) -> Response: ...

    @overload
    async def correlate(
        self,
        template: Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> list[Response]: ...

    async def correlate(
        self,
        template: Handle | Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> Response | list[Response]:
        """Send a request and wait for its answer; waits for a place while ``max_in_flight`` are out.

        The arguments, the responses and the errors are those of :meth:`Client.correlate`. Many tasks may wait
        at once, and each may be cancelled.

        Raises:
            InvalidArgument: an argument is wrong, or the stream is closed.
            DeadlineExceeded: neither a place nor the answer came in time.
            ServerUnavailable: the stream is broken.
        """
        call = correlate_as_written(template, options)
        limit_s = self._check(call, timeout_s)
        try:
            async with asyncio.timeout(limit_s) as limit:
                return await self._exchange(call, limit)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the server's own DeadlineExceeded
            raise DeadlineExceeded(f"no answer within {limit_s:g} s") from error

    async def close(self) -> None:
        """Take no more requests, wait until all have ended, and end the stream."""
        self._is_closing = True
        if waiting := self._in_flight.waiting():
            await asyncio.wait(waiting)
        self._requests.put_nowait(None)
        if len(self._in_flight) == 0:
            await asyncio.wait([self._reader], timeout=FAREWELL_S)
        await self.cancel()

    async def cancel(self) -> None:
        """End the stream at once. What has no answer yet ends with ``Cancelled``."""
        self._rpc.cancel()
        await asyncio.wait([self._reader])

    async def __aenter__(self) -> Self:
        """Return the stream itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stream; cancel it where the block ends with an error."""
        if kind is None:
            await self.close()
        else:
            await self.cancel()

    async def _exchange(self, call: Call[Any], limit: asyncio.Timeout) -> Answer:
        loop = asyncio.get_running_loop()
        memory = await self._memory((limit.when() or 0.0) - loop.time())
        await self._free.acquire()
        try:
            self._check_open()
        except SiamcorrError:
            self._free.release()
            raise
        call = call.through(memory)
        future: asyncio.Future[Answer] = loop.create_future()
        request_id = self._in_flight.add(call, future)
        left_s = (limit.when() or 0.0) - loop.time()
        self._requests.put_nowait(stream_request(request_id, left_s, call.parts))
        return await future

    def _check_open(self) -> None:
        if self._is_closing:
            raise InvalidArgument.found("stream", "a closed one", "an open one")
        if self._end is not None:
            raise fresh(self._end)

    async def _take_requests(self) -> AsyncIterator[bytes]:
        while (request := await self._requests.get()) is not None:
            yield request

    async def _read_answers(self) -> None:
        end: SiamcorrError = InternalError("reading the answers failed")
        try:
            end = await self._read_until_end()
        finally:
            self._end = end
            for _ in range(len(self._in_flight)):
                self._free.release()
            _fail(self._in_flight.take_all(), end)
            self._requests.put_nowait(None)

    async def _read_until_end(self) -> SiamcorrError:
        try:
            async for data in self._rpc:
                self._take_answer(data)
        except grpc.RpcError as failure:
            end = error_of_call(cast(RpcFailure, failure))
            end.__cause__ = failure
            return end
        except asyncio.CancelledError:  # how grpc.aio tells that the call was cancelled on this side
            return Cancelled("the stream was given up")
        except InternalError as error:
            self._rpc.cancel()
            return error
        return ServerUnavailable("the server has ended the stream")

    def _take_answer(self, data: bytes) -> None:
        future, outcome = self._in_flight.take(data)
        self._free.release()
        if future is None or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _fail(futures: Iterable[asyncio.Future[Answer]], error: SiamcorrError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(fresh(error))
