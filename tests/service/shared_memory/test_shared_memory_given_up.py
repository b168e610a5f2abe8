"""Slots of calls that were given up: kept while the server may touch them, and not longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from gates import PATIENCE_S, held
from servers import RunningServer, Stubs, serving
from siamcorr.arguments import Array
from siamcorr.device import Device
from siamcorr_client import AsyncClient, Cancelled, Client, DeadlineExceeded, QueueFull, Template
from siamcorr_client._shared_memory import SLOTS, SharedMemory
from slots import lent, loan_of, memory_of, refused, request_of, uses

Z = np.ones((1, 2, 2), np.float32)
X = np.ones((1, 8, 8), np.float32)


class Reader:
    """The device's upload, which is where a slot is read, held until it is told to go on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    @contextmanager
    def hold(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        upload = Device.upload_to_read

        def held(device: Device, arrays: list[Array]) -> Any:
            self.entered.set()
            assert self.opened.wait(PATIENCE_S)
            return upload(device, arrays)

        monkeypatch.setattr(Device, "upload_to_read", held)
        try:
            yield
        finally:
            self.opened.set()


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(shared_memory_bytes=600 << 20) as running:  # two regions
        yield running


async def released(memory: SharedMemory) -> None:
    """Let the loop turn until every slot is free."""
    async with asyncio.timeout(PATIENCE_S):
        while len(memory._free) < SLOTS:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0)


async def read_by_server(server: RunningServer, reader: Reader) -> None:
    assert await asyncio.to_thread(reader.entered.wait, PATIENCE_S)


@pytest.mark.parametrize("way", ["cancelled", "late"])
async def test_a_slot_that_the_server_still_reads_is_not_lent_again(
    server: RunningServer, template: Template, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    reader = Reader()
    async with AsyncClient(server.address, timeout_s=PATIENCE_S, shared_memory=True) as client:
        await client.get_template(template)
        with reader.hold(monkeypatch):
            timeout_s = PATIENCE_S if way == "cancelled" else 0.05
            call = asyncio.create_task(client.correlate(template, features=X, timeout_s=timeout_s))
            await read_by_server(server, reader)
            if way == "cancelled":
                call.cancel()
            with pytest.raises(asyncio.CancelledError if way == "cancelled" else DeadlineExceeded):
                await call
            await client.get_template(template)  # whatever the server would say, it has said before this
            memory = memory_of(client)
            assert list(memory._given_up) == [0]
            assert 0 not in memory._free
        await released(memory)
        assert not memory._given_up


@pytest.mark.parametrize("count", [1, 3])
async def test_a_slot_that_only_waits_is_released_at_once(
    server: RunningServer, template: Template, count: int
) -> None:
    async with AsyncClient(server.address, timeout_s=PATIENCE_S, shared_memory=True) as client:
        await client.get_template(template)
        with held(server.engine, server.gate):
            calls = [asyncio.create_task(client.correlate(template, features=X)) for _ in range(count)]
            while server.engine.stats().requests <= count:  # noqa: ASYNC110 - the engine tells nobody
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            await released(memory_of(client))


async def test_requests_of_a_stream_that_is_cancelled_keep_their_slots_as_long(
    server: RunningServer, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader()
    async with AsyncClient(server.address, timeout_s=PATIENCE_S, shared_memory=True) as client:
        stream = client.stream()
        with reader.hold(monkeypatch):
            calls = [asyncio.create_task(stream.correlate(template, features=X)) for _ in range(3)]
            await read_by_server(server, reader)
            await stream.cancel()
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(end, Cancelled) for end in ends)
            await client.get_template(template)
            assert 0 not in memory_of(client)._free
        await released(memory_of(client))


def test_a_timeout_on_a_stream_leaves_the_slot_with_the_server(
    server: RunningServer, client: Client, template: Template
) -> None:
    with client.stream() as stream, held(server.engine, server.gate):
        late = stream.correlate(template, features=X, timeout_s=0.01)
        with pytest.raises(DeadlineExceeded):
            late.result(PATIENCE_S)
    while lent(client):
        pass
    assert uses(client) == 1


def test_a_call_that_finds_no_place_on_a_stream_gives_its_slot_up(
    server: RunningServer, client: Client, template: Template
) -> None:
    with client.stream(max_in_flight=1) as stream:
        with held(server.engine, server.gate):
            first = stream.correlate(template, features=X)
            with pytest.raises(DeadlineExceeded, match="no place"):
                stream.correlate(template, features=X, timeout_s=0.01)
        assert first.result(PATIENCE_S)
    while lent(client):
        pass
    assert uses(client) == 2


def test_a_request_that_comes_after_it_was_given_up_is_refused(
    server: RunningServer, client: Client, template: Template
) -> None:
    loan = loan_of(client, template, features=X)
    request = request_of(loan)
    loan.end()
    while lent(client):
        pass
    assert "given up" in refused(server, request)
    assert client.correlate(template, features=X).map is not None


def test_a_slot_that_is_written_to_while_it_is_read_gives_no_answer(
    server: RunningServer, client: Client, template: Template
) -> None:
    loan = loan_of(client, template, features=X)
    stubs = Stubs(server.address)
    with stubs.channel:
        with held(server.engine, server.gate):
            call: Any = stubs.correlation.Correlate.future(request_of(loan))
            server.until(lambda: server.engine.stats().requests == 2)
            loan._slot.write([(2 * X).tobytes()], sequence=50)
        error = call.exception(PATIENCE_S)
    assert "shared: found a slot that was written to meanwhile" in error.details()
    assert loan._slot.read(50, X.nbytes).tobytes() == (2 * X).tobytes(), "and no answer is written into it"


def test_a_region_that_is_still_read_counts_when_its_client_is_gone(
    server: RunningServer, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, memory = Reader(), server.server._memory
    client = Client(server.address, shared_memory=True)
    client.get_template(template)
    with reader.hold(monkeypatch):
        caller = threading.Thread(target=ask_in_vain, args=(client, template))
        caller.start()
        assert reader.entered.wait(PATIENCE_S)
        client.close()
        caller.join()
        server.until(lambda: len(memory._attached) == 1)
        assert len(memory._mapped) == 2
        with (
            Client(server.address, shared_memory=True, attempts=1) as third,
            pytest.raises(QueueFull, match="of 629145600 are taken"),
        ):
            third.get_template(template)
    server.until(lambda: len(memory._mapped) == 1)


def ask_in_vain(client: Client, template: Template) -> None:
    with suppress(Exception):
        client.correlate(template, features=X)
