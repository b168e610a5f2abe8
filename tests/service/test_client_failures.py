"""What clients meet when things go wrong: one clear error, within the deadline."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest

from scripted import PATIENCE_S, ScriptedServer, scripted
from siamcorr_client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    ServerUnavailable,
)

Z = np.ones((1, 1, 1), np.float32)


@dataclass
class Held:
    """A handler that answers only after ``release``, and tells when it was reached and when it was left."""

    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _: bytes, context: Any) -> bytes:
        context.add_callback(self.left.set)
        self.reached.set()
        self.release.wait(PATIENCE_S)
        return b""

    async def was_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, PATIENCE_S)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture
def held(server: ScriptedServer) -> Iterator[Held]:
    """Hold every ``DeleteTemplate``."""
    held = Held()
    server.script("DeleteTemplate", held, held, held)
    yield held
    held.release.set()


@contextmanager
def nobody() -> Iterator[str]:
    """Give an address at which every connection is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


CALLS: list[Callable[[Client], Any]] = [
    lambda client: client.correlate("tpl", features=Z),
    lambda client: client.create_template(features=Z),
    lambda client: client.get_template("tpl"),
    lambda client: next(client.list_templates()),
    lambda client: client.update_template("tpl", features=Z),
    lambda client: client.delete_template("tpl"),
]


@pytest.mark.parametrize("call", CALLS)
def test_without_a_server_every_call_says_so(call: Callable[[Client], Any]) -> None:
    with nobody() as address, Client(address, attempts=2) as client:
        with pytest.raises(ServerUnavailable, match=r"the server cannot be reached: .*refused") as caught:
            call(client)
        assert caught.value.__cause__ is not None


def test_without_a_server_waiting_ends_in_time() -> None:
    with nobody() as address, Client(address) as client:
        with pytest.raises(ServerUnavailable, match=r"could not be reached within 0\.05 s"):
            client.wait_ready(0.05)
        with pytest.raises(InvalidArgument, match="timeout_s"):
            client.wait_ready(0)


async def test_without_a_server_asyncio_is_told_the_same() -> None:
    with nobody() as address:
        async with AsyncClient(address, attempts=2) as client:
            with pytest.raises(ServerUnavailable, match=r"could not be reached within 0\.05 s"):
                await client.wait_ready(0.05)
            with pytest.raises(ServerUnavailable, match="the server cannot be reached"):
                await client.create_template(features=Z)


def test_one_may_wait_for_a_server_that_is_not_up_yet() -> None:
    with nobody() as address:
        pass
    with Client(address) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.wait_ready, PATIENCE_S)
        with scripted(address):
            assert waiting.result(PATIENCE_S) is None
            assert client.get_template("tpl").handle == "tpl"


async def test_asyncio_may_wait_for_a_server_that_is_not_up_yet() -> None:
    with nobody() as address:
        pass
    async with AsyncClient(address) as client:
        waiting = asyncio.create_task(client.wait_ready(PATIENCE_S))
        with scripted(address):
            await waiting
            assert (await client.get_template("tpl")).handle == "tpl"


def test_a_server_that_does_not_answer_is_waited_for_until_the_deadline(
    server: ScriptedServer, held: Held
) -> None:
    with Client(server.address, timeout_s=0.05) as client:
        with pytest.raises(DeadlineExceeded, match="no answer in time") as caught:
            client.delete_template("tpl")
        assert isinstance(caught.value, TimeoutError)
        assert any("timeout_s 0.05" in note for note in caught.value.__notes__)
        held.release.set()
        client.delete_template("tpl", timeout_s=PATIENCE_S)
    timeouts = [one.timeout_s for one in server.received]
    assert timeouts[-1] is not None
    assert timeouts[-1] > PATIENCE_S / 2


async def test_asyncio_keeps_deadlines_too(server: ScriptedServer, held: Held) -> None:
    async with AsyncClient(server.address, timeout_s=0.05) as client:
        with pytest.raises(DeadlineExceeded, match="no answer in time"):
            await client.delete_template("tpl")
    held.release.set()


def test_closing_ends_the_calls_of_other_threads(server: ScriptedServer, held: Held) -> None:
    with Client(server.address) as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.delete_template, "tpl")
        assert held.reached.wait(PATIENCE_S)
        client.close()
        assert type(call.exception(PATIENCE_S)) is Cancelled
        assert held.left.wait(PATIENCE_S), "the server knows"


async def test_closing_ends_the_calls_of_other_tasks(server: ScriptedServer, held: Held) -> None:
    async with AsyncClient(server.address) as client:
        call = asyncio.create_task(client.delete_template("tpl"))
        await held.was_reached()
        await client.close()
        with pytest.raises(Cancelled, match="the client was closed"):
            await call


