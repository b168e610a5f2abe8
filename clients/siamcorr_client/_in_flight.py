"""The requests of a stream that have no answer yet: bookkeeping for both streams, without locks or waiting.

A request that was given up (cancelled, or past its deadline) stays in the books until its answer comes: the
server still works on it, so it still counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from siamcorr.answers import Response
from siamcorr.arguments import as_count
from siamcorr.errors import InternalError, InvalidArgument, SiamcorrError
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.envelope import Buffer, Parts, seal, unseal
from siamcorr_client._calls import Call
from siamcorr_client._errors import error_of_status

__all__ = ["FAREWELL_S", "Answer", "InFlight", "fresh", "stream_request"]

Answer: TypeAlias = Response | list[Response]
_F = TypeVar("_F")

_MAX_IN_FLIGHT = 4096

FAREWELL_S = 1.0
"""How long a server may take to end a stream on which nothing is left to do, in seconds."""


@dataclass(slots=True)
class _Entry(Generic[_F]):
    call: Call[Answer]
    future: _F | None
    deadline_s: float


class InFlight(Generic[_F]):
    """At most ``most`` requests, each with the future that waits for its answer."""

    def __init__(self, most: int) -> None:
        """Start empty.

        Raises:
            InvalidArgument: names ``max_in_flight``.
        """
        self._most = as_count(most, "max_in_flight", most=_MAX_IN_FLIGHT)
        self._entries: dict[int, _Entry[_F]] = {}
        self._last_id = 0

    def __len__(self) -> int:
        """Return how many answers are still to come."""
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether one more request would be too many."""
        return len(self._entries) >= self._most

    def waiting(self) -> list[_F]:
        """Return the futures that nobody has settled yet."""
        return [entry.future for entry in self._entries.values() if entry.future is not None]

    def add(self, call: Call[Answer], future: _F, deadline_s: float = math.inf) -> int:
        """Enter a request and return its id."""
        self._last_id += 1
        self._entries[self._last_id] = _Entry(call, future, deadline_s)
        return self._last_id

    def next_deadline(self) -> float:
        """Return the moment at which :meth:`expire` next has something to do, or infinity."""
        deadlines = (entry.deadline_s for entry in self._entries.values() if entry.future is not None)
        return min(deadlines, default=math.inf)

    def expire(self, now_s: float) -> list[_F]:
        """Take the futures whose deadline has passed out of the books."""
        late = []
        for entry in self._entries.values():
            if entry.future is not None and entry.deadline_s <= now_s:
                late.append(entry.future)
                entry.future = None
        return late

    def take(self, data: Buffer) -> tuple[_F | None, Answer | Exception]:
        """Take the request that ``data`` answers out of the books.

        Returns its future, or None where nobody waits any more, and the outcome.

        Raises:
            InternalError: it answers no request.
        """
        try:
            head, response = unseal(pb.CorrelateStreamResponse, data)
        except InvalidArgument as error:
            raise InternalError(f"the server's answer cannot be read: {error}") from error
        entry = self._entries.pop(head.id, None)
        if entry is None:
            raise InternalError(f"the server answered {head.id}, which is not the id of a request")
        return entry.future, _outcome(entry.call, head, response)

    def take_all(self) -> list[_F]:
        """Take everything out of the books and return the futures that are still waited for."""
        futures = self.waiting()
        for entry in self._entries.values():
            entry.call.end()
        self._entries.clear()
        return futures


def stream_request(request_id: int, timeout_s: float, parts: Parts) -> bytes:
    """Return the bytes of one request on the stream."""
    head = pb.CorrelateStreamRequest(id=request_id)
    head.timeout.FromNanoseconds(max(1, round(timeout_s * 1e9)))
    return b"".join(seal(head, parts))


def fresh(error: SiamcorrError) -> SiamcorrError:
    """Return the same error once more: one that is raised in several places would mix up their tracebacks."""
    copy = type(error)(error.message, field=error.field, retry_after_s=error.retry_after_s)
    copy.__cause__ = error.__cause__
    return copy


def _outcome(call: Call[Answer], head: pb.CorrelateStreamResponse, response: Buffer) -> Answer | Exception:
    try:
        return error_of_status(head.error) if head.HasField("error") else call.answer(response)
    except Exception as error:  # whatever it is, it concerns this request and not the stream
        return error
    finally:
        call.end()
