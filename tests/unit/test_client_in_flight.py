"""The books of a stream: every request is taken out once, by its answer, its deadline or the stream's end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from scripted import stream_answer, stream_refusal
from siamcorr.errors import BankFull, InternalError, InvalidArgument, QueueFull, TemplateNotFound
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr_client._calls import correlate_as_written
from siamcorr_client._in_flight import InFlight, fresh, stream_request

CALL = correlate_as_written("tpl_a", {"features": np.full((1, 2, 2), 7, np.float32)})


def books(most: int = 8, requests: str = "") -> InFlight[str]:
    in_flight: InFlight[str] = InFlight(most)
    for name in requests:
        in_flight.add(CALL, name)
    return in_flight


def parsed(request_id: int) -> pb.CorrelateStreamRequest:
    return pb.CorrelateStreamRequest.FromString(stream_request(request_id, 2.5, CALL.parts))


def answered(request_id: int) -> bytes:
    return stream_answer(parsed(request_id)).SerializeToString()


def test_a_request_on_a_stream_has_its_id_and_its_timeout() -> None:
    request = parsed(9)
    assert (request.id, request.timeout.ToNanoseconds()) == (9, 2_500_000_000)
    assert request.request.SerializeToString() == b"".join(CALL.parts)
    late = pb.CorrelateStreamRequest.FromString(stream_request(1, -0.5, CALL.parts))
    assert late.timeout.ToNanoseconds() == 1, "as short as can be, for none would be endless"


def test_answers_find_their_requests_in_any_order() -> None:
    in_flight = books(requests="abc")
    assert [in_flight.take(answered(number))[0] for number in (2, 3, 1)] == ["b", "c", "a"]
    assert len(in_flight) == 0


def test_ids_are_never_used_again() -> None:
    in_flight = books(requests="ab")
    in_flight.take(answered(1))
    assert in_flight.add(CALL, "c") == 3


def test_an_outcome_is_a_response_or_an_error() -> None:
    in_flight = books(requests="ab")
    _, response = in_flight.take(answered(1))
    assert response.map.tolist() == [[[7.0]]]  # type: ignore[union-attr]
    _, error = in_flight.take(stream_refusal(parsed(2), TemplateNotFound("none")).SerializeToString())
    assert type(error) is TemplateNotFound


def test_an_answer_without_outcome_or_that_cannot_be_read_is_the_outcome_of_its_request() -> None:
    in_flight = books(requests="ab")
    assert type(in_flight.take(pb.CorrelateStreamResponse(id=1).SerializeToString())[1]) is InternalError
    torn = pb.CorrelateStreamResponse(id=2, response=pb.CorrelateResponse(payload=b"x")).SerializeToString()
    future, outcome = in_flight.take(torn)
    assert (future, type(outcome)) == ("b", InternalError)


@pytest.mark.parametrize("data", [answered(7), answered(0), b"\x0a\xff", b""])
def test_what_answers_no_request_is_a_fault_of_the_stream(data: bytes) -> None:
    in_flight = books(requests="a")
    with pytest.raises(InternalError):
        in_flight.take(data)
    assert in_flight.waiting() == ["a"]


def test_no_request_is_answered_twice() -> None:
    in_flight = books(requests="a")
    in_flight.take(answered(1))
    with pytest.raises(InternalError, match="answered 1"):
        in_flight.take(answered(1))


def test_who_is_late_is_told_once_and_counts_until_the_answer_comes() -> None:
    in_flight = books(most=2)
    in_flight.add(CALL, "a", 5.0)
    in_flight.add(CALL, "b", 3.0)
    assert (in_flight.next_deadline(), in_flight.expire(2.9)) == (3.0, [])
    assert (in_flight.expire(3.0), in_flight.expire(4.0)) == (["b"], [])
    assert (in_flight.next_deadline(), in_flight.waiting(), in_flight.is_full) == (5.0, ["a"], True)
    assert in_flight.take(answered(2))[0] is None
    assert (len(in_flight), in_flight.is_full) == (1, False)


def test_without_requests_there_is_no_deadline() -> None:
    assert books().next_deadline() == math.inf
    assert books(requests="a").next_deadline() == math.inf


def test_at_the_end_all_are_taken_out() -> None:
    in_flight = books(most=2, requests="ab")
    assert in_flight.is_full
    assert in_flight.take_all() == ["a", "b"]
    assert (in_flight.take_all(), len(in_flight), in_flight.is_full) == ([], 0, False)


@pytest.mark.parametrize("most", [0, 4097, 1.0, None])
def test_a_wrong_bound_is_refused(most: Any) -> None:
    with pytest.raises(InvalidArgument, match="max_in_flight: found"):
        InFlight(most)


def test_a_fresh_error_is_the_same_but_another() -> None:
    error = QueueFull("full", field="x", retry_after_s=2.0)
    error.__cause__ = BankFull("why")
    copy = fresh(error)
    assert copy is not error
    assert type(copy) is QueueFull
    assert (copy.message, copy.field, copy.retry_after_s) == ("full", "x", 2.0)
    assert copy.__cause__ is error.__cause__
