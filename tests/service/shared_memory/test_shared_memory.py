"""Payloads through shared memory: the same bits as through messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S, held
from servers import RunningServer, serving
from siamcorr_client import AsyncClient, Client, InvalidArgument, Template
from siamcorr_client._shared_memory import SLOTS
from slots import lent, told, uses

RANDOM = np.random.default_rng(0)
Z = RANDOM.standard_normal((4, 3, 3), np.float32)
X = RANDOM.standard_normal((2, 4, 9, 9), np.float32)
BOX = (20.0, 10.0, 16.0, 12.0)

OPTIONS: list[dict[str, Any]] = [
    {"features": X[0]},
    {"features": X[0], "kind": "depthwise"},
    {"features": X[0].astype(np.float16), "output": "both", "top_k": 3},
    {"features": X[0], "output": "peaks"},
    {"features": X[0][:, ::2, ::-1], "kind": "depthwise", "map_dtype": "float16"},
    {"features": X[0], "kind": "depthwise", "bias": [1.0, 2.0, 3.0, 4.0], "head": np.ones((3, 4))},
]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(shared_memory_bytes=1 << 30) as running:
        yield running


@pytest.mark.parametrize("options", OPTIONS)
def test_an_answer_has_the_same_bits_as_through_messages(
    server: RunningServer, client: Client, template: Template, options: dict[str, Any]
) -> None:
    with Client(server.address) as plain:
        expected = told(plain.correlate(template, **options))
    assert told(client.correlate(template, **options)) == expected
    with client.stream() as stream:
        assert told(stream.correlate(template, **options).result()) == expected
    assert (uses(client), lent(client)) == (2, 0)


@pytest.mark.parametrize("options", OPTIONS)
async def test_for_asyncio_it_is_the_same(
    server: RunningServer, client: Client, template: Template, options: dict[str, Any]
) -> None:
    expected = told(client.correlate(template, **options))
    async with AsyncClient(server.address, shared_memory=True) as other:
        assert told(await other.correlate(template, **options)) == expected
        async with other.stream() as stream:
            assert told(await stream.correlate(template, **options)) == expected
        assert (uses(other), lent(other)) == (2, 0)


@pytest.mark.parametrize("kind", [np.ascontiguousarray, lambda image: image[:, ::-1]])
def test_frames_go_through_it_too(server: RunningServer, client: Client, kind: Any) -> None:
    template = client.create_template(image=IMAGE, box=BOX, model="gate")
    with Client(server.address) as plain:
        expected = told(plain.correlate(template, image=kind(IMAGE), box=BOX))
    assert told(client.correlate(template, image=kind(IMAGE), box=BOX)) == expected
    assert uses(client) == 1


def test_several_search_regions_share_a_slot(client: Client, template: Template) -> None:
    responses = client.correlate([template], features=X)
    for response, x in zip(responses, X, strict=True):
        assert told(client.correlate(template, features=x)) == told(response)


def test_what_is_too_large_for_a_slot_goes_in_messages(server: RunningServer, template: Template) -> None:
    large = np.ones((4, 32, 32), np.float32)
    with Client(server.address, shared_memory=4096) as client:
        in_message = client.correlate(template, features=large)
        assert uses(client) == 0
        with_large_map = client.correlate(template, features=X[0], padding=20)
        assert (uses(client), lent(client)) == (1, 0)
    with Client(server.address) as plain:
        assert told(plain.correlate(template, features=large)) == told(in_message)
        assert told(plain.correlate(template, features=X[0], padding=20)) == told(with_large_map)


def test_when_all_slots_are_lent_calls_go_in_messages(
    server: RunningServer, client: Client, template: Template
) -> None:
    expected = told(client.correlate(template, features=X[0]))
    with client.stream(max_in_flight=SLOTS + 5) as stream:
        with held(server.engine, server.gate):
            futures = [stream.correlate(template, features=X[0]) for _ in range(SLOTS + 5)]
            assert lent(client) == SLOTS
        assert all(told(future.result()) == expected for future in futures)
    assert (uses(client), lent(client)) == (SLOTS + 1, 0)


async def test_many_callers_get_their_own_answers(server: RunningServer, client: Client) -> None:
    template = client.create_template(np.ones((1, 1, 1), np.float32))
    async with AsyncClient(server.address, timeout_s=PATIENCE_S, shared_memory=True) as other:

        async def ask(caller: int) -> None:
            for turn in range(20):
                x = np.full((1, 50, 50), 100 * caller + turn, np.float32)
                response = await other.correlate(template, features=x)
                np.testing.assert_array_equal(response.map, x)

        await asyncio.gather(*(ask(caller) for caller in range(16)))
        assert (uses(other), lent(other)) == (320, 0)


def test_a_refused_call_costs_no_slot(server: RunningServer, client: Client, template: Template) -> None:
    client.correlate(template, features=X[0])
    for shape in [(4, 9, 9), (5, 9, 9)] * SLOTS:  # refused by the device, and at admission
        with pytest.raises(InvalidArgument, match="features"):
            client.correlate(template, features=np.full(shape, np.nan, np.float32))
    while lent(client):
        pass
    assert told(client.correlate(template, features=X[0]))
