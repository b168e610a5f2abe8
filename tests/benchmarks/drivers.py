"""What the serving rows call, and against what: each function measures servers that run already."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import prod

import grpc.aio
import numpy as np
import numpy.typing as npt

from benchmarks import echo
from benchmarks.callers import Call, Contest, Pace, contest
from benchmarks.machine import resident_mib
from siamcorr.answers import Template
from siamcorr.calls import CorrelateOptions
from siamcorr_client import AsyncClient

__all__ = [
    "DEPTHWISE_MAP",
    "DEPTHWISE_PEAK",
    "NAIVE_MAP",
    "Case",
    "against_echo",
    "many_against_few",
    "resident_sets_mib",
    "shared_memory_against_messages",
]

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_MAKING_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Case:
    """A correlate call: float32 template and search features, options, and about what the answer takes."""

    template: tuple[int, int, int]
    search: tuple[int, int, int]
    options: CorrelateOptions
    answer_bytes: int

    @property
    def search_bytes(self) -> int:
        """What the search features take."""
        return prod(self.search) * 4


_SIAMRPN = (256, 7, 7), (256, 31, 31)
DEPTHWISE_MAP = Case(*_SIAMRPN, {"kind": "depthwise"}, 256 * 25 * 25 * 4)
DEPTHWISE_PEAK = Case(*_SIAMRPN, {"kind": "depthwise", "output": "peaks", "sum_channels": True}, 180)
NAIVE_MAP = Case((256, 6, 6), (256, 22, 22), {"kind": "naive"}, 17 * 17 * 4)


async def against_echo(
    server: str, echo_server: str, case: Case, *, callers: int, pace: Pace, written: bool = False
) -> Contest:
    """Compare with an echo of the case's sizes; ``written``: whose both ends write and view payloads."""
    async with AsyncClient(server) as client, _echoing(echo_server, case, written) as echoing:
        correlating = _correlating(client, [await _template(client, case)], case)
        return await contest(correlating, echoing, callers=callers, pace=pace)


async def many_against_few(
    many_server: str, few_server: str, case: Case, *, many: int, few: int, callers: int, pace: Pace
) -> Contest:
    """Compare a server of ``many`` templates with one of ``few``: the calls go round all of them."""
    async with AsyncClient(many_server) as many_client, AsyncClient(few_server) as few_client:
        return await contest(
            _correlating(many_client, await _templates(many_client, case, many), case),
            _correlating(few_client, await _templates(few_client, case, few), case),
            callers=callers,
            pace=pace,
        )


async def shared_memory_against_messages(server: str, case: Case, *, callers: int, pace: Pace) -> Contest:
    """Compare a client that shares memory with the server with one that does not."""
    async with AsyncClient(server, shared_memory=True) as sharing, AsyncClient(server) as sending:
        templates = [await _template(sending, case)]
        return await contest(
            _correlating(sharing, templates, case),
            _correlating(sending, templates, case),
            callers=callers,
            pace=pace,
        )


async def resident_sets_mib(server: str, pid: int, *, calls: int, every: int, callers: int) -> list[float]:
    """Make ``calls`` of all sorts, and return the resident set of ``pid`` after ``every`` so many, in MiB."""
    async with AsyncClient(server) as client:
        sorts = [
            _correlating(client, [await _template(client, case)], case)
            for case in (DEPTHWISE_MAP, DEPTHWISE_PEAK, NAIVE_MAP)
        ]
        sorts.append(_making_and_forgetting(client, NAIVE_MAP))

        async def caller(numbers: Iterator[int]) -> None:
            for number in numbers:
                await sorts[number % len(sorts)]()

        sizes = []
        for _ in range(calls // every):
            numbers = iter(range(every))  # which all callers share
            await asyncio.gather(*(caller(numbers) for _ in range(callers)))
            sizes.append(resident_mib(pid))
        return sizes


def _random(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


async def _template(client: AsyncClient, case: Case) -> Template:
    return await client.create_template(_random(*case.template))


async def _templates(client: AsyncClient, case: Case, count: int) -> list[Template]:
    templates: list[Template] = []
    while (missing := count - len(templates)) > 0:
        templates += await asyncio.gather(
            *(_template(client, case) for _ in range(min(missing, _MAKING_AT_ONCE)))
        )
    return templates


def _correlating(client: AsyncClient, templates: list[Template], case: Case) -> Call:
    turns = itertools.cycle(templates)
    options: CorrelateOptions = {**case.options, "features": _random(*case.search)}

    async def correlate() -> None:
        await client.correlate(next(turns), **options)

    return correlate


def _making_and_forgetting(client: AsyncClient, case: Case) -> Call:
    async def make_and_forget() -> None:
        await client.delete_template(await _template(client, case))

    return make_and_forget


@asynccontextmanager
async def _echoing(server: str, case: Case, written: bool) -> AsyncIterator[Call]:
    head, payload = echo.head(case.answer_bytes), _random(*case.search)
    ready = b"".join((head, payload.data.cast("B")))
    async with grpc.aio.insecure_channel(server, options=_UNLIMITED) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            echo.WRITTEN if written else echo.BARE
        )

        async def send_ready() -> None:
            await method(ready)

        async def write_and_view() -> None:
            np.frombuffer(await method(b"".join((head, payload.data.cast("B")))), np.uint8)

        yield write_and_view if written else send_ready
