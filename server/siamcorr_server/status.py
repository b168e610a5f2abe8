"""From an error to what goes over the wire: one table, for calls and for the requests on a stream alike.

Rules:
- :data:`CODES` has a row for every reason that can travel. A class without a row has its family's.
- What is not a :class:`~siamcorr.errors.SiamcorrError`, and every ``InternalError``, is a fault of ours: the
  caller learns the request id under which the log has it, and nothing else.
- ``grpc-retry-pushback-ms`` steers the retries that gRPC's clients make by themselves. It is the hint where
  waiting helps, and -1, which forbids them, where the same request would fail again. A full bank is told -1
  although it has a hint: room comes when someone deletes or a template expires, not in a retry's time.
"""

from __future__ import annotations

import math

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from siamcorr import errors
from siamcorr.v1 import error_pb2

__all__ = ["CODES", "DOMAIN", "RETRIED", "code_of", "pushback_ms", "status_of", "stream_status_of"]

DOMAIN = "siamcorr"

CODES: dict[type[errors.SiamcorrError], grpc.StatusCode] = {
    # The caller's fault.
    errors.CallerError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.TemplateNotFound: grpc.StatusCode.NOT_FOUND,
    errors.TemplateEvicted: grpc.StatusCode.NOT_FOUND,
    errors.TemplateExpired: grpc.StatusCode.NOT_FOUND,
    errors.ModelNotFound: grpc.StatusCode.NOT_FOUND,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    # Overload.
    errors.OverloadError: grpc.StatusCode.UNAVAILABLE,
    errors.QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.BankFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.ServerUnavailable: grpc.StatusCode.UNAVAILABLE,
    # Our bug.
    errors.InternalError: grpc.StatusCode.INTERNAL,
}

RETRIED = (errors.QueueFull, errors.Draining, errors.ServerUnavailable)
"""What a client may try again by itself."""


def code_of(error: Exception) -> grpc.StatusCode:
    """Return the gRPC code of an error.

    >>> code_of(errors.TemplateEvicted("gone")), code_of(KeyError("a bug"))
    (<StatusCode.NOT_FOUND: (5, 'not found')>, <StatusCode.INTERNAL: (13, 'internal')>)
    """
    rows = (CODES[family] for family in type(error).__mro__ if family in CODES)
    return next(rows, grpc.StatusCode.INTERNAL)


def status_of(error: Exception, request_id: str) -> status_pb2.Status:
    """Build the status of a failed call, with its details."""
    code = code_of(error)
    if not isinstance(error, errors.SiamcorrError) or code is grpc.StatusCode.INTERNAL:
        message = f"internal error; the server's log tells more under the request id {request_id}"
        error = errors.InternalError(message)
    status = status_pb2.Status(code=code.value[0], message=error.message)
    status.details.extend(_packed(detail) for detail in _details(error))
    return status


def stream_status_of(error: Exception, request_id: str) -> error_pb2.Status:
    """Build the same status for one request on a stream."""
    status = status_of(error, request_id)
    return error_pb2.Status(code=status.code, message=status.message, details=status.details)


def pushback_ms(error: Exception) -> int | None:
    """Return after how many milliseconds gRPC's client may retry by itself; -1: never; None: as it likes.

    >>> pushback_ms(errors.QueueFull("full", retry_after_s=0.25)), pushback_ms(errors.InvalidArgument("bad"))
    (250, -1)
    """
    if not isinstance(error, RETRIED):
        return -1
    return None if error.retry_after_s is None else math.ceil(error.retry_after_s * 1e3)


def _details(error: errors.SiamcorrError) -> list[Message]:
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    details: list[Message] = [info]
    if error.field:
        info.metadata["field"] = error.field
    if error.field and isinstance(error, errors.InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        info.metadata["retry_after_s"] = f"{error.retry_after_s:.3f}"
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(error.retry_after_s * 1e3))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
