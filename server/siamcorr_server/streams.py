"""One stream of requests: many in flight, answers as they are ready.

Rules:
- At most ``window`` requests are between having been read and having been answered in full. Then reading
  stops, and gRPC's flow control stops the peer. So for a peer that does not read, so many answers are held.
- A request that fails is answered with its error. Only what leaves nobody to answer to ends the stream:
  bytes that are no message, and an id that is already waiting for its answer.
- An id is free again when its answer is handed to gRPC: before the peer can see it.
- A request's own timeout is kept to the moment, also while its job runs: it is answered with
  DEADLINE_EXCEEDED, and the job is cancelled.
- However the stream ends, its reading task ends with it, and what is still in flight is cancelled.
- Two coroutines: one reads and submits, one writes. Futures wake the writer through a queue, so there is no
  task for each request.
- What a request and its answer look like is for :class:`Asked` to know: there is one for each protocol.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import grpc

from siamcorr.answers import Response
from siamcorr.errors import DeadlineExceeded, Draining, InvalidArgument
from siamcorr_server.interceptor import Call
from siamcorr_server.status import code_of

__all__ = ["Answer", "Asked", "Pending", "Read", "Stream", "Write", "given_up"]

Pending: TypeAlias = "Future[Any] | asyncio.Future[Any]"
"""What a request waits for: a future of the engine's, or of the event loop."""

Write: TypeAlias = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of an answer, and of what it was made if that is correlations: observers want to know."""

    data: bytes
    responses: Sequence[Response] = ()


class Asked(Protocol):
    """One request of a stream, read."""

    @property
    def id(self) -> Hashable:
        """What it is told by from the others in flight; shown to the peer if it is there twice."""

    @property
    def timeout_s(self) -> float | None:
        """How long it may take, or None.

        Raises:
            InvalidArgument: its peer says what cannot be.
        """

    def submit(self, deadline_s: float | None) -> Pending:
        """Start on it; ``deadline_s`` is in monotonic seconds.

        Raises:
            SiamcorrError: it is refused.
        """

    def answer(self, result: Any) -> Answer:
        """Return the answer, made of what its future came to.

        Raises:
            SiamcorrError: there is none.
        """

    def refusal(self, error: Exception, request_id: str) -> bytes:
        """Return the answer that says why there is no other."""

    def close(self) -> None:
        """Let go of what it holds: it is answered, or given up."""


Read: TypeAlias = Callable[[bytes], Asked]

_log = logging.getLogger(__name__)


class Stream:
    """Answers the requests of one stream, each as ``read`` reads it."""

    def __init__(
        self, call: Call, requests: AsyncIterator[bytes], write: Write, *, read: Read, window: int
    ) -> None:
        """Set up; :meth:`run` does it."""
        self._call = call
        self._requests = requests
        self._write = write
        self._read_one = read
        self._room = asyncio.Semaphore(window)
        self._live: dict[Hashable, _Waiting] = {}
        self._wakes: asyncio.Queue[Hashable] = asyncio.Queue()  # ids with an outcome; None: no more reading
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
                    await self._answer(self._live.pop(id_))
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
            asked = self._read_one(data)
            if asked.id in self._live:
                expected = "an id that is not waiting for its answer"
                raise InvalidArgument.found("id", asked.id, expected)
            self._call.requests += 1
            waiting = self._live[asked.id] = self._admitted(asked)
            waiting.future.add_done_callback(partial(self._wake, asked.id))

    def _reading_ended(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled():
            reader.exception()  # seen, should the writer have failed first
        self._wakes.put_nowait(None)

    def _admitted(self, asked: Asked) -> _Waiting:
        began_s = time.monotonic()
        try:
            timeout_s = asked.timeout_s
            deadline_s = self._call.deadline_s
            if timeout_s is not None:
                own_s = began_s + timeout_s
                deadline_s = own_s if deadline_s is None else min(own_s, deadline_s)
            future = asked.submit(deadline_s)
        except Exception as error:
            refused: Future[Any] = Future()
            refused.set_exception(error)
            return _Waiting(asked, refused, began_s, None)
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, future.cancel)
        return _Waiting(asked, future, began_s, timer)

    def _wake(self, id_: Hashable, future: Pending) -> None:
        if not future.cancelled():
            future.exception()  # seen: asyncio complains of errors that nobody looked at
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wakes.put_nowait, id_)

    async def _answer(self, waiting: _Waiting) -> None:
        asked = waiting.asked
        try:
            answer = asked.answer(waiting.result())
        except Exception as error:
            self._call.failed += 1
            code = code_of(error)
            self._call.finished(code, waiting.began_s, error=error)
            if code is grpc.StatusCode.INTERNAL:
                _log.exception("internal error", extra={"fields": {"request_id": self._call.id}})
            data = asked.refusal(error, self._call.id)
        else:
            data = answer.data
            self._call.finished(grpc.StatusCode.OK, waiting.began_s, answer.responses)
            del answer
        asked.close()
        await self._write(data)
        self._room.release()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request without answer, since when, and the timer that cancels it at its timeout, if it has one."""

    asked: Asked
    future: Pending
    began_s: float
    timer: asyncio.TimerHandle | None

    def result(self) -> Any:
        self._stop_timer()
        if self.future.cancelled():  # by the timer: nobody else does while the stream is read
            raise given_up()
        return self.future.result()

    def give_up(self) -> None:
        self._stop_timer()
        self.future.cancel()
        self.asked.close()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


def given_up() -> DeadlineExceeded:
    """Return the error for a request that has taken longer than its caller allowed."""
    return DeadlineExceeded("the request's timeout passed before its answer was ready")
