"""The options of the clients: checked, and what they mean for gRPC."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from siamcorr_client import AsyncClient, Client, InvalidArgument
from siamcorr_client._settings import Settings, as_timeout

READS = {"Attach", "Correlate", "GetTemplate", "ListTemplates"}
WRITES = {"CreateTemplate", "UpdateTemplate", "DeleteTemplate"}


def settings(**changes: Any) -> Settings:
    defaults: dict[str, Any] = {
        "target": "127.0.0.1:50051",
        "timeout_s": 10.0,
        "max_message_bytes": 1 << 20,
        "attempts": 4,
        "credentials": None,
        "shared_memory": False,
        "metadata": {},
    }
    return Settings(**(defaults | changes))


def policies(made: Settings) -> dict[str, Any]:
    """Return the retry policy of each method."""
    config = json.loads(str(dict(made.channel_options())["grpc.service_config"]))
    return {
        name["method"]: entry["retryPolicy"]
        for entry in config.get("methodConfig", [])
        for name in entry["name"]
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", ""),
        ("target", "localhost"),
        ("target", "http://127.0.0.1:50051"),
        ("target", None),
        ("target", 50051),
        ("timeout_s", 0),
        ("timeout_s", -1.0),
        ("timeout_s", float("inf")),
        ("timeout_s", float("nan")),
        ("timeout_s", 86401),
        ("timeout_s", "10"),
        ("timeout_s", True),
        ("max_message_bytes", 0),
        ("max_message_bytes", 2**31),
        ("max_message_bytes", 1e6),
        ("attempts", 0),
        ("attempts", 6),
        ("attempts", True),
        ("credentials", "secret"),
        ("credentials", grpc.access_token_call_credentials("secret")),
        ("shared_memory", 0),
        ("shared_memory", 1),
        ("shared_memory", -4096),
        ("shared_memory", 2**31),
        ("shared_memory", 8e6),
        ("shared_memory", None),
        ("metadata", [("key", "value")]),
        ("metadata", {"Upper": "x"}),
        ("metadata", {"": "x"}),
        ("metadata", {"a b": "x"}),
        ("metadata", {"grpc-timeout": "1S"}),
        ("metadata", {"data-bin": "x"}),
        ("metadata", {"key": "line\nbreak"}),
        ("metadata", {"key": "é"}),
        ("metadata", {"key": b"x"}),
        ("metadata", {7: "x"}),
    ],
)
def test_a_wrong_option_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        settings(**{name: value})
    assert caught.value.field == name


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_an_option_that_there_is_not_is_a_mistake_of_the_program(client: Any) -> None:
    with pytest.raises(TypeError, match="retries"):
        client("127.0.0.1:1", retries=3)
    with pytest.raises(TypeError, match="positional"):
        client("127.0.0.1:1", 5.0)


@pytest.mark.parametrize(
    ("shared_memory", "slot_bytes"),
    [(False, 0), (True, 8 << 20), (4096, 4096), (5000, 5056), (1 << 30, 1 << 30)],
)
def test_the_size_of_slots_may_be_chosen(shared_memory: bool | int, slot_bytes: int) -> None:
    assert settings(shared_memory=shared_memory).slot_bytes == slot_bytes


def test_memory_is_shared_on_linux_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(InvalidArgument, match="shared_memory: found a system darwin, expected Linux"):
        settings(shared_memory=True)
    assert settings().slot_bytes == 0


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_both_clients_check_their_options(client: Any) -> None:
    with pytest.raises(InvalidArgument, match="attempts: found 9, expected an integer from 1 to 5"):
        client("127.0.0.1:1", attempts=9)


def test_what_may_be_secret_is_never_shown() -> None:
    made = settings(metadata={"authorization": "secret"})
    assert "secret" not in repr(made)
    for wrong in ({"authorization": b"secret"}, {"authorization": "secret\n"}):
        with pytest.raises(InvalidArgument) as caught:
            settings(metadata=wrong)
        assert "secret" not in str(caught.value)


def test_a_client_tells_where_it_is_connected_to() -> None:
    with Client("127.0.0.1:1") as client:
        assert repr(client) == "Client('127.0.0.1:1')"
    assert repr(AsyncClient("[::1]:1")) == "AsyncClient('[::1]:1')"


@pytest.mark.parametrize("timeout_s", [1e-3, 1, 86400])
def test_a_timeout_is_in_seconds(timeout_s: float) -> None:
    assert as_timeout(timeout_s) == timeout_s


def test_messages_are_bounded_in_both_directions_and_kept_for_another_attempt() -> None:
    options = dict(settings(max_message_bytes=12345).channel_options())
    for name in ("max_send_message_length", "max_receive_message_length", "per_rpc_retry_buffer_size"):
        assert options[f"grpc.{name}"] == 12345


def test_what_changes_nothing_is_tried_again_after_any_passing_failure() -> None:
    for method in READS:
        policy = policies(settings(attempts=3))[method]
        assert set(policy["retryableStatusCodes"]) == {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}
        assert policy["maxAttempts"] == 3


def test_what_changes_something_is_tried_again_only_when_it_was_refused() -> None:
    for method in WRITES:
        assert policies(settings())[method]["retryableStatusCodes"] == ["RESOURCE_EXHAUSTED"]


def test_every_call_but_the_stream_has_its_policy() -> None:
    assert policies(settings()).keys() == READS | WRITES


def test_the_pauses_grow_and_end() -> None:
    policy = policies(settings())["Correlate"]
    pauses = (policy["initialBackoff"], policy["backoffMultiplier"], policy["maxBackoff"])
    assert pauses == ("0.1s", 2, "1s")


def test_with_one_attempt_nothing_is_tried_again() -> None:
    assert policies(settings(attempts=1)) == {}
