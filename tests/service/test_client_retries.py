"""Retries: made where that is safe, as often and as late as the server and the deadline allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from scripted import Refuse, ScriptedServer, error_status, scripted
from siamcorr_client import (
    AsyncClient,
    BankFull,
    Client,
    DeadlineExceeded,
    QueueFull,
    ServerUnavailable,
)

Z = np.ones((1, 1, 1), np.float32)
AT_ONCE = (("grpc-retry-pushback-ms", "1"),)
NEVER = (("grpc-retry-pushback-ms", "-1"),)
UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED

READS: dict[str, Callable[[Any], Any]] = {
    "Correlate": lambda client: client.correlate("tpl", features=Z),
    "GetTemplate": lambda client: client.get_template("tpl"),
    "ListTemplates": lambda client: list(client.list_templates()),
}
WRITES: dict[str, Callable[[Any], Any]] = {
    "CreateTemplate": lambda client: client.create_template(features=Z),
    "UpdateTemplate": lambda client: client.update_template("tpl", features=Z),
    "DeleteTemplate": lambda client: client.delete_template("tpl"),
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


@pytest.mark.parametrize("code", [UNAVAILABLE, EXHAUSTED])
@pytest.mark.parametrize("method", [*READS])
def test_what_changes_nothing_is_tried_again(
    server: ScriptedServer, client: Client, method: str, code: grpc.StatusCode
) -> None:
    server.script(method, *[Refuse(code, trailers=AT_ONCE)] * 3)
    assert READS[method](client)
    assert server.methods()[:4] == [method] * 4


@pytest.mark.parametrize("method", [*WRITES])
def test_what_changes_something_is_tried_again_when_it_was_refused(
    server: ScriptedServer, client: Client, method: str
) -> None:
    server.script(method, *[Refuse(EXHAUSTED, trailers=AT_ONCE)] * 3)
    WRITES[method](client)
    assert server.methods() == [method] * 4


@pytest.mark.parametrize("trailers", [(), AT_ONCE])
@pytest.mark.parametrize("method", [*WRITES])
def test_what_changes_something_is_never_repeated_when_nobody_knows_what_happened(
    server: ScriptedServer, client: Client, method: str, trailers: Any
) -> None:
    server.script(method, Refuse(UNAVAILABLE, trailers=trailers))
    with pytest.raises(ServerUnavailable):
        WRITES[method](client)
    assert server.methods() == [method]


def test_a_hint_of_the_server_is_not_needed(server: ScriptedServer, client: Client) -> None:
    server.script("Correlate", Refuse(UNAVAILABLE))
    client.correlate("tpl", features=Z)
    assert server.methods() == ["Correlate"] * 2


@pytest.mark.parametrize("method", [*READS, *WRITES])
def test_a_server_that_wants_no_retry_gets_none(server: ScriptedServer, client: Client, method: str) -> None:
    server.script(method, Refuse(EXHAUSTED, trailers=NEVER))
    with pytest.raises(QueueFull, match="the server takes no more"):
        (READS | WRITES)[method](client)
    assert server.methods() == [method]


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_after_so_many_attempts_the_last_error_stands(server: ScriptedServer, attempts: int) -> None:
    server.script("Correlate", *[Refuse(UNAVAILABLE, f"no. {n}", AT_ONCE) for n in range(1, 9)])
    with Client(server.address, attempts=attempts) as client, pytest.raises(ServerUnavailable) as caught:
        client.correlate("tpl", features=Z)
    assert str(caught.value).endswith(f"no. {attempts}")
    assert len(server.received) == attempts


def test_other_errors_are_not_tried_again(server: ScriptedServer, client: Client) -> None:
    details = error_status(BankFull("full"), EXHAUSTED).SerializeToString()
    server.script(
        "Correlate", Refuse(grpc.StatusCode.INVALID_ARGUMENT, "", (("grpc-status-details-bin", details),))
    )
    with pytest.raises(BankFull, match="full"):
        client.correlate("tpl", features=Z)
    assert len(server.received) == 1


def test_large_requests_are_tried_again_too(server: ScriptedServer, client: Client) -> None:
    features = np.ones((1, 1024, 1024), np.float32)
    server.script("Correlate", Refuse(UNAVAILABLE, trailers=AT_ONCE))
    assert client.correlate("tpl", features=features).map is not None
    assert [len(one.request) > features.nbytes for one in server.received] == [True, True]


def test_all_attempts_share_one_deadline(server: ScriptedServer, client: Client) -> None:
    server.script("Correlate", Refuse(UNAVAILABLE, trailers=(("grpc-retry-pushback-ms", "60000"),)))
    with pytest.raises(DeadlineExceeded):
        client.correlate("tpl", features=Z, timeout_s=0.2)
    assert len(server.received) == 1


def test_all_attempts_have_one_request_id_and_the_error_names_it(server: ScriptedServer) -> None:
    server.script("Correlate", *[Refuse(UNAVAILABLE, trailers=AT_ONCE)] * 9)
    with Client(server.address, metadata={"authorization": "me"}) as client:
        with pytest.raises(ServerUnavailable) as caught:
            client.correlate("tpl", features=Z)
        client.get_template("tpl")
    *attempts, other = [one.headers["x-request-id"] for one in server.received]
    assert len(attempts) == 4
    assert len({*attempts}) == 1
    assert other not in attempts
    assert any(str(attempts[0]) in note for note in caught.value.__notes__)
    assert {one.headers["authorization"] for one in server.received} == {"me"}


def test_a_request_id_may_be_given(server: ScriptedServer) -> None:
    with Client(server.address, metadata={"x-request-id": "mine"}) as client:
        client.get_template("tpl")
    assert server.received[0].headers["x-request-id"] == "mine"


async def test_the_asyncio_client_retries_by_the_same_rules(server: ScriptedServer) -> None:
    server.script("Correlate", *[Refuse(EXHAUSTED, trailers=AT_ONCE)] * 3)
    server.script("CreateTemplate", Refuse(UNAVAILABLE))
    async with AsyncClient(server.address) as client:
        await client.correlate("tpl", features=Z)
        with pytest.raises(ServerUnavailable):
            await client.create_template(features=Z)
    assert server.methods() == ["Correlate"] * 4 + ["CreateTemplate"]
