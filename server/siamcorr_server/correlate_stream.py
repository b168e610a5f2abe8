"""What is asked and answered on a stream of the correlation service."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, TypeAlias

from siamcorr.answers import Response
from siamcorr.errors import InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.correlation import seal_correlate_response
from siamcorr.wire.envelope import Buffer, Parts, seal, unseal
from siamcorr_server.messages import join
from siamcorr_server.status import stream_status_of
from siamcorr_server.streams import Answer

__all__ = ["CorrelateAsked", "Seal", "Submit", "Submitted"]

Seal: TypeAlias = Callable[[list[Response]], Parts]


class Submitted(NamedTuple):
    """A request that the engine has, and how its answer is written."""

    future: Future[list[Response]]
    seal: Seal = seal_correlate_response


Submit: TypeAlias = Callable[[Buffer, float | None], Submitted]


class CorrelateAsked:
    """A ``CorrelateStreamRequest``; ``submit`` gives what is in it, with its deadline, to the engine."""

    def __init__(self, data: bytes, *, submit: Submit, max_message_bytes: int) -> None:
        """Read it.

        Raises:
            InvalidArgument: it is none.
        """
        self._request, self._asked = unseal(pb.CorrelateStreamRequest, data)
        self._submit = submit
        self._max_message_bytes = max_message_bytes
        self._seal: Seal = seal_correlate_response

    @property
    def id(self) -> int:
        """The peer's id."""
        return self._request.id

    @property
    def timeout_s(self) -> float | None:
        """The peer's timeout."""
        if not self._request.HasField("timeout"):
            return None
        timeout_s = self._request.timeout.seconds + self._request.timeout.nanos * 1e-9
        if timeout_s < 0:
            raise InvalidArgument.found("timeout", f"{timeout_s} s", "0 s or more")
        return timeout_s

    def submit(self, deadline_s: float | None) -> Future[list[Response]]:
        """Give it to the engine."""
        asked, self._asked = self._asked, memoryview(b"")  # the engine holds it for as long as it needs it
        future, self._seal = self._submit(asked, deadline_s)
        return future

    def answer(self, result: list[Response]) -> Answer:
        """Return its ``CorrelateStreamResponse``."""
        message = pb.CorrelateStreamResponse(id=self.id)
        return Answer(join(seal(message, self._seal(result)), self._max_message_bytes), result)

    def refusal(self, error: Exception, request_id: str) -> bytes:
        """Return that with an error."""
        status = stream_status_of(error, request_id)
        return pb.CorrelateStreamResponse(id=self.id, error=status).SerializeToString()

    def close(self) -> None:
        """Do nothing: a slot that it used is its region's."""
