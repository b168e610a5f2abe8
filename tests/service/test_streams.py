"""Streams of correlation requests."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S, held
from servers import Refusal, RunningServer, Stubs, secret_fault, serving
from siamcorr.answers import Response, Template
from siamcorr.checks import correlate_call
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.correlation import read_correlate_response
from whole_messages import correlate_request, read

Z = np.random.default_rng(0).standard_normal((8, 3, 3), np.float32)
X = np.random.default_rng(1).standard_normal((8, 7, 7), np.float32)
BOX = (10.0, 10.0, 20.0, 20.0)


class Peer:
    """The other end of a stream."""

    def __init__(self, stubs: Stubs, timeout: float | None = PATIENCE_S) -> None:
        self._requests: queue.Queue[pb.CorrelateStreamRequest | None] = queue.Queue()
        self.call = stubs.correlation.CorrelateStream(iter(self._requests.get, None), timeout=timeout)

    def send(self, id_: int, template: Template, timeout_s: float | None = None, **options: Any) -> None:
        call = correlate_call(template, **(options or {"features": X}))
        request = pb.CorrelateStreamRequest(id=id_, request=correlate_request(call))
        if timeout_s is not None:
            request.timeout.FromNanoseconds(int(timeout_s * 1e9))
        self._requests.put(request)

    def end(self) -> None:
        self._requests.put(None)

    def answer(self) -> tuple[int, Any]:
        """Return the next answer's id, and its response or refusal."""
        message = next(self.call)
        if message.WhichOneof("outcome") == "error":
            return message.id, Refusal.from_status(message.error)
        return message.id, read(read_correlate_response, message.response)[0]


@pytest.fixture
def peer(stubs: Stubs) -> Iterator[Peer]:
    """Return a peer whose stream ends with the test."""
    peer = Peer(stubs)
    yield peer
    peer.end()
    peer.call.cancel()


def in_flight(server: RunningServer) -> int:
    return server.engine.stats().requests


def test_many_requests_are_in_flight_and_answered_by_id(
    server: RunningServer, stubs: Stubs, peer: Peer
) -> None:
    templates = {id_: stubs.create(Z * id_)[0] for id_ in range(1, 21)}
    with held(server.engine, server.gate):
        for id_, template in templates.items():
            peer.send(id_, template)
        server.until(lambda: in_flight(server) == 20 + 1)
    answers = dict(peer.answer() for _ in templates)
    assert answers.keys() == templates.keys()
    for id_, response in answers.items():
        assert response.template == templates[id_].handle
        (alone,) = stubs.correlate(templates[id_], features=X)
        np.testing.assert_array_equal(response.map, alone.map)
    assert {response.timings.batch_pairs for response in answers.values()} == {20}


def test_half_closing_lets_the_rest_be_answered(server: RunningServer, stubs: Stubs, peer: Peer) -> None:
    (template,) = stubs.create(Z)
    with held(server.engine, server.gate):
        for id_ in range(3):
            peer.send(id_, template)
        peer.end()
        server.until(lambda: in_flight(server) == 3 + 1)
    assert sorted(peer.answer()[0] for _ in range(3)) == [0, 1, 2]
    with pytest.raises(StopIteration):
        next(peer.call)
    assert peer.call.code() is grpc.StatusCode.OK
    assert "x-request-id" in dict(peer.call.trailing_metadata())


def test_a_stream_without_requests_ends_well(stubs: Stubs) -> None:
    assert list(stubs.correlation.CorrelateStream(iter(()), timeout=PATIENCE_S)) == []


def test_a_request_that_fails_gets_its_error_and_the_stream_goes_on(
    server: RunningServer, stubs: Stubs, peer: Peer
) -> None:
    (template,) = stubs.create(Z)
    (gone,) = stubs.create(Z)
    server.engine.delete_template(gone)
    with held(server.engine, server.gate):
        peer.send(1, template)
        peer.send(2, gone)
        peer.send(3, template, features=X[:4])
        first, second = peer.answer(), peer.answer()
    assert {first[0], second[0]} == {2, 3}, "they overtake what waits for the device"
    told = dict([first, second])
    assert (told[2].code, told[2].reason) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")
    assert (told[3].code, told[3].violations) == (grpc.StatusCode.INVALID_ARGUMENT, ["template"])
    assert peer.answer()[0] == 1


def test_what_is_not_finite_fails_alone(server: RunningServer, stubs: Stubs, peer: Peer) -> None:
    (template,) = stubs.create(Z)
    with held(server.engine, server.gate):
        for id_, value in enumerate((1.0, np.nan, 1.0)):
            peer.send(id_, template, features=np.full_like(X, value))
        server.until(lambda: in_flight(server) == 3 + 1)
    answers = dict(peer.answer() for _ in range(3))
    assert answers[1].violations == ["features"]
    np.testing.assert_array_equal(answers[0].map, answers[2].map)


