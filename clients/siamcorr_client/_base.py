"""What both clients share: their options, and how a call is made ready to be sent."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from siamcorr.errors import InvalidArgument, ServerUnavailable, SiamcorrError
from siamcorr.kept_memory import keep_freed_memory
from siamcorr.wire.envelope import size_bytes
from siamcorr_client._calls import Call
from siamcorr_client._errors import RpcFailure, error_of_call
from siamcorr_client._settings import Headers, Settings, as_timeout

__all__ = ["ClientBase", "Sending"]

SentHeaders: TypeAlias = tuple[tuple[str, str], ...]

_REQUEST_ID = "x-request-id"


@dataclass(frozen=True, slots=True)
class Sending:
    """What is handed to gRPC."""

    request: bytes
    timeout_s: float
    headers: SentHeaders

    def failed(self, failure: RpcFailure) -> SiamcorrError:
        """Return the error for a failed call. Its note says under which id the server's log has it."""
        error = error_of_call(failure)
        error.add_note(f"{_REQUEST_ID} {dict(self.headers)[_REQUEST_ID]}, timeout_s {self.timeout_s:g}")
        return error


class ClientBase:
    """The options, checked."""

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = 10.0,
        max_message_bytes: int = 64 << 20,
        attempts: int = 4,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Headers | None = None,
        shared_memory: bool | int = False,
    ) -> None:
        """Prepare the channel; it connects at the first call.

        Args:
            target: ``HOST:PORT``.
            timeout_s: how long a call may take, in seconds, all its attempts together, where the call itself
                does not say.
            max_message_bytes: the largest request that is sent and the largest answer that is accepted.
            attempts: how often a call is sent at most, 1 to 5, where it is safe to send it again.
            credentials: for an encrypted connection; None is one in the clear.
            metadata: headers that go with every call; or a function that is called for those of each call,
                in the thread or task that makes it: so a trace goes on in the server. A stream is one call.
                Each call also has an ``x-request-id`` of its own, unless it is given here. Errors carry it
                as a note.
            shared_memory: True: what ``correlate`` sends and gets goes through memory shared with the server,
                which must have that on (``--shared-memory``), on this host and under this user. The first
                call fails if it has not. There are 32 slots of 8 MiB, or of as many bytes as is said here. A
                call for which none is free or large enough goes through messages. Memory is taken as it is
                used.

        Raises:
            InvalidArgument: names the option.
        """
        self._settings = Settings(
            target=target,
            timeout_s=timeout_s,
            max_message_bytes=max_message_bytes,
            attempts=attempts,
            credentials=credentials,
            metadata={} if metadata is None else metadata,
            shared_memory=shared_memory,
        )
        self._closed = False
        keep_freed_memory()
        self._connect()

    def _connect(self) -> None:
        """Make the channel, where that can be done at once."""

    def __repr__(self) -> str:
        """Name the class and the server."""
        return f"{type(self).__name__}({self._settings.target!r})"

    def _timeout(self, timeout_s: float | None) -> float:
        return self._settings.timeout_s if timeout_s is None else as_timeout(timeout_s)

    def _sending(self, call: Call[Any], limit_s: float, headers: SentHeaders) -> Sending:
        return Sending(b"".join(call.parts), limit_s, headers)

    def _check_call(self, call: Call[Any], timeout_s: float | None) -> float:
        """Check one call, and return its timeout."""
        self._check_open()
        return self._check_stream_call(call, timeout_s)

    def _check_stream_call(self, call: Call[Any], timeout_s: float | None) -> float:
        """Check one request of a stream, and return its timeout."""
        self._check_size(call)
        return self._timeout(timeout_s)

    def _headers(self) -> SentHeaders:
        request_id = f"{random.getrandbits(64):016x}"
        return tuple(({_REQUEST_ID: request_id} | dict(self._settings.headers())).items())

    def _not_ready(self, limit_s: float) -> ServerUnavailable:
        return ServerUnavailable(f"{self._settings.target} could not be reached within {limit_s:g} s")

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidArgument.found("client", "a closed one", "an open one")

    def _check_size(self, call: Call[Any]) -> None:
        size = size_bytes(call.parts)
        if size > self._settings.max_message_bytes:
            expected = f"at most max_message_bytes={self._settings.max_message_bytes}"
            raise InvalidArgument.found("request", f"{size} bytes", expected)
