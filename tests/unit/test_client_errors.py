"""From a failed call to the error class: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted import error_status
from siamcorr.errors import (
    BY_REASON,
    BankFull,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    QueueFull,
    ServerUnavailable,
    SiamcorrError,
)
from siamcorr.v1 import error_pb2
from siamcorr_client._errors import error_of_call, error_of_status

DETAILS = "grpc-status-details-bin"
Code = grpc.StatusCode


@dataclass
class Failure:
    """A failed call, as gRPC tells it."""

    status: grpc.StatusCode
    text: str | None = ""
    trailers: Any = ()

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str | None:
        return self.text

    def trailing_metadata(self) -> Any:
        return self.trailers


def told(error: SiamcorrError, code: grpc.StatusCode = Code.UNKNOWN, **changes: str) -> Failure:
    trailer = error_status(error, code, **changes).SerializeToString()
    return Failure(code, "text", (("other", "x"), (DETAILS, trailer)))


@pytest.mark.parametrize("reason", [*BY_REASON])
def test_every_reason_becomes_its_class_again(reason: str) -> None:
    sent = BY_REASON[reason]("what: found, expected", field="what", retry_after_s=0.25)
    status = error_status(sent, Code.UNKNOWN)
    for error in (error_of_call(told(sent)), error_of_status(status)):
        assert type(error) is BY_REASON[reason]
        assert (str(error), error.field, error.retry_after_s) == ("what: found, expected", "what", 0.25)


def test_a_region_that_was_lost_is_not_the_callers_fault() -> None:
    sent = InvalidArgument.found("shared", "a region that is not attached", "that of an open stream")
    for error in (error_of_call(told(sent)), error_of_status(error_status(sent, Code.UNKNOWN))):
        assert isinstance(error, ServerUnavailable)
        assert "shared" in str(error)
        assert "not attached" in str(error)


def test_what_is_not_told_stays_empty() -> None:
    error = error_of_call(told(QueueFull("full")))
    assert (error.field, error.retry_after_s) == ("", None)


TOO_LARGE = "SERVER: Received message larger than max (70000000 vs. 67108864)"
ANSWER_TOO_LARGE = "CLIENT: Received message larger than max (2000 vs. 1000)"

BY_CODE = [
    (Code.UNAVAILABLE, "refused", ServerUnavailable, "the server cannot be reached: refused"),
    (Code.DEADLINE_EXCEEDED, "late", DeadlineExceeded, "no answer in time: late"),
    (Code.CANCELLED, "away", Cancelled, "the call was given up: away"),
    (Code.RESOURCE_EXHAUSTED, "limit", QueueFull, "the server takes no more: limit"),
    (
        Code.RESOURCE_EXHAUSTED,
        TOO_LARGE,
        InvalidArgument,
        "request: found 70000000 bytes, expected at most the server's limit of 67108864",
    ),
    (
        Code.RESOURCE_EXHAUSTED,
        ANSWER_TOO_LARGE,
        InvalidArgument,
        "response: found 2000 bytes, expected at most max_message_bytes=1000: raise it",
    ),
    (Code.UNIMPLEMENTED, "no such method", InternalError, "UNIMPLEMENTED: no such method"),
    (Code.UNKNOWN, None, InternalError, "UNKNOWN: no details"),
    (Code.INVALID_ARGUMENT, "who knows", InternalError, "INVALID_ARGUMENT: who knows"),
]


@pytest.mark.parametrize(("code", "text", "kind", "message"), BY_CODE)
def test_without_details_the_code_tells(
    code: grpc.StatusCode, text: str | None, kind: type[SiamcorrError], message: str
) -> None:
    for trailers in (None, (), (("x-request-id", "abc"),)):
        error = error_of_call(Failure(code, text, trailers))
        assert type(error) is kind
        assert str(error).startswith(message)
    assert type(error_of_status(error_pb2.Status(code=code.value[0], message=text or ""))) is kind


@pytest.mark.parametrize("code", [*Code])
def test_every_code_becomes_an_error_of_ours(code: grpc.StatusCode) -> None:
    error = error_of_call(Failure(code, "text"))
    assert isinstance(error, SiamcorrError)
    assert "text" in str(error)


def test_a_code_that_nobody_knows_is_a_fault() -> None:
    assert type(error_of_status(error_pb2.Status(code=99, message="odd"))) is InternalError


@pytest.mark.parametrize("changes", [{"reason": "NEWER_THAN_THIS_CLIENT"}, {"domain": "googleapis.com"}])
def test_details_of_others_are_left_to_the_code(changes: dict[str, str]) -> None:
    failure = told(BankFull("full"), Code.UNAVAILABLE, **changes)
    assert type(error_of_call(failure)) is ServerUnavailable


def test_other_details_may_stand_in_front() -> None:
    status = error_status(BankFull("full"), Code.RESOURCE_EXHAUSTED)
    status.details.insert(0, status.details[0])
    status.details[0].type_url = "type.googleapis.com/google.rpc.RetryInfo"
    assert type(error_of_status(status)) is BankFull


@pytest.mark.parametrize("hint", ["soon", "", "1e", "nan", "inf", "-1"])
def test_a_hint_that_is_no_number_is_no_hint(hint: str) -> None:
    status = error_status(QueueFull("full"), Code.RESOURCE_EXHAUSTED)
    info = error_pb2.ErrorInfo.FromString(status.details[0].value)
    info.metadata["retry_after_s"] = hint
    status.details[0].value = info.SerializeToString()
    assert error_of_status(status).retry_after_s is None


@given(st.binary(max_size=40))
def test_any_trailer_becomes_an_error_of_ours(trailer: bytes) -> None:
    error = error_of_call(Failure(Code.UNAVAILABLE, "text", ((DETAILS, trailer),)))
    assert type(error) is ServerUnavailable


@given(st.data())
def test_damaged_details_become_an_error_of_ours(data: st.DataObject) -> None:
    raw = bytearray(error_status(BankFull("full"), Code.UNAVAILABLE).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(error_of_call(Failure(Code.UNAVAILABLE, "", ((DETAILS, bytes(raw)),))), SiamcorrError)
