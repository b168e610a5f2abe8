"""One stream of correlation requests: many in flight, answers as they are ready.

Rules:
- At most ``window`` requests are between having been read and having been answered in full. Then reading
  stops, and gRPC's flow control stops the peer. So for a peer that does not read, so many answers are held.
- A request that fails is answered with its error. Only what leaves no id to answer to ends the stream: bytes
  that are no message, and an id that is already waiting for its answer.
- An id is free again when its answer is handed to gRPC: before the peer can see it.
- A request's own timeout is kept to the moment, also while its job runs: it is answered with
  DEADLINE_EXCEEDED, and the job is cancelled.
- However the stream ends, its reading task ends with it, and what is still in flight is cancelled.
- Two coroutines: one reads and submits, one writes. The engine's futures wake the writer through a queue, so
  there is no task for each request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import grpc

from siamcorr.answers import Response
from siamcorr.errors import DeadlineExceeded, Draining, InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.correlation import seal_correlate_response
from siamcorr.wire.envelope import Buffer, Parts, seal, unseal
from siamcorr_server.interceptor import Call
from siamcorr_server.messages import join
from siamcorr_server.status import code_of, stream_status_of

__all__ = ["Seal", "Stream", "Submit", "Submitted", "Write"]

Seal: TypeAlias = Callable[[list[Response]], Parts]
Write: TypeAlias = Callable[[bytes], Awaitable[None]]


class Submitted(NamedTuple):
    """A request that the engine has, and how its answer is written."""

    future: Future[list[Response]]
    seal: Seal = seal_correlate_response


Submit: TypeAlias = Callable[[Buffer, float | None], Submitted]

_log = logging.getLogger(__name__)


class Stream:
    """Answers the requests of one stream; ``submit`` gives one with its deadline to the engine."""

    def __init__(
        self,
        call: Call,
        requests: AsyncIterator[bytes],
        write: Write,
        *,
        submit: Submit,
        max_message_bytes: int,
        window: int,
    ) -> None:
        """Set up; :meth:`run` does it."""
        self._call = call
        self._requests = requests
        self._write = write
        self._submit = submit
        self._max_message_bytes = max_message_bytes
        self._room = asyncio.Semaphore(window)
        self._live: dict[int, _Waiting] = {}
        self._wakes: asyncio.Queue[int | None] = asyncio.Queue()  # ids with an outcome; None: no more reading
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Task[None] | None = None
        self._draining: Draining | None = None

    async def run(self) -> None:
        """Answer until the peer has sent its last request and has its last answer.

        Raises:
            InvalidArgument: the peer broke the stream's rules.
            Draining: :meth:`drain` was called, and what had been read by then is answered.
        """
        reader = self._reader = asyncio.create_task(self._read())
        reader.add_done_callback(self._reading_ended)
        try:
            while self._live or not reader.done():
                id_ = await self._wakes.get()
                if id_ is not None:
                    await self._answer(id_, self._live.pop(id_))
                elif not reader.cancelled():
                    reader.result()
            if self._draining is not None:
                raise self._draining
        finally:
            reader.cancel()
            for waiting in self._live.values():
                waiting.give_up()

    def drain(self, reason: Draining) -> None:
        """Read no more requests; end the stream with ``reason`` once what was read is answered."""
        self._draining = reason
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        while True:
            await self._room.acquire()
            data = await anext(self._requests, None)
            if data is None:
                return
            request, asked = unseal(pb.CorrelateStreamRequest, data)
            if request.id in self._live:
                expected = "an id that is not waiting for its answer"
                raise InvalidArgument.found("id", request.id, expected)
            self._call.requests += 1
            waiting = self._live[request.id] = self._admitted(request, asked)
            waiting.submitted.future.add_done_callback(partial(self._wake, request.id))

    def _reading_ended(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled():
            reader.exception()  # seen, should the writer have failed first
        self._wakes.put_nowait(None)

    def _admitted(self, request: pb.CorrelateStreamRequest, asked: Buffer) -> _Waiting:
        began_s = time.monotonic()
        try:
            timeout_s = _timeout_s(request)
            deadline_s = self._call.deadline_s
            if timeout_s is not None:
                own_s = began_s + timeout_s
                deadline_s = own_s if deadline_s is None else min(own_s, deadline_s)
            submitted = self._submit(asked, deadline_s)
        except Exception as error:
            refused: Future[list[Response]] = Future()
            refused.set_exception(error)
            return _Waiting(Submitted(refused), began_s, None)
        cancel = submitted.future.cancel
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, cancel)
        return _Waiting(submitted, began_s, timer)

    def _wake(self, id_: int, _: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wakes.put_nowait, id_)

    async def _answer(self, id_: int, waiting: _Waiting) -> None:
        message = pb.CorrelateStreamResponse(id=id_)
        try:
            responses = waiting.responses()
            answer = join(seal(message, waiting.submitted.seal(responses)), self._max_message_bytes)
        except Exception as error:
            self._call.failed += 1
            code = code_of(error)
            self._call.finished(code, waiting.began_s, error=error)
            if code is grpc.StatusCode.INTERNAL:
                _log.exception("internal error", extra={"fields": {"request_id": self._call.id}})
            message.error.CopyFrom(stream_status_of(error, self._call.id))
            answer = message.SerializeToString()
        else:
            self._call.finished(grpc.StatusCode.OK, waiting.began_s, responses)
        await self._write(answer)
        self._room.release()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request without answer, since when, and the timer that cancels it at its timeout, if it has one."""

    submitted: Submitted
    began_s: float
    timer: asyncio.TimerHandle | None

    def responses(self) -> list[Response]:
        self._stop_timer()
        if self.submitted.future.cancelled():  # by the timer: nobody else does while the stream is read
            raise DeadlineExceeded("the request's timeout passed before its answer was ready")
        return self.submitted.future.result()

    def give_up(self) -> None:
        self._stop_timer()
        self.submitted.future.cancel()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


def _timeout_s(request: pb.CorrelateStreamRequest) -> float | None:
    if not request.HasField("timeout"):
        return None
    timeout_s = request.timeout.seconds + request.timeout.nanos * 1e-9
    if timeout_s < 0:
        raise InvalidArgument.found("timeout", f"{timeout_s} s", "0 s or more")
    return timeout_s
