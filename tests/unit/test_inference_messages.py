"""Requests are opened to what parsing the whole would tell, and answers sealed to what it would write."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from refusals import refused
from siamcorr.errors import InvalidArgument
from siamcorr_server.inference.messages import open_request, seal_response
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

RAW = st.lists(st.binary(max_size=5), max_size=4)


def request(*raw: bytes) -> Any:
    """Return a request with something in every field."""
    made = pb.ModelInferRequest(model_name="m", model_version="1", id="7", raw_input_contents=raw)
    made.parameters["gain"].double_param = 0.5
    made.inputs.add(name="x", datatype="FP32", shape=[1, -1]).contents.fp32_contents.extend([1.0, 2.0])
    made.outputs.add(name="y").parameters["shared_memory_region"].string_param = "r"
    return made


def opened(data: bytes) -> tuple[Any, list[bytes]] | None:
    """Return what a request is opened to; None if it is refused."""
    try:
        head, raw = open_request(data)
    except InvalidArgument:
        return None
    return head, [bytes(one) for one in raw]


def parsed(data: bytes) -> tuple[Any, list[bytes]] | None:
    """Return the same of parsing the whole."""
    try:
        head = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        return None
    raw = list(head.raw_input_contents)
    head.ClearField("raw_input_contents")
    return head, raw


@given(RAW)
def test_a_request_is_opened_to_what_it_was(raw: list[bytes]) -> None:
    assert opened(request(*raw).SerializeToString()) == (request(), raw)


def test_a_request_cut_at_any_length_tells_what_parsing_the_whole_tells() -> None:
    data = request(b"abc", b"", b"d").SerializeToString()
    outcomes = [opened(data[:length]) for length in range(len(data) + 1)]
    assert outcomes == [parsed(data[:length]) for length in range(len(data) + 1)]
    assert None in outcomes


@given(st.permutations(["inputs", "raw", "other"]), RAW)
def test_fields_may_come_in_any_order(order: list[str], raw: list[bytes]) -> None:
    parts = {
        "inputs": request().SerializeToString(),
        "raw": pb.ModelInferRequest(raw_input_contents=raw).SerializeToString(),
        "other": b"\xf8\x3f\x05",  # field 1023, a number that nobody knows
    }
    data = b"".join(parts[name] for name in order)
    assert opened(data) == parsed(data)


@given(st.binary(max_size=30))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    found = opened(data)
    assert found is None or found == parsed(data)


def test_raw_contents_are_views_of_the_message() -> None:
    data = request(b"abc").SerializeToString()
    _, (raw,) = open_request(data)
    assert raw.obj is data


def test_what_is_not_raw_is_bounded() -> None:
    many = b"\x2a\x00" * 2000  # empty inputs
    assert "with more than 1024 fields" in str(refused(open_request, many))
    listed = pb.ModelInferRequest()
    listed.inputs.add().contents.fp32_contents.extend([0.0] * (1 << 20))
    found = refused(open_request, listed.SerializeToString())
    assert "expected at most 1048576: larger tensors as raw_input_contents" in str(found)
    open_request(pb.ModelInferRequest(raw_input_contents=[bytes(5 << 20)]).SerializeToString())


@given(st.lists(st.lists(st.binary(max_size=300), max_size=3), max_size=3))
def test_an_answer_is_sealed_to_what_protobuf_reads(raw: list[list[bytes]]) -> None:
    head = pb.ModelInferResponse(model_name="m", id="7")
    answer = pb.ModelInferResponse.FromString(b"".join(seal_response(head, raw)))
    assert list(answer.raw_output_contents) == [b"".join(parts) for parts in raw]
    answer.ClearField("raw_output_contents")
    assert answer == head


@pytest.mark.parametrize("data", [b"\x0b", b"\x3a", b"\x3a\x05abc", b"\x0d\x00", b"\x38"])
def test_malformed_fields_are_refused(data: bytes) -> None:
    assert refused(open_request, data).field == "message"
