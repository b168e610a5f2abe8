"""Who is refused shared memory, which requests are refused because of it, and when it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from gates import PATIENCE_S, held
from servers import Refusal, RunningServer, Stubs, serving
from siamcorr.v1 import shared_memory_service_pb2 as pb
from siamcorr.v1.shared_memory_service_pb2_grpc import SharedMemoryServiceStub
from siamcorr_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Draining,
    InvalidArgument,
    QueueFull,
    ServerUnavailable,
    Template,
)
from siamcorr_client._base import ClientBase
from siamcorr_client._shared_memory import SLOTS
from slots import loan_of, memory_of, refused, request_of, told

Z = np.ones((4, 3, 3), np.float32)
X = np.ones((4, 9, 9), np.float32)
ROOM_BYTES = SLOTS * (8 << 20)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(shared_memory_bytes=2 * ROOM_BYTES) as running:
        yield running


@pytest.fixture
def shares_nothing() -> Iterator[str]:
    """Return the address of a server that shares nothing."""
    with serving() as server:
        yield server.address


def test_a_server_that_has_it_off_says_so_at_the_first_call(shares_nothing: str) -> None:
    with Client(shares_nothing, shared_memory=True) as client:
        for _ in range(2):
            with pytest.raises(
                InvalidArgument, match="shared_memory: found a server that has it off"
            ) as caught:
                client.create_template(Z)
            assert caught.value.field == "shared_memory"


async def test_for_asyncio_it_says_so_too(shares_nothing: str) -> None:
    async with AsyncClient(shares_nothing, shared_memory=True) as client:
        calls = [client.create_template(Z) for _ in range(3)]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, InvalidArgument)
            assert error.field == "shared_memory"


def test_a_region_that_cannot_be_opened_is_told_at_the_first_call(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siamcorr_server.shared_memory.os.getpid", lambda: 2**31 - 1)
    told_why = r"shared_memory: .*No such file.* on this host"
    with (
        Client(server.address, shared_memory=True) as client,
        pytest.raises(InvalidArgument, match=told_why),
    ):
        client.create_template(Z)
    server.until(lambda: not server.server._memory._attached)


def test_who_waits_for_a_region_that_another_asks_for_waits_no_longer_than_it_may(
    server: RunningServer,
) -> None:
    with (
        Client(server.address, shared_memory=True) as client,
        client._attaching,
        pytest.raises(DeadlineExceeded, match="did not share its memory"),
    ):
        client.create_template(Z, timeout_s=0.01)


async def test_for_asyncio_it_waits_no_longer_either(server: RunningServer) -> None:
    async with AsyncClient(server.address, shared_memory=True) as client, client._attaching:
        with pytest.raises(DeadlineExceeded, match="did not share its memory"):
            await client.create_template(Z, timeout_s=0.01)


@pytest.mark.parametrize("module", ["client", "async_client"])
async def test_the_time_that_a_region_took_is_no_longer_there_for_the_call(
    server: RunningServer, template: Template, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    moments_s = iter([0.0, 0.0, 0.0, 7.0])  # the last one is when there is a region
    clock = SimpleNamespace(monotonic=lambda: next(moments_s))
    monkeypatch.setattr(f"siamcorr_client.{module}.time", clock)
    send, limits_s = ClientBase._sending, list[float]()

    def sending(client: ClientBase, call: Any, limit_s: float, headers: Any) -> Any:
        limits_s.append(limit_s)
        return send(client, call, PATIENCE_S, headers)

    monkeypatch.setattr(ClientBase, "_sending", sending)
    if module == "client":
        with Client(server.address, shared_memory=True) as client:
            client.get_template(template, timeout_s=10.0)
    else:
        async with AsyncClient(server.address, shared_memory=True) as waiting:
            await waiting.get_template(template, timeout_s=10.0)
    assert limits_s == [3.0]


def test_their_number_is_bounded_too(
    server: RunningServer, client: Client, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siamcorr_server.shared_memory._MAX_REGIONS", 1)
    with (
        Client(server.address, shared_memory=4096, attempts=1) as second,
        pytest.raises(QueueFull, match="shared_memory: 1 regions are taken"),
    ):
        second.get_template(template)


def test_all_regions_together_are_bounded(server: RunningServer, client: Client, template: Template) -> None:
    too_large = "shared_memory: found slots for .* as the server's --shared-memory says"
    with (
        Client(server.address, shared_memory=1 << 30) as with_large_slots,
        pytest.raises(InvalidArgument, match=too_large),
    ):
        with_large_slots.get_template(template)
    with Client(server.address, shared_memory=True) as second:
        second.get_template(template)
        with Client(server.address, shared_memory=True, attempts=1) as third:
            with pytest.raises(QueueFull, match=f"shared_memory: {2 * ROOM_BYTES} bytes of"):
                third.get_template(template)
            second.close()
            server.until(lambda: len(server.server._memory._mapped) == 1)
            assert third.get_template(template).handle == template.handle


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slot": SLOTS}, f"slot {SLOTS}"),
        ({"slot": 2**32 - 1}, "slot 4294967295"),
        ({"slot": 5}, "written to meanwhile"),
        ({"sequence": 0}, "sequence number 0"),
        ({"sequence": 1}, "sequence number 1"),
        ({"sequence": 4}, "written to meanwhile"),
        ({"sequence": 2**64 - 2}, "sequence number"),
        ({"length_bytes": (8 << 20) + 1}, "8388609 bytes"),
        ({"length_bytes": 2**64 - 1}, "18446744073709551615 bytes"),
        ({"region": b""}, "not attached"),
        ({"region": bytes(16)}, "not attached"),
    ],
)
def test_a_request_that_names_no_slot_of_its_own_is_refused(
    server: RunningServer, client: Client, template: Template, change: dict[str, Any], message: str
) -> None:
    request = request_of(loan_of(client, template, features=X))
    for name, value in change.items():
        setattr(request.shared, name, value)
    assert message in refused(server, request)


def test_the_payload_must_fill_what_the_request_says(
    server: RunningServer, client: Client, template: Template
) -> None:
    request = request_of(loan_of(client, template, features=X))
    stubs = Stubs(server.address)
    with stubs.channel:
        for length in (0, request.shared.length_bytes - 1, request.shared.length_bytes + 1):
            request.shared.length_bytes = length
            assert Refusal.of(stubs.correlation.Correlate, request).violations == ["payload"]


def test_a_payload_beside_a_slot_is_refused(
    server: RunningServer, client: Client, template: Template
) -> None:
    request = request_of(loan_of(client, template, features=X))
    request.payload = b"x"
    assert "a payload of 1 bytes beside it" in refused(server, request)


def test_a_region_is_gone_with_its_client(server: RunningServer, client: Client, template: Template) -> None:
    with Client(server.address, shared_memory=True) as other:
        request = request_of(loan_of(other, template, features=X))
    server.until(lambda: len(server.server._memory._mapped) == 1)
    assert "not attached" in refused(server, request)


def test_a_draining_server_answers_what_is_in_flight_and_lets_regions_go(
    server: RunningServer, client: Client, template: Template
) -> None:
    expected = told(client.correlate(template, features=X))
    with client.stream() as stream:
        with held(server.engine, server.gate):
            future = stream.correlate(template, features=X)
            server.until(lambda: server.engine.stats().requests == 2)
            drained = server.start(server.server.drain(PATIENCE_S))
            server.until(lambda: not server.server._memory._attached)
        assert told(future.result()) == expected
    assert drained.result(PATIENCE_S)
    assert memory_of(client).is_lost
    with pytest.raises((Draining, ServerUnavailable)):
        client.get_template(template)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ([pb.AttachRequest()], "step"),
        ([pb.AttachRequest(given_up=pb.SlotUse())], "step"),
        ([pb.AttachRequest(open=pb.RegionSize(slots=0, slot_bytes=4096))], "slots"),
        ([pb.AttachRequest(open=pb.RegionSize(slots=1, slot_bytes=4097))], "slot_bytes"),
        ([pb.AttachRequest(open=pb.RegionSize(slots=1024, slot_bytes=2**31 - 64))], "shared_memory"),
        ([pb.AttachRequest(open=pb.RegionSize(slots=1, slot_bytes=4096))] * 2, "step"),
        (
            [
                pb.AttachRequest(open=pb.RegionSize(slots=1, slot_bytes=4096)),
                pb.AttachRequest(given_up=pb.SlotUse(slot=1)),
            ],
            "shared",
        ),
    ],
)
def test_who_breaks_the_rules_of_the_stream_loses_the_region(
    server: RunningServer, said: list[pb.AttachRequest], field: str
) -> None:
    stubs = Stubs(server.address)
    with stubs.channel:
        attach: Any = SharedMemoryServiceStub(stubs.channel).Attach  # type: ignore[no-untyped-call]
        refusal = Refusal.of(lambda: list(attach(iter(said))))
    assert (refusal.code, refusal.violations) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    server.until(lambda: not server.server._memory._mapped)


def test_a_stream_that_says_nothing_is_refused(server: RunningServer) -> None:
    stubs = Stubs(server.address)
    with stubs.channel:
        attach: Any = SharedMemoryServiceStub(stubs.channel).Attach  # type: ignore[no-untyped-call]
        assert Refusal.of(lambda: list(attach(iter([])))).violations == ["step"]
