"""Bytes to messages and back, without gRPC's help.

gRPC would tell a stranger the text of a Python exception, and end a whole stream for one answer that is too
large. Messages with a payload are read and written by :mod:`siamcorr.wire.envelope`, which does not copy it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from siamcorr.errors import InvalidArgument
from siamcorr.wire.envelope import Buffer, size_bytes

__all__ = ["MAX_SMALL_BYTES", "join", "parse"]

MAX_SMALL_BYTES = 1 << 16
"""Bound of a message without payload: far above a handle and a page token, far below what is slow."""

M = TypeVar("M", bound=Message)


def parse(kind: type[M], data: bytes) -> M:
    """Return a message without payload.

    Raises:
        InvalidArgument: the bytes are no such message, or too many.
    """
    if len(data) > MAX_SMALL_BYTES:
        raise InvalidArgument.found("message", f"{len(data)} bytes", f"at most {MAX_SMALL_BYTES}")
    try:
        return kind.FromString(data)
    except DecodeError as error:
        found = f"{len(data)} bytes that cannot be parsed"
        raise InvalidArgument.found(
            "message", found, f"the bytes of a {kind.DESCRIPTOR.full_name}"
        ) from error


def join(parts: Sequence[Buffer], max_bytes: int) -> bytes:
    """Return the bytes of an answer.

    Raises:
        InvalidArgument: names ``output``: there are more than ``max_bytes``, which gRPC would not send.
    """
    size = size_bytes(parts)
    if size > max_bytes:
        expected = f"at most {max_bytes}: ask for peaks, for float16, or for fewer pairs"
        raise InvalidArgument.found("output", f"an answer of {size} bytes", expected)
    return b"".join(parts)
