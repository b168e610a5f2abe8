"""Envelopes: bulk that goes in and out of messages uncopied, told by what parsing the whole tells."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from siamcorr.errors import InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.v1.template_service_pb2 import CreateTemplateRequest
from siamcorr.wire import envelope
from siamcorr.wire.envelope import seal, unseal


def request(templates: int = 2, payload: bytes = b"payload") -> pb.CorrelateRequest:
    message = pb.CorrelateRequest(templates=["t" * n for n in range(templates)], payload=payload)
    message.correlation.gain = 2.0
    message.template_index.extend(range(templates))
    return message


def parsed_whole(data: bytes) -> tuple[pb.CorrelateRequest, bytes] | None:
    try:
        message = pb.CorrelateRequest.FromString(data)
    except DecodeError:
        return None
    payload = message.payload
    message.ClearField("payload")
    return message, payload


def unsealed(data: bytes) -> tuple[pb.CorrelateRequest, bytes] | None:
    try:
        head, payload = unseal(pb.CorrelateRequest, data)
    except InvalidArgument:
        return None
    return head, bytes(payload)


@pytest.mark.parametrize("size", [1, 127, 128, 16383, 16384, 1 << 21])
def test_sealing_gives_the_bytes_that_protobuf_gives(size: int) -> None:
    head, bulk = request(payload=b""), bytes(size)
    assert b"".join(seal(head, [bulk[:1], bulk[1:]])) == request(payload=bulk).SerializeToString()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16384, 1 << 21])
@pytest.mark.parametrize("results", range(20))
def test_a_padded_bulk_begins_at_a_multiple_of_16_bytes_and_is_the_same_message(
    results: int, size: int
) -> None:
    head = pb.CorrelateResponse(results=[pb.Result(template="t" * n) for n in range(results)])
    data = b"".join(seal(head, [bytes(size)], padded=True))
    assert (len(data) - size) % 16 == 0
    message = pb.CorrelateResponse.FromString(data)
    assert not any(message.padding)
    message.ClearField("padding")
    assert message == pb.CorrelateResponse(results=head.results, payload=bytes(size))
    assert bytes(unseal(pb.CorrelateResponse, data)[1]) == bytes(size)


def test_an_empty_bulk_is_the_same_message_to_a_parser() -> None:
    head = request(payload=b"")
    for bulk in ([], [b""], [b"", b""]):
        assert pb.CorrelateRequest.FromString(b"".join(seal(head, bulk))) == head


def test_the_bulk_is_not_copied() -> None:
    data = request().SerializeToString()
    _, payload = unseal(pb.CorrelateRequest, data)
    assert payload.obj is data


def test_the_bulk_is_found_in_part_of_a_larger_message() -> None:
    data = request().SerializeToString()
    head, payload = unseal(pb.CorrelateRequest, memoryview(b"before" + data + b"behind")[6:-6])
    assert (head, bytes(payload)) == (request(payload=b""), b"payload")


@given(st.data())
def test_a_damaged_message_tells_what_parsing_the_whole_tells(data: st.DataObject) -> None:
    raw = bytearray(request().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert unsealed(bytes(raw)) == parsed_whole(bytes(raw))


FIELDS = st.sampled_from(
    [
        b"\x0a\x01a",  # templates
        b"\x0a\x81\x00a",  # the same, its length not as short as it could be
        b"\x7a\x02xy",  # payload
        b"\x7a\x00",
        b"\x8a\xfa\x03\x01a",  # a field that nobody knows, of length 1
        b"\x80\xfa\x03\x81\x01",  # a varint
        b"\x85\xfa\x03abcd",  # four bytes
        b"\x81\xfa\x03abcdefgh",  # eight bytes
        b"\x83\xfa\x03\x84\xfa\x03",  # a group
        b"\x83\xfa\x03\x7a\x02xy\x84\xfa\x03",  # a group with something like a payload
        b"\x78\x01",  # field 15, of another type
        b"\x00\x00",  # field 0
        b"\x0f",  # a type that there is not
        b"\xff" * 10 + b"\x01",  # a varint without an end
        b"\x7a\xff\xff\xff\xff\x0f",  # a length beyond everything
        b"\x7a",
        b"\x0a",
        b"\x85\xfa\x03ab",
    ]
)


@given(st.lists(FIELDS, max_size=5).map(b"".join))
@example(b"\x7a\x02xy\x0a\x01a")
@example(b"\x7a\x02xy\x7a\x02zw")
def test_fields_in_any_order_tell_what_parsing_the_whole_tells(data: bytes) -> None:
    assert unsealed(data) == parsed_whole(data)


@given(st.binary(max_size=40))
def test_any_bytes_tell_what_parsing_the_whole_tells(data: bytes) -> None:
    assert unsealed(data) == parsed_whole(data)


def test_a_message_cut_at_any_length_tells_what_parsing_the_whole_tells() -> None:
    data = request().SerializeToString()
    outcomes = [unsealed(data[:length]) for length in range(len(data) + 1)]
    assert outcomes == [parsed_whole(data[:length]) for length in range(len(data) + 1)]
    assert None in outcomes
    assert outcomes[-1] == (request(payload=b""), b"payload")


@pytest.mark.parametrize("templates", [500, 20_000])
def test_no_more_than_so_many_fields_are_looked_at(templates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    read = envelope.read_varint

    def counted(view: memoryview, position: int) -> tuple[int, int]:
        nonlocal looks
        looks += 1
        return read(view, position)

    monkeypatch.setattr(envelope, "read_varint", counted)
    data = b"\x0a\x01a" * templates + request(0).SerializeToString()
    assert unsealed(data) == parsed_whole(data)
    assert looks <= 2 * 16_384


def test_what_is_not_bulk_is_bounded() -> None:
    bulk, handle = bytes(3 << 20), b"\x0a\x00"
    payload = b"".join(seal(pb.CorrelateRequest(), [bulk]))
    _, found = unseal(pb.CorrelateRequest, handle * 1000 + payload)
    assert len(found) == len(bulk)
    for wrong in (handle * 1_100_000, handle * 1_100_000 + payload, payload + handle):
        with pytest.raises(InvalidArgument, match="before a bulk that comes last"):
            unseal(pb.CorrelateRequest, wrong)


def test_a_request_within_a_request_is_taken_out_unparsed() -> None:
    inner = request().SerializeToString()
    data = b"".join(seal(pb.CorrelateStreamRequest(id=7), [inner]))
    head, bulk = unseal(pb.CorrelateStreamRequest, data)
    assert head == pb.CorrelateStreamRequest(id=7)
    assert bytes(bulk) == inner


@pytest.mark.parametrize(
    "stream_request",
    [
        pb.CorrelateStreamRequest(id=7, request=request()),
        pb.CorrelateStreamRequest(id=7, request=pb.CorrelateRequest()),
        pb.CorrelateStreamRequest(id=7),
    ],
)
def test_a_request_within_a_request_is_taken_out_in_any_order_of_fields(stream_request: Any) -> None:
    data = stream_request.SerializeToString()
    in_front = data[2:] + data[:2]  # the id behind the request
    for raw in (data, in_front):
        head, bulk = unseal(pb.CorrelateStreamRequest, raw)
        assert head == pb.CorrelateStreamRequest(id=7)
        assert pb.CorrelateRequest.FromString(bytes(bulk)) == stream_request.request


def test_taking_out_what_is_not_there_leaves_the_rest() -> None:
    refused = pb.CorrelateStreamResponse(id=7)
    refused.error.message = "no"
    head, bulk = unseal(pb.CorrelateStreamResponse, refused.SerializeToString())
    assert (head, bytes(bulk)) == (refused, b"")


def test_bytes_that_are_no_message_are_refused_by_the_name_of_the_message() -> None:
    with pytest.raises(InvalidArgument, match=r"expected the bytes of a siamcorr\.v1\.CreateTemplateRequest"):
        unseal(CreateTemplateRequest, b"\x0a\xff")