async def test_a_task_that_is_cancelled_gives_its_call_up(server: ScriptedServer, held: Held) -> None:
    async with AsyncClient(server.address) as client:
        call = asyncio.create_task(client.delete_template("tpl"))
        await held.was_reached()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(held.left.wait, PATIENCE_S), "the server knows"
        assert (await client.get_template("tpl")).handle == "tpl", "and the client goes on"


async def test_a_timeout_of_asyncio_gives_the_call_up(server: ScriptedServer, held: Held) -> None:
    async with AsyncClient(server.address) as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await client.delete_template("tpl")
        assert type(caught.value) is TimeoutError
    held.release.set()


def test_a_closed_client_refuses() -> None:
    client = Client("127.0.0.1:1")
    client.close()
    client.close()
    for call in [*CALLS, Client.wait_ready, Client.stream]:
        with pytest.raises(InvalidArgument, match="client: found a closed one, expected an open one"):
            call(client)


async def test_a_closed_asyncio_client_refuses() -> None:
    client = AsyncClient("127.0.0.1:1")
    await client.close()
    for call in (client.wait_ready(), client.get_template("tpl"), client.correlate("tpl", features=Z)):
        with pytest.raises(InvalidArgument, match="client: found a closed one"):
            await call
    with pytest.raises(InvalidArgument, match="client: found a closed one"):
        client.stream()


async def test_both_clients_use_the_credentials_that_they_are_given() -> None:
    credentials = grpc.local_channel_credentials()
    with scripted(credentials=grpc.local_server_credentials()) as server:
        with Client(server.address, credentials=credentials) as client:
            assert client.get_template("tpl").handle == "tpl"
        async with AsyncClient(server.address, credentials=credentials) as there:
            assert (await there.get_template("tpl")).handle == "tpl"
    encrypted = grpc.ssl_channel_credentials()
    with (
        scripted() as server,
        Client(server.address, credentials=encrypted, attempts=1) as client,
        pytest.raises(ServerUnavailable),
    ):
        client.get_template("tpl")


def test_each_client_has_a_connection_of_its_own(server: ScriptedServer) -> None:
    with Client(server.address) as first, Client(server.address) as second:
        for client in (first, second, first):
            client.get_template("tpl")
    peers = [one.peer for one in server.received]
    assert peers[0] == peers[2] != peers[1]


def test_a_server_that_comes_back_is_found_again() -> None:
    with scripted() as first, Client(first.address) as client:
        client.get_template("tpl")
    with Client(first.address) as client:
        with scripted(first.address):
            client.get_template("tpl")
        with pytest.raises(ServerUnavailable):
            client.delete_template("tpl")
        with scripted(first.address):
            client.wait_ready(PATIENCE_S)
            assert client.get_template("tpl").handle == "tpl"


def test_too_large_a_request_is_never_sent(server: ScriptedServer) -> None:
    with Client(server.address, max_message_bytes=1000) as client:
        with pytest.raises(
            InvalidArgument, match=r"request: found 1[0-9]+ bytes, expected at most max_message"
        ) as caught:
            client.create_template(features=np.ones((1, 16, 16), np.float32))
        assert caught.value.field == "request"
    assert not server.received


def test_too_large_a_request_for_the_server_says_so() -> None:
    with (
        scripted(max_request_bytes=1000) as server,
        Client(server.address, attempts=1) as client,
        pytest.raises(
            InvalidArgument, match=r"request: found 1[0-9]+ bytes, expected at most the server's limit"
        ),
    ):
        client.create_template(features=np.ones((1, 16, 16), np.float32))


def test_too_large_an_answer_says_what_to_do(server: ScriptedServer) -> None:
    server.script("GetTemplate", lambda *_: bytes(2000))
    with (
        Client(server.address, max_message_bytes=1000) as client,
        pytest.raises(
            InvalidArgument, match=r"response: found 2000 bytes, expected .*max_message_bytes=1000"
        ),
    ):
        client.get_template("tpl")


def test_an_answer_that_is_none_is_a_fault_of_the_server(server: ScriptedServer) -> None:
    server.script("GetTemplate", lambda *_: b"\x0a\xff")
    with Client(server.address) as client, pytest.raises(InternalError, match="cannot be read"):
        client.get_template("tpl")


def test_a_handler_that_breaks_is_a_fault_of_the_server(server: ScriptedServer) -> None:
    server.script("GetTemplate", lambda *_: 1 / 0)  # type: ignore[arg-type]
    with Client(server.address) as client, pytest.raises(InternalError, match=r"UNKNOWN: .*division"):
        client.get_template("tpl")