def test_a_fault_of_ours_is_one_requests_and_tells_nothing(
    server: RunningServer,
    stubs: Stubs,
    peer: Peer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (template,) = stubs.create(Z)
    with monkeypatch.context() as patch:
        patch.setattr(server.engine, "submit_correlate", secret_fault)
        peer.send(1, template)
        refusal = peer.answer()[1]
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in refusal.message
    assert "KeyError: 'secret'" in caplog.text
    peer.send(2, template)
    assert peer.answer()[0] == 2


def test_a_live_id_may_not_be_used_again(server: RunningServer, stubs: Stubs, peer: Peer) -> None:
    (template,) = stubs.create(Z)
    with held(server.engine, server.gate):
        for id_ in (7, 8, 7):
            peer.send(id_, template)
        refusal = Refusal.of(next, peer.call)
        server.until(lambda: in_flight(server) == 1)
    assert (refusal.code, refusal.violations) == (grpc.StatusCode.INVALID_ARGUMENT, ["id"])
    assert refusal.message.startswith("id: found 7")


def test_an_id_is_free_again_once_its_answer_is_there(stubs: Stubs, peer: Peer) -> None:
    (template,) = stubs.create(Z)
    for _ in range(200):
        peer.send(7, template)
        assert isinstance(peer.answer()[1], Response)


def test_bytes_that_are_no_message_end_the_stream(stubs: Stubs) -> None:
    raw: Any = stubs.channel.stream_stream("/siamcorr.v1.CorrelationService/CorrelateStream")
    refusal = Refusal.of(list, raw(iter([b"\xff" * 9]), timeout=PATIENCE_S))
    assert (refusal.code, refusal.violations) == (grpc.StatusCode.INVALID_ARGUMENT, ["message"])


def test_a_message_over_the_limit_ends_the_stream_and_an_answer_over_it_does_not() -> None:
    with serving(max_message_bytes=50_000) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(np.ones((8, 1, 1), np.float32))
            peer = Peer(stubs)
            peer.send(1, template, features=np.ones((8, 36, 36), np.float32), kind="depthwise")
            assert isinstance(peer.answer()[1], Response)
            padded: dict[str, Any] = {
                "features": np.ones((8, 30, 30), np.float32),
                "kind": "depthwise",
                "padding": 9,
            }
            peer.send(2, template, **padded)
            assert peer.answer()[1].violations == ["output"]
            peer.send(3, template, features=np.ones((8, 40, 40), np.float32))
            refusal = Refusal.of(next, peer.call)
            peer.end()
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_cancelling_a_stream_cancels_all_that_is_in_flight(
    server: RunningServer, stubs: Stubs, peer: Peer
) -> None:
    (template,) = stubs.create(Z)
    with held(server.engine, server.gate):
        for id_ in range(5):
            peer.send(id_, template)
        server.until(lambda: in_flight(server) == 5 + 1)
        peer.call.cancel()
        server.until(lambda: in_flight(server) == 1)
        stats = server.engine.stats()
        assert (stats.device.waiting, stats.bank.leased) == (0, 0)


def test_a_request_past_its_own_timeout_is_answered_while_the_device_is_held(
    server: RunningServer, stubs: Stubs, peer: Peer
) -> None:
    (template,) = stubs.create(Z)
    with held(server.engine, server.gate):
        peer.send(1, template, timeout_s=PATIENCE_S)
        peer.send(2, template, timeout_s=0.0)
        peer.send(3, template, timeout_s=1e-3)
        peer.send(4, template, timeout_s=-1.0)
        answers = dict(peer.answer() for _ in range(3))
        assert in_flight(server) == 1 + 1
    assert {answers[2].code, answers[3].code} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert answers[4].violations == ["timeout"]
    assert peer.answer()[0] == 1


def test_a_timeout_is_kept_while_the_job_runs(server: RunningServer, stubs: Stubs, peer: Peer) -> None:
    (template,) = stubs.create(image=IMAGE, boxes=BOX, model="gate")
    server.gate.entered.clear()
    server.gate.opened.clear()
    peer.send(1, template, timeout_s=1e-3, image=IMAGE, box=BOX)
    assert peer.answer()[1].code is grpc.StatusCode.DEADLINE_EXCEEDED
    server.gate.opened.set()
    peer.send(1, template, image=IMAGE, box=BOX)
    assert isinstance(peer.answer()[1], Response)


def test_the_streams_own_deadline_ends_all(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    with held(server.engine, server.gate):
        peer = Peer(stubs, timeout=0.05)
        peer.send(1, template)
        assert Refusal.of(next, peer.call).code is grpc.StatusCode.DEADLINE_EXCEEDED
        server.until(lambda: in_flight(server) == 1)
        peer.end()


def test_reading_stops_when_the_window_is_full() -> None:
    with serving(stream_window=2) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(Z)
            peer = Peer(stubs)
            with held(server.engine, server.gate):
                for id_ in range(6):
                    peer.send(id_, template)
                server.until(lambda: in_flight(server) == 2 + 1)
                turns = iter(range(1000))
                server.until(lambda: next(turns, None) is None)
                assert in_flight(server) == 2 + 1
            assert sorted(peer.answer()[0] for _ in range(6)) == list(range(6))
            peer.end()
