"""Requests whose heads are remembered: what is written and read is what it would be without that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refusals import refused
from siamcorr.calls import CorrelateCall, Features
from siamcorr.checks import correlate_call
from siamcorr.errors import InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.v1.tensor_pb2 import SharedSlot
from siamcorr.wire import families
from siamcorr.wire.correlation import read_correlate_request, seal_correlate_request
from siamcorr.wire.envelope import bulk_of, unseal, without_bulk
from siamcorr.wire.families import RequestReader, RequestWriter

X = np.arange(8 * 4 * 4, dtype=np.float32).reshape(8, 4, 4)

OPTIONS: list[dict[str, Any]] = [
    {},
    {"kind": "depthwise"},
    {"gain": 0.5},
    {"gain": 0.0},
    {"gain": -0.0},
    {"gain": 1},
    {"output": "peaks", "top_k": 3},
    {"padding": (1, 1)},
    {"bias": [1.0]},
    {"bias": 0.5},
    {"head": np.ones((1, 1), np.float32)},
    {"sum_channels": True, "kind": "depthwise"},
    {"tensor": "cls"},
    {"wire_dtype": "float16"},
    {"wire_dtype": "bfloat16"},
    {"wire_dtype": "float32"},
]
SEARCHES: list[Any] = [X, X + 1, X[:, :3], np.stack([X, X]), X.astype(np.float16), X[:, ::2], X.astype(">f4")]


def written(template: Any, options: Any) -> bytes:
    return b"".join(seal_correlate_request(correlate_call(template, **options)))


def read(reader: RequestReader, message: bytes) -> CorrelateCall:
    opened = reader.open(message)
    assert opened.shared is None
    return opened.read(opened.payload)


def fields(call: CorrelateCall) -> tuple[Any, ...]:
    assert isinstance(call.search, Features)
    arrays = [call.search.regions, call.bias, None if call.head is None else call.head.weight]
    return (
        (call.templates, call.template_index, call.search_index, call.correlation, call.tensor, call.gain),
        call.output,
        [None if array is None else (array.dtype.str, array.shape, array.tobytes()) for array in arrays],
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", ["a"], ["a", "b"], ("b", "a")]),
            st.sampled_from(OPTIONS),
            st.sampled_from(range(len(SEARCHES))),
        ),
        min_size=2,
        max_size=8,
    )
)
@settings(deadline=None)
def test_what_is_written_and_read_does_not_depend_on_what_came_before(
    requests: list[tuple[Any, Any, int]],
) -> None:
    writer, reader = RequestWriter(), RequestReader()
    for asked, more, search in requests:
        features = SEARCHES[search]
        template = [asked] if isinstance(asked, str) and features.ndim == 4 else asked
        options: Any = {"features": features} | more
        expected = written(template, options)
        sealed = writer.seal(template, options)
        assert b"".join(sealed.parts) == expected
        plain = read_correlate_request(*unseal(pb.CorrelateRequest, expected))
        assert fields(read(reader, expected)) == fields(plain)
        assert sealed.pairs == len(plain.template_index)


@pytest.mark.parametrize("wrong", [{"gain": True}, {"kind": "Naive"}, {"top_k": 1.0}, {"top_k": True}])
def test_options_that_are_equal_but_wrong_are_refused_all_the_same(wrong: dict[str, Any]) -> None:
    writer = RequestWriter()
    writer.seal("a", {"features": X, "gain": 1.0, "kind": "naive", "top_k": 1})
    options: Any = {"features": X, "gain": 1.0, "kind": "naive", "top_k": 1} | wrong
    assert refused(writer.seal, "a", options).field in wrong


@pytest.mark.parametrize("template", [3, ["a", None], [], None, {"a"}])
def test_what_is_no_template_is_refused(template: Any) -> None:
    assert refused(RequestWriter().seal, template, {"features": X}).field == "template"


def test_a_call_that_is_like_another_is_of_its_family_and_holds_its_own_bytes_only() -> None:
    reader = RequestReader()
    first, second = (read(reader, written("a", {"features": x})) for x in (X, X + 1))
    neighbour = read(reader, written("b", {"features": X}))
    pair = read(reader, written(["a", "b"], {"features": X}))
    assert first.family is second.family is neighbour.family is not None
    assert (neighbour.templates, pair.templates) == (("b",), ("a", "b"))
    other = read(reader, written("a", {"features": X, "gain": 0.5}))
    assert len({id(call.family) for call in (first, pair, other)}) == 3
    headed = read(reader, written("a", {"features": X, "bias": [1.0]}))
    assert headed.family is None, "its bias is in the payload"


def in_slot(template: str, features: Any, sequence: int) -> tuple[bytes, memoryview]:
    """Return a request whose payload is in a slot, and what is in the slot."""
    parts = RequestWriter().seal(template, {"features": features}).parts
    payload = b"".join(bulk_of(parts))
    shared = SharedSlot(region=b"r" * 16, slot=3, sequence=sequence, length_bytes=len(payload))
    return b"".join(without_bulk(parts, pb.CorrelateRequest(shared=shared))), memoryview(payload)


def test_requests_with_their_payload_in_a_slot_are_of_a_family_too() -> None:
    reader = RequestReader()
    read(reader, written("a", {"features": X}))
    calls = []
    for sequence in (1, 3, 5):
        message, payload = in_slot("a", X + sequence, sequence)
        opened = reader.open(message)
        assert opened.shared is not None
        assert opened.shared.sequence == sequence
        calls.append(opened.read(payload))
        assert np.array_equal(calls[-1].search.regions[0], X + sequence)  # type: ignore[union-attr]
    assert calls[0].family is calls[1].family is calls[2].family is not None
    assert calls[0].family is not read(reader, written("a", {"features": X})).family


def test_a_bias_that_is_a_number_goes_with_each_request_again() -> None:
    writer = RequestWriter()
    for features in (X, X + 1):
        options: Any = {"features": features, "bias": 0.5}
        assert b"".join(writer.seal("a", options).parts) == written("a", options)


def test_a_slot_with_fields_that_nobody_knows_is_read_and_not_remembered() -> None:
    reader = RequestReader()
    unknown = bytes([15 << 3 | 2, 100, *bytes(100)])
    slot = SharedSlot(region=b"r" * 16, sequence=1, length_bytes=X.nbytes).SerializeToString()
    shared = SharedSlot.FromString(slot + 3 * unknown)
    parts = RequestWriter().seal("a", {"features": X}).parts
    message = b"".join(without_bulk(parts, pb.CorrelateRequest(shared=shared)))
    call = reader.open(message).read(memoryview(X.tobytes()))
    assert fields(call) == fields(correlate_call(["a"], features=X))
    assert call.family is None


def test_one_peer_cannot_have_the_requests_of_another_misread() -> None:
    reader = RequestReader()
    message, payload = in_slot("a", X, 1)
    reader.open(message).read(payload)
    plain = written("a", {"features": X})
    shared_head_bytes = next(iter(reader._head_bytes.values()))
    reader._head_bytes[len(plain)] = shared_head_bytes  # as a head of that length leaves it
    assert fields(read(reader, plain)) == fields(read(RequestReader(), plain))


@pytest.mark.parametrize("length", [0, X.nbytes - 4, X.nbytes + 4])
def test_a_slot_with_another_number_of_bytes_than_before_is_refused(
    length: int,
) -> None:
    reader = RequestReader()
    message, payload = in_slot("a", X, 1)
    reader.open(message).read(payload)
    shared = SharedSlot(region=b"r" * 16, slot=3, sequence=3, length_bytes=length)
    parts = RequestWriter().seal("a", {"features": X}).parts
    opened = reader.open(b"".join(without_bulk(parts, pb.CorrelateRequest(shared=shared))))
    assert refused(opened.read, memoryview(bytes(length))).field == "payload"


def test_a_payload_beside_a_slot_is_refused() -> None:
    request = pb.CorrelateRequest(shared=SharedSlot(slot=1), payload=b"1234")
    assert refused(RequestReader().open, request.SerializeToString()).field == "shared"


@given(st.data())
@settings(deadline=None)
def test_a_changed_request_of_a_slot_is_read_as_by_a_reader_that_knows_nothing(data: st.DataObject) -> None:
    knowing = RequestReader()
    message, payload = in_slot("a", X, 1)
    knowing.open(message).read(payload)
    changed = bytearray(message)
    changed[data.draw(st.integers(0, len(message) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    outcomes = []
    for reader in (knowing, RequestReader()):
        try:
            opened = reader.open(bytes(changed))
            outcomes.append((opened.shared, str(fields(opened.read(payload)))))
        except InvalidArgument as error:
            outcomes.append((None, str(error)))
    assert outcomes[0] == outcomes[1]


@given(st.data())
@settings(deadline=None)
def test_a_cut_or_changed_message_is_read_as_by_a_reader_that_knows_nothing(data: st.DataObject) -> None:
    message = bytearray(written("a", {"features": X}))
    knowing = RequestReader()
    read(knowing, bytes(message))
    if data.draw(st.booleans()):
        del message[data.draw(st.integers(0, len(message) - 1)) :]
    else:
        message[data.draw(st.integers(0, min(120, len(message)) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    outcomes = []
    for reader in (knowing, RequestReader()):
        try:
            outcomes.append(str(fields(read(reader, bytes(message)))))
        except Exception as error:
            outcomes.append(repr(error))
    assert outcomes[0] == outcomes[1]


def test_ten_thousand_trackers_that_ask_alike_are_one_family() -> None:
    writer, reader = RequestWriter(), RequestReader()
    calls = [
        read(reader, b"".join(writer.seal(f"tpl_{number:05}", {"features": X}).parts))
        for number in range(10_000)
    ]
    assert [calls[number].templates for number in (0, 9_999)] == [("tpl_00000",), ("tpl_09999",)]
    assert (len(writer._known), len(reader._known)) == (1, 1)
    assert len({id(call.family) for call in calls}) == 1


@pytest.mark.parametrize("handle", ["", "a\n", "t" * 65, "t" * 300, "\u00e9" * 64])
def test_a_handle_is_checked_also_where_the_rest_is_known(handle: str) -> None:
    writer, reader = RequestWriter(), RequestReader()
    writer.seal("a", {"features": X})
    if len(handle) == 64:
        assert b"".join(writer.seal(handle, {"features": X}).parts) == written(handle, {"features": X})
        return
    assert refused(writer.seal, handle, {"features": X}).field == "template"
    message = pb.CorrelateRequest.FromString(written("a" * min(len(handle), 64) or "a", {"features": X}))
    read(reader, message.SerializeToString())
    message.templates[:] = [handle]
    opened = reader.open(message.SerializeToString())
    assert refused(opened.read, opened.payload).field == "template"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_MAX_HEADS", 3)
    writer, reader = RequestWriter(), RequestReader()
    for number in range(10):
        read(reader, b"".join(writer.seal("tpl", {"features": X, "gain": number + 1}).parts))
        assert 1 <= len(reader._known) <= 3
        assert 1 <= len(writer._known) <= 3
    read(reader, b"".join(writer.seal("t" * 60, {"features": X}).parts))
    long = ["t" * 60] * 40
    before = len(reader._known), len(writer._known)
    read(reader, b"".join(writer.seal(long, {"features": X}).parts))
    assert (len(reader._known), len(writer._known)) == before, "a head of more than 1 KiB"
