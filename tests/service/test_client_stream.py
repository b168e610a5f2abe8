"""The stream for threads: many requests in flight, each answered by itself, and none for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import grpc
import numpy as np
import pytest

from scripted import PATIENCE_S, Hold, ScriptedServer, scripted, stream_answer, stream_refusal
from siamcorr.errors import TemplateEvicted
from siamcorr_client import (
    Cancelled,
    Client,
    CorrelateStream,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    Response,
    ServerUnavailable,
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("siamcorr-stream")]
    assert not left


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.address, timeout_s=PATIENCE_S) as client:
        yield client


def ask(stream: CorrelateStream, number: float, **options: Any) -> Future[Response]:
    """Ask for a map of one cell that holds ``number``."""
    return stream.correlate("tpl", features=np.full((1, 1, 1), number, np.float32), **options)


def number_in(future: Future[Response]) -> float:
    response = future.result(PATIENCE_S)
    assert response.map is not None
    return float(response.map[0, 0, 0])


def test_requests_go_out_before_the_first_answer(server: ScriptedServer, client: Client) -> None:
    def all_then_answer(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        yield from map(stream_answer, [next(requests) for _ in range(5)])

    server.on_stream = all_then_answer
    with client.stream() as stream:
        futures = [ask(stream, number) for number in range(5)]
        assert [number_in(future) for future in futures] == [0, 1, 2, 3, 4]


def test_answers_in_any_order_find_their_requests(server: ScriptedServer, client: Client) -> None:
    def backwards(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        yield from map(stream_answer, reversed([next(requests) for _ in range(5)]))

    server.on_stream = backwards
    with client.stream() as stream:
        futures = [ask(stream, number) for number in range(5)]
        assert [number_in(future) for future in futures] == [0, 1, 2, 3, 4]


def test_one_template_gives_one_response_and_a_list_a_list(client: Client) -> None:
    x = np.ones((1, 1, 1), np.float32)
    with client.stream() as stream:
        assert stream.correlate("a", features=x).result(PATIENCE_S).template == "a"
        responses = stream.correlate(["a", "b"], features=x).result(PATIENCE_S)
        assert [response.template for response in responses] == ["a", "b"]


def test_a_request_that_fails_leaves_the_others(server: ScriptedServer, client: Client) -> None:
    def refuse_odd(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        for request in requests:
            if request.id % 2:
                yield stream_refusal(request, TemplateEvicted("gone", field="template"))
            else:
                yield stream_answer(request)

    server.on_stream = refuse_odd
    with client.stream() as stream:
        futures = [ask(stream, number) for number in range(4)]
        errors = [future.exception(PATIENCE_S) for future in futures]
    assert [type(error) for error in errors] == [TemplateEvicted, type(None)] * 2
    assert getattr(errors[0], "field") == "template"  # noqa: B009 - it is there for this class only


def test_what_is_wrong_is_refused_before_it_is_sent(server: ScriptedServer) -> None:
    with Client(server.address, max_message_bytes=1000) as client:
        with pytest.raises(InvalidArgument, match="max_in_flight: found 0"):
            client.stream(max_in_flight=0)
        with client.stream() as stream:
            with pytest.raises(InvalidArgument, match="kind"):
                ask(stream, 1, kind="other")
            with pytest.raises(InvalidArgument, match="timeout_s"):
                ask(stream, 1, timeout_s=0)
            with pytest.raises(InvalidArgument, match="request: found"):
                stream.correlate("tpl", features=np.ones((1, 99, 99), np.float32))
            assert number_in(ask(stream, 3)) == 3


def test_no_more_are_in_flight_than_allowed(server: ScriptedServer, client: Client) -> None:
    server.on_stream = hold = Hold()
    with client.stream(max_in_flight=2) as stream, ThreadPoolExecutor(1) as pool:
        futures = [ask(stream, 0), ask(stream, 1)]
        with pytest.raises(DeadlineExceeded, match=r"no place on the stream became free within 0\.05 s"):
            ask(stream, 2, timeout_s=0.05)
        third = pool.submit(ask, stream, 3)
        hold.release.set()
        futures.append(third.result(PATIENCE_S))
        assert [number_in(future) for future in futures] == [0, 1, 3]


def test_the_server_is_told_how_long_each_answer_may_take(server: ScriptedServer, client: Client) -> None:
    server.on_stream = hold = Hold()
    hold.release.set()
    with client.stream() as stream:
        wait([ask(stream, 0), ask(stream, 0, timeout_s=1000)], PATIENCE_S)
    first, second = [request.timeout.ToMilliseconds() / 1e3 for request in hold.requests]
    assert 0 < first <= PATIENCE_S
    assert PATIENCE_S < second <= 1000


def test_a_server_that_hangs_is_waited_for_until_the_deadline(server: ScriptedServer, client: Client) -> None:
    server.on_stream = hold = Hold()
    with client.stream(max_in_flight=3) as stream:
        patient, late, later = ask(stream, 0), ask(stream, 1, timeout_s=0.02), ask(stream, 2, timeout_s=0.04)
        for future in (late, later):
            assert type(future.exception(PATIENCE_S)) is DeadlineExceeded
        with pytest.raises(DeadlineExceeded, match="no place"):
            ask(stream, 3, timeout_s=0.01)
        hold.release.set()
        assert number_in(patient) == 0
        assert number_in(ask(stream, 4)) == 4, "answers that came too late made room"


def test_a_future_may_be_cancelled(server: ScriptedServer, client: Client) -> None:
    server.on_stream = hold = Hold()
    with client.stream() as stream:
        given_up, kept = ask(stream, 0), ask(stream, 1)
        assert given_up.cancel()
        hold.release.set()
        assert number_in(kept) == 1
        assert wait([given_up, kept], PATIENCE_S).not_done == set(), "who waits for it is woken"


def test_closing_waits_for_what_is_out(server: ScriptedServer, client: Client) -> None:
    server.on_stream = hold = Hold()
    with ThreadPoolExecutor(1) as pool:
        stream = client.stream()
        future = ask(stream, 5)
        closing = pool.submit(stream.close)
        assert not closing.done()
        hold.release.set()
        closing.result(PATIENCE_S)
    assert future.done()
    assert number_in(future) == 5


def test_closing_waits_no_longer_than_the_deadlines(server: ScriptedServer, client: Client) -> None:
    server.on_stream = Hold()
    with client.stream() as stream:
        given_up, late = ask(stream, 0), ask(stream, 1, timeout_s=0.02)
        given_up.cancel()
    assert type(late.exception()) is DeadlineExceeded


def test_a_closed_stream_refuses(client: Client) -> None:
    with client.stream() as stream:
        pass
    stream.close()
    with pytest.raises(InvalidArgument, match="stream: found a closed one, expected an open one"):
        ask(stream, 0)


def test_leaving_with_an_error_gives_up_what_is_out(server: ScriptedServer, client: Client) -> None:
    server.on_stream = Hold()
    asked: list[Future[Response]] = []

    def ask_and_fail() -> None:
        with client.stream() as stream:
            asked.append(ask(stream, 0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_and_fail()
    assert type(asked[0].exception()) is Cancelled


def test_closing_the_client_gives_up_what_is_out(server: ScriptedServer, client: Client) -> None:
    server.on_stream = Hold()
    stream = client.stream()
    future = ask(stream, 0)
    client.close()
    assert type(future.exception(PATIENCE_S)) is Cancelled
    stream.close()


def abort(_: list[Any], context: Any) -> Iterator[Any]:
    context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
    yield None


def leave(*_: Any) -> Iterator[Any]:
    yield from ()


def answer_somebody_else(requests: list[Any], _: Any) -> Iterator[Any]:
    requests[0].id = 99
    yield stream_answer(requests[0])


@pytest.mark.parametrize(
    ("breaks", "kind"),
    [(abort, ServerUnavailable), (leave, ServerUnavailable), (answer_somebody_else, InternalError)],
)
def test_a_stream_that_breaks_fails_all_that_is_out_and_all_that_comes(
    server: ScriptedServer, client: Client, breaks: Any, kind: Any
) -> None:
    server.on_stream = lambda requests, context: breaks([next(requests) for _ in range(3)], context)
    with client.stream() as stream:
        futures = [ask(stream, number) for number in range(3)]
        errors = [future.exception(PATIENCE_S) for future in futures]
        assert [type(error) for error in errors] == [kind] * 3
        assert len({id(error) for error in errors}) == 3
        with pytest.raises(kind):
            ask(stream, 9)
    server.on_stream = None
    with client.stream() as stream:
        assert number_in(ask(stream, 7)) == 7


def test_who_waits_for_a_place_is_told_that_the_stream_broke(server: ScriptedServer, client: Client) -> None:
    proceed = threading.Event()

    def break_later(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        proceed.wait(PATIENCE_S)
        return abort([next(requests)], context)

    server.on_stream = break_later
    with client.stream(max_in_flight=1) as stream, ThreadPoolExecutor(1) as pool:
        ask(stream, 0)
        waiting = pool.submit(ask, stream, 1)
        proceed.set()
        with pytest.raises(ServerUnavailable, match="broken"):
            waiting.result(PATIENCE_S)


def test_without_a_server_a_stream_is_broken() -> None:
    with scripted() as gone:
        pass
    with Client(gone.address) as client, client.stream() as stream, pytest.raises(ServerUnavailable):
        ask(stream, 0).result(PATIENCE_S)


def test_threads_may_share_a_stream_and_a_client(client: Client) -> None:
    def work(thread: int) -> list[float]:
        streamed = [ask(stream, 100 * thread + number) for number in range(20)]
        called = [
            client.correlate("tpl", features=np.full((1, 1, 1), 100 * thread + number, np.float32))
            for number in range(5)
        ]
        assert [int(response.peak.score) for response in called] == [100 * thread + n for n in range(5)]
        return [number_in(future) for future in streamed]

    with client.stream(max_in_flight=7) as stream, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(work, range(6)))
    assert found == [[100 * thread + number for number in range(20)] for thread in range(6)]


def test_a_stream_has_the_headers_of_the_client(server: ScriptedServer) -> None:
    with Client(server.address, metadata={"authorization": "me"}) as client, client.stream():
        pass
    assert server.received[0].headers["authorization"] == "me"
    assert server.received[0].headers["x-request-id"]
