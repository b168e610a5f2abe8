"""One generator: a process that plays its share of the cameras and reports each window as it closes.

It and the controller talk through a pipe, in this order:

========== =============================== ==========================================================
from       message                         meaning
========== =============================== ==========================================================
worker     ("ready", None)                 the templates are made
controller ("start", seconds)              begin then, on the clock that all processes of a host share
worker     ("window", Tally)               the next window has closed
controller ("stop", None)                  send nothing more
worker     ("end", End)                    all is answered and the templates are dropped
worker     ("failed", text)                instead of any of these
========== =============================== ==========================================================

Whatever ends it, also that the controller has let go of the pipe, first what is out comes back and then the
templates are dropped.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil

from siamcorr.errors import SiamcorrError
from siamcorr_client import AsyncClient
from siamcorr_load.cameras import Camera
from siamcorr_load.driver import Driver
from siamcorr_load.machine import resident_bytes
from siamcorr_load.pacer import arrivals
from siamcorr_load.payloads import payload_for
from siamcorr_load.recorder import Recorder
from siamcorr_load.settings import Load

__all__ = ["End", "work"]

_MAX_CLIENTS = 4
"""Connections of one process: one carries some thousand calls a second, and each has a price.

With shared memory there is one: its region is large, and calls in it are short.
"""

_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class End:
    """What a generator says of itself at its end.

    ``own_bytes`` are resident; ``busy`` is the share of a processor that it took while it sent requests.
    """

    own_bytes: int | None
    busy: float | None


def work(load: Load, process: int, pipe: Connection) -> None:
    """Run the generator number ``process``."""
    try:
        asyncio.run(_work(load, process, pipe))
    except SiamcorrError as error:
        with suppress(OSError):  # the controller is gone
            pipe.send(("failed", f"{error}"))
    except (KeyboardInterrupt, EOFError, OSError):  # the controller is gone, or going
        return


async def _work(load: Load, process: int, pipe: Connection) -> None:
    told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            told.put_nowait(pipe.recv())
        except (EOFError, OSError):
            loop.remove_reader(pipe.fileno())
            told.put_nowait(("stop", None))

    async with AsyncExitStack() as stack:
        cameras = await _open(load, process, stack)
        loop.add_reader(pipe.fileno(), read)
        gc.collect()
        gc.freeze()  # what stays is not searched for garbage again while requests are due
        pipe.send(("ready", None))
        name, value = await told.get()
        busy = None
        if name == "start":
            start_s = value - time.monotonic() + loop.time()
            wall_s, own_s = time.monotonic(), time.process_time()
            await _drive(load, process=process, cameras=cameras, start_s=start_s, pipe=pipe, told=told)
            busy = (time.process_time() - own_s) / (time.monotonic() - wall_s)
        loop.remove_reader(pipe.fileno())
    pipe.send(("end", End(resident_bytes(psutil.Process()), busy)))


async def _open(load: Load, process: int, stack: AsyncExitStack) -> dict[int, Camera]:
    mine = load.mine(process)
    clients = [
        await stack.enter_async_context(
            AsyncClient(load.server, timeout_s=load.timeout_s, attempts=1, shared_memory=load.shared_memory)
        )
        for _ in range(min(1 if load.shared_memory else _MAX_CLIENTS, len(mine)))
    ]
    for client in clients:
        await client.wait_ready()
    payload = payload_for(load)
    cameras: dict[int, Camera] = {}
    for place, number in enumerate(mine):
        client = clients[place % len(clients)]
        stream = await stack.enter_async_context(client.stream(max_in_flight=1024)) if load.stream else client
        cameras[number] = Camera(number, load, payload, client, stream)
        stack.push_async_callback(cameras[number].close)
        await cameras[number].open()
        if not place and load.check_every:
            await cameras[number].learn()
    return cameras


async def _drive(
    load: Load,
    *,
    process: int,
    cameras: dict[int, Camera],
    start_s: float,
    pipe: Connection,
    told: asyncio.Queue[tuple[str, Any]],
) -> None:
    recorder = Recorder(
        begin_s=start_s + load.warm_up_s, window_s=load.window_s, period_s=load.period_s, late_s=load.late_s
    )
    driver = Driver(load, cameras, recorder)
    if load.concurrency is None:
        frames = arrivals(
            load.pattern, cameras=load.cameras, fps=load.fps, seed=load.seed, mine=list(cameras)
        )
        driving = asyncio.create_task(driver.open_loop(frames, start_s))
    else:
        share = len(range(process, load.concurrency, load.processes))
        driving = asyncio.create_task(driver.closed_loop(share, start_s))
    try:
        while told.empty() and not driving.done():
            await asyncio.sleep(_LOOK_S)
            for tally in recorder.closed(driver.reached_s):
                pipe.send(("window", tally))
    finally:
        driving.cancel()
        with suppress(asyncio.CancelledError):
            await driving
        await driver.finish()
