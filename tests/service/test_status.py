"""The table from errors to statuses."""

from __future__ import annotations

import grpc
import pytest

from servers import Refusal
from siamcorr import errors
from siamcorr_server.status import CODES, RETRIED, code_of, pushback_ms, status_of, stream_status_of

ALL = sorted(errors.BY_REASON.values(), key=lambda error: error.reason)


@pytest.mark.parametrize("error", ALL)
def test_every_reason_that_can_travel_has_a_row(error: type[errors.SiamcorrError]) -> None:
    assert error in CODES


@pytest.mark.parametrize("error", ALL)
def test_a_family_shares_what_its_callers_go_by(error: type[errors.SiamcorrError]) -> None:
    ours = {grpc.StatusCode.INTERNAL}
    overload = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
    code = CODES[error]
    assert (code in overload) == issubclass(error, errors.OverloadError)
    assert (code in ours) == issubclass(error, errors.InternalError)
    assert not issubclass(error, RETRIED) or issubclass(error, errors.OverloadError)


def test_a_class_without_a_row_has_its_familys() -> None:
    class NewOverload(errors.OverloadError):
        pass

    assert code_of(NewOverload("x")) is grpc.StatusCode.UNAVAILABLE
    assert code_of(ValueError("x")) is grpc.StatusCode.INTERNAL


def test_a_field_at_fault_is_told_for_programs_and_people() -> None:
    told = Refusal.from_status(status_of(errors.InvalidArgument.found("box", "w -1", "above 0"), "id"))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.message == "box: found w -1, expected above 0"
    assert (told.reason, told.metadata, told.violations) == ("INVALID_ARGUMENT", {"field": "box"}, ["box"])
    assert told.retry_s is None


def test_a_hint_is_told_where_there_is_one() -> None:
    told = Refusal.from_status(
        status_of(errors.QueueFull("full", field="max_jobs", retry_after_s=0.25), "id")
    )
    assert told.metadata == {"field": "max_jobs", "retry_after_s": "0.250"}
    assert told.retry_s == 0.25
    assert told.violations == [], "the request itself was fine"


@pytest.mark.parametrize("error", [errors.InternalError("row 3 of slab 0x7f"), KeyError("0x7f")])
def test_our_faults_tell_only_where_to_look(error: Exception) -> None:
    told = Refusal.from_status(status_of(error, "request-7"))
    assert (told.code, told.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "request-7" in told.message
    assert "0x7f" not in told.message


@pytest.mark.parametrize("error", ALL)
def test_a_stream_tells_what_a_call_tells(error: type[errors.SiamcorrError]) -> None:
    one = error("message", field="field", retry_after_s=1.5)
    assert stream_status_of(one, "id").SerializeToString() == status_of(one, "id").SerializeToString()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.QueueFull("x", retry_after_s=0.0105), 11),
        (errors.Draining("x"), None),
        (errors.BankFull("x", retry_after_s=1.0), -1),
        (errors.InvalidArgument("x"), -1),
        (errors.DeadlineExceeded("x"), -1),
        (errors.InternalError("x"), -1),
        (ZeroDivisionError(), -1),
    ],
)
def test_grpc_clients_are_told_whether_to_retry(error: Exception, expected: int | None) -> None:
    assert pushback_ms(error) == expected
