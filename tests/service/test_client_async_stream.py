"""The stream for asyncio: the rules of the one for threads, and tasks that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from scripted import PATIENCE_S, Hold, ScriptedServer, scripted, stream_answer, stream_refusal
from siamcorr.errors import TemplateEvicted
from siamcorr_client import (
    AsyncClient,
    AsyncCorrelateStream,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    ServerUnavailable,
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
        yield client
    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("siamcorr")]
    assert not left


async def all_arrived(hold: Hold) -> None:
    assert await asyncio.to_thread(hold.arrived.wait, PATIENCE_S)


async def ask(stream: AsyncCorrelateStream, number: float, **options: Any) -> float:
    """Ask for a map of one cell that holds ``number``, and return what it holds."""
    response = await stream.correlate("tpl", features=np.full((1, 1, 1), number, np.float32), **options)
    assert response.map is not None
    return float(response.map[0, 0, 0])


def asked(stream: AsyncCorrelateStream, number: float, **options: Any) -> asyncio.Task[float]:
    return asyncio.create_task(ask(stream, number, **options))


async def test_requests_go_out_before_the_first_answer_and_answers_find_them(
    server: ScriptedServer, client: AsyncClient
) -> None:
    def backwards(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        yield from map(stream_answer, reversed([next(requests) for _ in range(5)]))

    server.on_stream = backwards
    async with client.stream() as stream:
        found = await asyncio.gather(*(ask(stream, number) for number in range(5)))
    assert found == [0, 1, 2, 3, 4]


async def test_one_template_gives_one_response_and_a_list_a_list(client: AsyncClient) -> None:
    x = np.ones((1, 1, 1), np.float32)
    async with client.stream() as stream:
        assert (await stream.correlate("a", features=x)).template == "a"
        assert [one.template for one in await stream.correlate(["a", "b"], features=x)] == ["a", "b"]


async def test_a_request_that_fails_leaves_the_others(server: ScriptedServer, client: AsyncClient) -> None:
    def refuse_odd(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        for request in requests:
            error = TemplateEvicted("gone") if request.id == 1 else DeadlineExceeded("the server's own")
            yield stream_refusal(request, error) if request.id % 2 else stream_answer(request)

    server.on_stream = refuse_odd
    async with client.stream() as stream:
        found = await asyncio.gather(*(ask(stream, n) for n in range(4)), return_exceptions=True)
    assert [type(one) for one in found] == [TemplateEvicted, float, DeadlineExceeded, float]
    assert str(found[2]) == "the server's own"


async def test_what_is_wrong_is_refused_before_it_is_sent(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument, match="max_in_flight: found 0"):
        client.stream(max_in_flight=0)
    async with client.stream() as stream:
        with pytest.raises(InvalidArgument, match="kind"):
            await ask(stream, 1, kind="other")
        assert await ask(stream, 3) == 3


async def test_no_more_are_in_flight_than_allowed(server: ScriptedServer, client: AsyncClient) -> None:
    server.on_stream = hold = Hold(2)
    async with client.stream(max_in_flight=2) as stream:
        first, second = asked(stream, 0), asked(stream, 1)
        await all_arrived(hold)
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.02 s"):
            await ask(stream, 2, timeout_s=0.02)
        third = asked(stream, 3)
        hold.release.set()
        assert [await first, await second, await third] == [0, 1, 3]


async def test_a_server_that_hangs_is_waited_for_until_the_deadline(
    server: ScriptedServer, client: AsyncClient
) -> None:
    server.on_stream = hold = Hold(2)
    async with client.stream() as stream:
        patient = asked(stream, 0)
        with pytest.raises(DeadlineExceeded):
            await ask(stream, 1, timeout_s=0.02)
        hold.release.set()
        assert await patient == 0
        assert await ask(stream, 4) == 4


async def test_a_task_that_is_cancelled_leaves_the_others(
    server: ScriptedServer, client: AsyncClient
) -> None:
    server.on_stream = hold = Hold(2)
    async with client.stream(max_in_flight=2) as stream:
        given_up, kept = asked(stream, 0), asked(stream, 1)
        await all_arrived(hold)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        hold.release.set()
        assert await kept == 1
        assert await asyncio.gather(*(ask(stream, number) for number in range(5))) == [0, 1, 2, 3, 4]


async def test_a_task_that_is_cancelled_while_it_waits_for_a_place_takes_none(
    server: ScriptedServer, client: AsyncClient
) -> None:
    server.on_stream = hold = Hold(1)
    async with client.stream(max_in_flight=1) as stream:
        first = asked(stream, 0)
        await all_arrived(hold)
        waiting = asked(stream, 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        hold.release.set()
        assert await first == 0
        assert await ask(stream, 2) == 2


async def test_closing_waits_for_what_is_out(server: ScriptedServer, client: AsyncClient) -> None:
    server.on_stream = hold = Hold(1)
    async with client.stream() as stream:
        answer = asked(stream, 5)
        await all_arrived(hold)
        asyncio.get_running_loop().call_soon(hold.release.set)
    assert await answer == 5


async def test_a_closed_stream_refuses(client: AsyncClient) -> None:
    async with client.stream() as stream:
        pass
    await stream.close()
    with pytest.raises(InvalidArgument, match="stream: found a closed one, expected an open one"):
        await ask(stream, 0)


async def test_leaving_with_an_error_gives_up_what_is_out(
    server: ScriptedServer, client: AsyncClient
) -> None:
    server.on_stream = hold = Hold(1)
    answers: list[asyncio.Task[float]] = []

    async def ask_and_fail() -> None:
        async with client.stream() as stream:
            answers.append(asked(stream, 0))
            await all_arrived(hold)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask_and_fail()
    with pytest.raises(Cancelled):
        await answers[0]


async def test_closing_the_client_gives_up_what_is_out(server: ScriptedServer, client: AsyncClient) -> None:
    server.on_stream = hold = Hold(1)
    stream = client.stream()
    answer = asked(stream, 0)
    await all_arrived(hold)
    await client.close()
    with pytest.raises(Cancelled):
        await answer
    await stream.close()


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
async def test_a_stream_that_breaks_fails_all_that_is_out_and_all_that_comes(
    server: ScriptedServer, client: AsyncClient, breaks: Any, kind: Any
) -> None:
    server.on_stream = lambda requests, context: breaks([next(requests) for _ in range(3)], context)
    async with client.stream(max_in_flight=3) as stream:
        found = await asyncio.gather(*(ask(stream, number) for number in range(8)), return_exceptions=True)
        assert [type(one) for one in found] == [kind] * 8, "three that are out, five that wait for a place"
        with pytest.raises(kind):
            await ask(stream, 9)
    server.on_stream = None
    async with client.stream() as stream:
        assert await ask(stream, 7) == 7


async def test_without_a_server_a_stream_is_broken() -> None:
    with scripted() as gone:
        pass
    async with AsyncClient(gone.address) as client, client.stream() as stream:
        with pytest.raises(ServerUnavailable):
            await ask(stream, 0)


async def test_many_tasks_may_share_a_stream(client: AsyncClient) -> None:
    async with client.stream(max_in_flight=7) as stream:
        found = await asyncio.gather(*(ask(stream, number) for number in range(100)))
    assert found == [*range(100)]
