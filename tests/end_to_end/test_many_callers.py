"""Many callers at once: each gets its own answers, and whoever gives up leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from gates import IMAGE, PATIENCE_S
from servers import RunningServer, serving
from siamcorr.answers import Response
from siamcorr.arguments import Array
from siamcorr.errors import SiamcorrError, TemplateNotFound
from siamcorr.ops import xcorr
from siamcorr.settings import EngineSettings
from siamcorr_client import AsyncClient

CALLERS = 64
REQUESTS = 20
FORMS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((16, 4, 4), (16, 12, 12), {"kind": "naive"}),
    ((16, 4, 4), (16, 12, 12), {"kind": "depthwise"}),
    ((16, 4, 4), (16, 9, 12), {"kind": "pixelwise"}),
    ((32, 3, 5), (16, 12, 12), {"kind": "upchannel", "padding": 1}),
    ((16, 4, 4), (16, 12, 12), {"kind": "groupwise", "groups": 4, "stride": 2}),
    ((6, 8, 3, 3), (16, 12, 12), {"kind": "grouped", "groups": 2, "gain": 0.5}),
]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    everything = EngineSettings(device="cpu", models={}, max_jobs=CALLERS * (REQUESTS + 1))
    with serving(everything) as running:
        yield running


def reference(z: Array, x: Array, options: dict[str, Any]) -> Array:
    response: Array = xcorr(torch.from_numpy(z)[None], torch.from_numpy(x)[None], **options)[0].numpy()
    return response


async def call_all(client: AsyncClient, number: int) -> None:
    """Make one caller's template and requests, and check each answer."""
    template_shape, search_shape, options = FORMS[number % len(FORMS)]
    random = np.random.default_rng(number)
    z = random.standard_normal(template_shape, np.float32)
    regions = random.standard_normal((REQUESTS, *search_shape), np.float32)
    template = await client.create_template(z)
    calls = [client.correlate(template, features=x, **options) for x in regions]
    responses = await asyncio.gather(*calls)
    for x, response in zip(regions, responses, strict=True):
        assert response.template == template.handle
        np.testing.assert_array_equal(response.map, reference(z, x, options))
    await client.delete_template(template)


async def test_every_caller_gets_its_own_answers(server: RunningServer) -> None:
    async with AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
        await asyncio.gather(*(call_all(client, number) for number in range(CALLERS)))
    stats = server.engine.stats()
    assert stats.device.served == CALLERS * (REQUESTS + 1)
    assert (stats.requests, stats.bank.templates, stats.bank.leased) == (0, 0, 0)


async def cancelled_after(steps: int, call: Awaitable[Any]) -> bool:
    """Let a call run for ``steps`` turns of the event loop, then cancel it. False: it had ended before."""
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        await asyncio.sleep(0)
        if task.done():
            break
    cancelled = task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return cancelled and task.cancelled()


CALLS: dict[str, Callable[[AsyncClient, str, Array], Awaitable[Any]]] = {
    "correlate": lambda client, handle, x: client.correlate(handle, features=x),
    "frame": lambda client, handle, x: client.correlate(
        handle, image=IMAGE, box=(9, 9, 9, 9), model="gate", kind="grouped", groups=1
    ),
    "create": lambda client, handle, x: client.create_template(x),
    "create from a frame": lambda client, handle, x: client.create_template(
        image=IMAGE, box=(9, 9, 9, 9), model="gate"
    ),
    "update": lambda client, handle, x: client.update_template(handle, np.ones((1, 3, 8, 8), np.float32)),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_cancelled_caller_leaves_nothing_behind(server: RunningServer, name: str) -> None:
    async with AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
        template = await client.create_template(np.ones((1, 3, 8, 8), np.float32))
        x = np.ones((3, 16, 16), np.float32)
        steps = 0
        while await cancelled_after(steps, CALLS[name](client, template.handle, x)):
            steps = max(steps + 1, steps * 9 // 8)
        assert steps > 2, "it was cancelled on its way"
        good = await client.correlate(template, features=x, kind="grouped", groups=1)
        assert good.map is not None
        server.until(lambda: server.engine.stats().requests == 0)
        server.engine.check_invariants()
        assert server.engine.stats().bank.leased == 0
        assert server.engine.stats().device.queued_bytes == 0


async def test_templates_that_change_under_load_lose_no_call(server: RunningServer) -> None:
    z = np.ones((8, 4, 4), np.float32)
    x = np.ones((8, 6, 6), np.float32)
    async with AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
        updated, doomed = [await client.create_template(z) for _ in range(2)]

        async def correlate(handle: str) -> Response | None:
            try:
                return await client.correlate(handle, features=x)
            except TemplateNotFound:
                return None

        waves = []
        for wave in range(1, 9):
            calls = [correlate(one.handle) for one in (updated, doomed) for _ in range(16)]
            change = client.update_template(updated, z * (wave + 1))
            if wave == 4:
                calls.append(client.delete_template(doomed))
            waves.append(await asyncio.gather(*calls, change))
    answers = [answer for wave in waves for answer in wave if isinstance(answer, Response)]
    for response in answers:
        value = z.size * (response.generation if response.template == updated.handle else 1)
        np.testing.assert_array_equal(response.map, np.full((1, 3, 3), value, np.float32))
    of_updated = [response for response in answers if response.template == updated.handle]
    assert len(of_updated) == 8 * 16
    assert not any(isinstance(answer, SiamcorrError) for wave in waves for answer in wave)
    assert server.engine.stats().bank.leased == 0
