"""Clients that behave badly, and whether the server is sound once they are gone.

The ways to behave badly:

- ``kill``: processes with calls in flight and templates of their own are killed.
- ``cancel``: calls are cancelled in a storm, each at another moment between being made and being answered.
- ``slow``: streams send requests and never read an answer, then break off.
- ``restart``: not clients but the server goes, and comes again: :mod:`siamcorr_load.restart`.

Afterwards, and between the slow readers too, a well-behaved client must get right answers, and within the
templates' time to live every template must be gone that was not there before. What a server holds beside
templates, leases and places in queues, does not show from outside; our tests look at it from inside.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import grpc

from siamcorr.answers import Template
from siamcorr.checks import correlate_call
from siamcorr.errors import InvalidArgument, ServerUnavailable, SiamcorrError
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.correlation import seal_correlate_request
from siamcorr.wire.envelope import seal
from siamcorr_client import AsyncClient
from siamcorr_load.soundness import SEARCH, TEMPLATE, Aftermath, call, handles, left_behind, wrong_answers

__all__ = ["MODES", "run_chaos"]

Done: TypeAlias = tuple[str, list[str]]
"""What was done, in words, and what was wrong meanwhile."""

_SPAWN = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
_READY_S = 60.0
_STALLED_S = 0.25  # a write that takes longer waits for the server to read
_TURNS = 40
_IN_FLIGHT = 16


async def run_chaos(mode: str, server: str, *, ttl_s: float, size: int = 4, seed: int = 0) -> Aftermath:
    """Behave badly, then look whether the server is sound.

    Args:
        mode: one of ``MODES``.
        server: HOST:PORT.
        ttl_s: the server's ``--template-ttl``, in seconds.
        size: how many clients to kill, or readers to be slow; the storm has 64 times as many calls.
        seed: of the moments at which calls are cancelled.

    Raises:
        InvalidArgument: names ``mode``.
        ServerUnavailable: there was no server before anything was done.
    """
    if mode not in MODES:
        raise InvalidArgument.found("mode", repr(mode)[:80], ", ".join(MODES))
    async with AsyncClient(server) as client:
        before = await handles(client)
        chance = random.Random(seed)  # noqa: S311 - chance, not a secret
        done, faults = await MODES[mode](server, size, chance)
        faults += await wrong_answers(client)
        faults += await left_behind(client, before, ttl_s)
    return Aftermath(mode, done, tuple(faults))


async def _kill(server: str, size: int, chance: random.Random) -> Done:
    pipes, processes = [], []
    try:
        for _ in range(size):
            here, there = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_be_busy, args=(server, there), daemon=True)
            process.start()
            there.close()
            pipes.append(here)
            processes.append(process)
        for pipe in pipes:
            if not await asyncio.to_thread(pipe.poll, _READY_S):
                raise ServerUnavailable(f"a client got no answer within {_READY_S:g} s")
    finally:
        for process in processes:
            process.kill()
            process.join()
    return f"{size} clients killed, with {_IN_FLIGHT} calls in flight each", []


def _be_busy(server: str, pipe: Connection) -> None:
    """Keep calls in flight for ever; say so once the first are answered."""

    async def work() -> None:
        async with AsyncClient(server) as client:
            template = await client.create_template(TEMPLATE)
            calls = {call(client, template) for _ in range(_IN_FLIGHT)}
            while True:
                answered, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                calls |= {call(client, template) for _ in answered}
                pipe.send("busy")

    with suppress(BrokenPipeError):
        asyncio.run(work())


async def _cancel(server: str, size: int, chance: random.Random) -> Done:
    calls = 64 * size
    async with AsyncClient(server) as client:
        template = await client.create_template(TEMPLATE)
        await call(client, template)
        storm = [asyncio.create_task(_cancelled(client, template, chance)) for _ in range(calls)]
        was_cancelled = await asyncio.gather(*storm)
    return f"{calls} calls made, {sum(was_cancelled)} of them cancelled", []


async def _cancelled(client: AsyncClient, template: Template, chance: random.Random) -> bool:
    """Make a call and cancel it a while later, unless it was faster."""
    if chance.random() < 0.25:
        made: asyncio.Task[Any] = asyncio.create_task(client.create_template(TEMPLATE))
    else:
        made = call(client, template)
    for _ in range(chance.randrange(_TURNS)):
        await asyncio.sleep(0)
    is_cancelled = made.cancel()
    with suppress(asyncio.CancelledError, SiamcorrError):
        await made
    return is_cancelled


async def _slow(server: str, size: int, chance: random.Random) -> Done:
    async with AsyncClient(server) as client:
        template = await client.create_template(TEMPLATE)
        channels = [grpc.aio.insecure_channel(server) for _ in range(size)]
        try:
            counts = await asyncio.gather(*(_never_read(channel, template) for channel in channels))
            faults = await wrong_answers(client)
        finally:
            for channel in channels:
                await channel.close()  # breaks off what is in flight
    return f"{size} streams sent {sum(counts)} requests and read no answer", faults


async def _never_read(channel: grpc.aio.Channel, template: Template, most: int = 1000) -> int:
    """Send requests until the server takes no more; return how many."""
    stream: Any = channel.stream_stream("/siamcorr.v1.CorrelationService/CorrelateStream")()
    parts = seal_correlate_request(correlate_call(template, features=SEARCH, kind="depthwise"))
    for number in range(most):
        head = pb.CorrelateStreamRequest(id=number)
        head.timeout.FromSeconds(round(_READY_S))
        try:
            async with asyncio.timeout(_STALLED_S):
                await stream.write(b"".join(seal(head, parts)))
        except (TimeoutError, grpc.RpcError, asyncio.InvalidStateError):
            return number
    return most


MODES: dict[str, Callable[[str, int, random.Random], Awaitable[Done]]] = {
    "kill": _kill,
    "cancel": _cancel,
    "slow": _slow,
}
"""The ways to behave badly."""
