"""Whether a server is sound after chaos: who behaves well is served rightly, and nothing is left."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from siamcorr.answers import Response, Template
from siamcorr.errors import SiamcorrError
from siamcorr_client import AsyncClient
from siamcorr_load.checking import correlate, is_right

__all__ = ["SEARCH", "TEMPLATE", "Aftermath", "call", "handles", "is_answer", "left_behind", "wrong_answers"]

_POLL_S = 0.05
_GRACE_S = 5.0

_RANDOM = np.random.default_rng(5)
TEMPLATE: npt.NDArray[np.float32] = _RANDOM.standard_normal((64, 6, 6), dtype=np.float32)
"""What chaos makes templates of, (C, h, w)."""
SEARCH: npt.NDArray[np.float32] = _RANDOM.standard_normal((64, 40, 40), dtype=np.float32)
"""What it correlates with them, depthwise, (C, H, W)."""
_EXPECTED = correlate("depthwise", TEMPLATE, SEARCH)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a server was put through, in words, and what was found to be wrong afterwards, a sentence each."""

    mode: str
    done: str
    faults: tuple[str, ...]


def call(client: AsyncClient, template: Template) -> asyncio.Task[Any]:
    """Begin to correlate."""
    return asyncio.create_task(client.correlate(template, features=SEARCH, kind="depthwise"))


def is_answer(response: Response) -> bool:
    """Whether this is the right answer to a call."""
    return is_right(response, _EXPECTED)


async def wrong_answers(client: AsyncClient) -> list[str]:
    """Be a client as it should be; return what was wrong."""
    try:
        template = await client.create_template(TEMPLATE)
        answer = await call(client, template)
        await client.delete_template(template)
    except SiamcorrError as error:
        return [f"a client that behaves well is refused: {error}"]
    return [] if is_answer(answer) else ["a client that behaves well gets a wrong answer"]


async def left_behind(client: AsyncClient, before: set[str], ttl_s: float) -> list[str]:
    """Wait for the templates that were not there ``before`` to go; return what was wrong."""
    left: set[str] = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(ttl_s + _GRACE_S):
            while left := await handles(client) - before:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(_POLL_S)
    return [f"templates left after their time to live: {len(left)}"] if left else []


async def handles(client: AsyncClient) -> set[str]:
    """Return the handles of all templates."""
    return {template.handle async for template in client.list_templates()}
