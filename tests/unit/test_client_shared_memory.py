"""The client's side of a region: who gets a slot, and when it is lent again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from siamcorr.errors import InternalError, InvalidArgument
from siamcorr.shared_memory import Layout, Region, create_region
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import shared_memory_service_pb2 as pb
from siamcorr.wire.envelope import Parts, seal
from siamcorr_client._shared_memory import SLOTS, Loan, SharedMemory

SLOT_BYTES = 4096
PARTS = seal(correlation_pb.CorrelateRequest(templates=["t"]), [b"ab", b"c"])


class Stream:
    """A region's stream, with a server that does nothing but make the region."""

    def __init__(self) -> None:
        self.said: list[pb.AttachRequest] = []
        self.memory = SharedMemory(
            SLOT_BYTES, lambda data: self.said.append(pb.AttachRequest.FromString(data))
        )
        self.descriptor, self.region = create_region(Layout(SLOTS, SLOT_BYTES))

    def tell(self, **step: pb.Region | pb.SlotUse) -> None:
        self.memory.feed(pb.AttachResponse(**step).SerializeToString())  # type: ignore[arg-type]

    def open(self, key: bytes | None = None) -> None:
        self.tell(
            region=pb.Region(
                process_id=os.getpid(),
                descriptor=self.descriptor,
                key=self.region.key if key is None else key,
            )
        )

    def lend(self, parts: Parts = PARTS) -> Loan:
        loan = self.memory.lend(parts)
        assert loan is not None
        return loan


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    yield stream
    os.close(stream.descriptor)


def asked(loan: Loan) -> correlation_pb.CorrelateRequest:
    return correlation_pb.CorrelateRequest.FromString(b"".join(loan.parts))


def answered(loan: Loan, region: Region, payload: bytes) -> bytes:
    """Answer as the server does."""
    shared = asked(loan).shared
    shared.sequence += 2
    shared.length_bytes = region.slot(shared.slot).write([payload], shared.sequence)
    message = correlation_pb.CorrelateResponse(shared=shared)
    message.timings.batch_pairs = 1
    return message.SerializeToString()


def test_it_asks_first_and_lends_nothing_before_it_is_told(stream: Stream) -> None:
    assert stream.said == [pb.AttachRequest(open=pb.RegionSize(slots=SLOTS, slot_bytes=SLOT_BYTES))]
    assert stream.memory.lend(PARTS) is None


def test_a_request_names_the_slot_instead_of_its_payload(stream: Stream) -> None:
    stream.open()
    request = asked(stream.lend())
    assert (list(request.templates), request.payload) == (["t"], b"")
    shared = request.shared
    assert (shared.region, shared.length_bytes) == (stream.region.key, 3)
    assert stream.region.slot(shared.slot).read(shared.sequence, 3).tobytes() == b"abc"


@pytest.mark.parametrize("head", range(40))
def test_an_answer_is_put_together_as_if_it_had_come_in_one(stream: Stream, head: int) -> None:
    stream.open()
    loan = stream.lend()
    data = answered(loan, stream.region, b"maps") + b"\x0a" + bytes([head + 2, 0x0A, head]) + b"t" * head
    whole = loan.answer(data)
    message = correlation_pb.CorrelateResponse.FromString(bytes(whole))
    assert (message.payload, message.timings.batch_pairs, len(message.results)) == (b"maps", 1, 1)
    assert isinstance(whole, memoryview)
    assert whole.readonly
    stream.region.slot(0).write([b"next"], 100)
    assert bytes(whole[-4:]) == b"maps", "it is a copy"


def test_an_answer_in_its_message_is_taken_as_it_is(stream: Stream) -> None:
    stream.open()
    data = correlation_pb.CorrelateResponse(payload=b"map").SerializeToString()
    assert stream.lend().answer(data) is data


def test_a_slot_is_lent_again_when_its_answer_was_read(stream: Stream) -> None:
    stream.open()
    sequences = []
    for _ in range(3):
        loan = stream.lend()
        loan.answer(answered(loan, stream.region, b"map"))
        loan.end()
        sequences.append((asked(loan).shared.slot, asked(loan).shared.sequence))
    assert sequences == [(0, 2), (0, 6), (0, 10)], "the same slot, and never the same number"
    assert len(stream.said) == 1


def test_when_all_are_lent_there_is_none(stream: Stream) -> None:
    stream.open()
    loans = [stream.lend() for _ in range(SLOTS)]
    assert {asked(loan).shared.slot for loan in loans} == set(range(SLOTS))
    assert stream.memory.lend(PARTS) is None


def test_what_is_too_large_gets_none(stream: Stream) -> None:
    stream.open()
    request = correlation_pb.CorrelateRequest()
    assert stream.memory.lend(seal(request, [bytes(SLOT_BYTES), b"x"])) is None
    assert stream.lend(seal(request, [bytes(SLOT_BYTES)]))


def test_a_slot_whose_call_failed_is_kept_until_it_is_released(stream: Stream) -> None:
    stream.open()
    loans = [stream.lend() for _ in range(SLOTS)]
    loans[3].end()
    use = pb.SlotUse(slot=3, sequence=2)
    assert stream.said[1:] == [pb.AttachRequest(given_up=use)]
    assert stream.memory.lend(PARTS) is None
    stream.tell(released=use)
    assert asked(stream.lend()).shared.sequence == 6


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("another slot", lambda shared: setattr(shared, "slot", 1)),
        ("another region", lambda shared: setattr(shared, "region", bytes(16))),
        ("the request's own number", lambda shared: setattr(shared, "sequence", shared.sequence - 2)),
        ("too many bytes", lambda shared: setattr(shared, "length_bytes", SLOT_BYTES + 1)),
    ],
)
def test_an_answer_that_names_something_else_is_refused(
    stream: Stream, name: str, change: Callable[[object], None]
) -> None:
    stream.open()
    loan = stream.lend()
    message = correlation_pb.CorrelateResponse.FromString(answered(loan, stream.region, b"map"))
    change(message.shared)
    with pytest.raises(InvalidArgument):
        loan.answer(message.SerializeToString())
    loan.end()
    assert stream.said[-1].HasField("given_up"), name


def test_a_lost_region_lends_no_slot_but_its_answers_can_be_read(stream: Stream) -> None:
    stream.open()
    loan, failed = stream.lend(), stream.lend()
    data = answered(loan, stream.region, b"map")
    stream.memory.lose()
    assert stream.memory.is_lost
    assert bytes(loan.answer(data)).endswith(b"map")
    loan.end()
    failed.end()
    assert stream.memory.lend(PARTS) is None


def test_a_region_that_is_not_the_one_told_of_is_not_used(stream: Stream) -> None:
    with pytest.raises(InvalidArgument, match="shared_memory: found memory of another process"):
        stream.open(bytes(16))
    assert stream.memory.lend(PARTS) is None


def test_a_server_that_breaks_the_streams_rules_is_not_believed(stream: Stream) -> None:
    with pytest.raises(InternalError):
        stream.memory.feed(b"\xff")
    with pytest.raises(InternalError):
        stream.tell()
    stream.open()
    with pytest.raises(InternalError):
        stream.open()
    for slot, sequence in ((0, 2), (SLOTS, 2), (1, 0)):
        with pytest.raises(InternalError):
            stream.tell(released=pb.SlotUse(slot=slot, sequence=sequence))
    stream.lend().end()
    with pytest.raises(InternalError):
        stream.tell(released=pb.SlotUse(slot=0, sequence=4))
