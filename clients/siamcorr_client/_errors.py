"""What went wrong in a call, as the error classes that ``Engine`` raises in process.

The server's own errors carry a ``google.rpc.ErrorInfo`` whose reason names the class. Whatever has none comes
from gRPC itself or from something in between, and is told by its status code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError

from siamcorr.errors import (
    BY_REASON,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    QueueFull,
    ServerUnavailable,
    SiamcorrError,
)
from siamcorr.v1 import error_pb2

__all__ = ["RpcFailure", "error_of_call", "error_of_status"]

_DETAILS_KEY = "grpc-status-details-bin"
_ERROR_INFO = "google.rpc.ErrorInfo"
_DOMAIN = "siamcorr"
_SHARED = "shared"
_TOO_LARGE = re.compile(r"(CLIENT|SERVER): \w+ message larger than max \((\d+) vs\. (\d+)\)")


class RpcFailure(Protocol):
    """What the errors of ``grpc`` and of ``grpc.aio`` have in common."""

    def code(self) -> grpc.StatusCode:
        """Return the status code."""

    def details(self) -> str | None:
        """Return the status message."""

    def trailing_metadata(self) -> Iterable[tuple[str, Any]] | None:
        """Return the trailers."""


def error_of_call(failure: RpcFailure) -> SiamcorrError:
    """Return the error that a failed call stands for."""
    for key, value in failure.trailing_metadata() or ():
        if key == _DETAILS_KEY and (told := _told_by_server(value)):
            return told
    return _error_of_code(failure.code(), failure.details() or "")


def error_of_status(status: error_pb2.Status) -> SiamcorrError:
    """Return the error that a stream's answer stands for."""
    if info := _error_info(status):
        return _error_of_info(info, status.message)
    return _error_of_code(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message)


_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _told_by_server(trailer: bytes) -> SiamcorrError | None:
    try:
        status = error_pb2.Status.FromString(trailer)
    except DecodeError:
        return None
    info = _error_info(status)
    return _error_of_info(info, status.message) if info else None


def _error_info(status: error_pb2.Status) -> error_pb2.ErrorInfo | None:
    for detail in status.details:
        if detail.type_url.rpartition("/")[2] != _ERROR_INFO:
            continue
        try:
            info = error_pb2.ErrorInfo.FromString(detail.value)
        except DecodeError:
            continue
        if info.domain == _DOMAIN and info.reason in BY_REASON:
            return info
    return None


def _error_of_info(info: error_pb2.ErrorInfo, message: str) -> SiamcorrError:
    if info.metadata.get("field") == _SHARED:  # what the client itself has asked for, not its caller
        return ServerUnavailable(f"the memory that was shared with the server is lost: {message}")
    field, hint = info.metadata.get("field", ""), info.metadata.get("retry_after_s", "")
    return BY_REASON[info.reason](message, field=field, retry_after_s=_seconds(hint))


def _seconds(hint: str) -> float | None:
    try:
        seconds = float(hint)
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def _error_of_code(code: grpc.StatusCode, details: str) -> SiamcorrError:
    make = _BY_CODE.get(code)
    return make(details) if make else InternalError(f"{code.name}: {details or 'no details'}")


def _unavailable(details: str) -> SiamcorrError:
    return ServerUnavailable(f"the server cannot be reached: {details}")


def _deadline(details: str) -> SiamcorrError:
    return DeadlineExceeded(f"no answer in time: {details}")


def _cancelled(details: str) -> SiamcorrError:
    return Cancelled(f"the call was given up: {details}")


def _exhausted(details: str) -> SiamcorrError:
    if not (found := _TOO_LARGE.search(details)):
        return QueueFull(f"the server takes no more: {details}")
    end, size, most = found.groups()
    if end == "SERVER":
        return InvalidArgument.found("request", f"{size} bytes", f"at most the server's limit of {most}")
    expected = (
        f"at most max_message_bytes={most}: raise it, or ask for less (output='peaks', map_dtype='float16')"
    )
    return InvalidArgument.found("response", f"{size} bytes", expected)


_BY_CODE: dict[grpc.StatusCode, Callable[[str], SiamcorrError]] = {
    grpc.StatusCode.UNAVAILABLE: _unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: _deadline,
    grpc.StatusCode.CANCELLED: _cancelled,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _exhausted,
}
