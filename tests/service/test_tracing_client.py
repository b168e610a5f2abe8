"""Headers that a function gives for each call, and so a trace that goes on from a caller into the server."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np
import pytest
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider

from scripted import scripted
from siamcorr_client import AsyncClient, Client, InvalidArgument

X = np.ones((4, 8, 8), np.float32)
Z = np.ones((4, 3, 3), np.float32)

current = ContextVar("current", default="none")


def headers() -> Mapping[str, str]:
    return {"x-camera": current.get()}


def traced() -> Mapping[str, str]:
    """Return what hands the caller's trace on, as the documentation has it."""
    found: dict[str, str] = {}
    propagate.inject(found)
    return found


def test_each_call_has_the_headers_of_its_moment() -> None:
    with scripted() as server, Client(server.address, metadata=headers) as client:
        for name in ("hall", "gate"):
            token = current.set(name)
            client.correlate("tpl_1", features=X)
            current.reset(token)
        client.delete_template("tpl_1")
    assert [one.headers["x-camera"] for one in server.received] == ["hall", "gate", "none"]
    assert len({one.headers["x-request-id"] for one in server.received}) == 3


def test_a_stream_is_one_call() -> None:
    with scripted() as server, Client(server.address, metadata=headers) as client:
        current.set("hall")
        with client.stream() as stream:
            current.set("gate")
            for future in [stream.correlate("tpl_1", features=X) for _ in range(3)]:
                future.result()
        current.set("none")
    assert [one.headers["x-camera"] for one in server.received] == ["hall"]


async def test_a_task_has_the_headers_of_its_own_context() -> None:
    with scripted() as server:
        async with AsyncClient(server.address, metadata=headers) as client:
            current.set("hall")
            await client.correlate("tpl_1", features=X)
            async with client.stream() as stream:
                await stream.correlate("tpl_1", features=X)
    assert [one.headers["x-camera"] for one in server.received] == ["hall", "hall"]


def test_an_id_that_is_given_is_the_requests() -> None:
    with scripted() as server, Client(server.address, metadata=lambda: {"x-request-id": "frame-7"}) as client:
        client.correlate("tpl_1", features=X)
    assert [one.headers["x-request-id"] for one in server.received] == ["frame-7"]


@pytest.mark.parametrize("wrong", [None, [("key", "value")], {"Upper": "x"}, {"key": b"secret"}])
async def test_headers_that_cannot_be_sent_are_refused_at_the_call(wrong: Any) -> None:
    with scripted() as server:
        with (
            Client(server.address, metadata=lambda: wrong) as client,
            pytest.raises(InvalidArgument) as caught,
        ):
            client.create_template(Z)
        assert caught.value.field == "metadata"
        assert "secret" not in str(caught.value)
        async with AsyncClient(server.address, metadata=lambda: wrong) as other:
            with pytest.raises(InvalidArgument, match="metadata: found"):
                other.stream()
    assert server.received == []


def test_what_the_function_raises_reaches_the_caller() -> None:
    def fail() -> Mapping[str, str]:
        raise KeyError("no context")

    with (
        scripted() as server,
        Client(server.address, metadata=fail) as client,
        pytest.raises(KeyError, match="no context"),
    ):
        client.correlate("tpl_1", features=X)
    assert server.received == []


def test_a_callers_trace_goes_on_in_the_server() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tracker")
    with scripted() as server, Client(server.address, metadata=traced) as client:
        client.correlate("tpl_1", features=X)
        with tracer.start_as_current_span("frame") as span:
            client.correlate("tpl_1", features=X)
    without, within = (one.headers for one in server.received)
    assert "traceparent" not in without
    context = span.get_span_context()
    assert str(within["traceparent"]).startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
