"""Sends requests when they are due, or as fast as they are answered, on an event loop and by its clock.

- Open loop: a frame is sent when the pacer says so, whatever the server does. Its latency counts from that
  moment. A server that stalls is therefore seen to delay all frames that fall into the stall, and not only
  those that were out when it began.
- A camera drops its frame while as many of its requests are out as fall due in ``_MAX_OUT_S``.
- Closed loop: so many requests are out at any time, and the next is due once one is answered. What a stall
  holds back is never sent, so that only the requests that were out tell of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from siamcorr.answers import Timings
from siamcorr.errors import OverloadError, SiamcorrError
from siamcorr_load.cameras import Camera
from siamcorr_load.pacer import Arrival
from siamcorr_load.recorder import Recorder
from siamcorr_load.settings import Load

__all__ = ["Driver"]

_MAX_OUT_S = 4.0


class Driver:
    """Drives the cameras of one process."""

    def __init__(self, load: Load, cameras: Mapping[int, Camera], recorder: Recorder) -> None:
        """Record with ``recorder`` what the ``cameras``, by their numbers, give."""
        self._load, self._cameras, self._recorder = load, cameras, recorder
        self._max_out = max(4, round(_MAX_OUT_S * load.fps))
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = 0
        self._reached_s: float | None = None

    @property
    def reached_s(self) -> float:
        """Up to which moment, on the loop's clock, all that was due has begun."""
        return asyncio.get_running_loop().time() if self._reached_s is None else self._reached_s

    async def open_loop(self, arrivals: Iterable[Arrival], start_s: float) -> None:
        """Send what arrives, counted from ``start_s`` on the loop's clock, until this is cancelled."""
        loop = asyncio.get_running_loop()
        self._reached_s = start_s
        for due_s, number, frame in arrivals:
            await asyncio.sleep(max(0.0, start_s + due_s - loop.time()))
            camera, due_s = self._cameras[number], start_s + due_s  # noqa: PLW2901 - now by the clock
            self._reached_s = due_s
            self._recorder.due(due_s)
            if camera.out >= self._max_out:
                self._recorder.dropped(due_s)
            else:
                self._spawn(self._send(camera, frame, due_s))

    async def closed_loop(self, concurrency: int, start_s: float) -> None:
        """Keep ``concurrency`` requests out from ``start_s`` on, until this is cancelled."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, start_s - loop.time()))
        cameras = list(self._cameras.values())

        async def repeat(place: int) -> None:
            frame = 0
            while True:
                due_s = loop.time()
                self._recorder.due(due_s)
                await self._send(cameras[place % len(cameras)], frame, due_s)
                frame += 1

        await asyncio.gather(*(repeat(place) for place in range(concurrency)))

    async def finish(self) -> None:
        """Wait until nothing is out."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, camera: Camera, frame: int, due_s: float) -> None:
        loop, recorder = asyncio.get_running_loop(), self._recorder
        for change in camera.changes(frame):
            self._spawn(self._change(change, due_s))
        sent_s = loop.time()
        recorder.sent(due_s, sent_s)
        try:
            seen = await camera.correlate(frame)
        except SiamcorrError as error:
            recorder.failed(due_s, error.reason, is_reject=isinstance(error, OverloadError))
            await asyncio.sleep(0)  # a refusal may come at once: others must run in a closed loop
            return
        timings = seen.responses[0].timings if seen.responses else Timings()
        recorder.answered(due_s, sent_s, loop.time(), len(seen.responses), timings)
        self._answers += 1
        if self._load.check_every and self._answers % self._load.check_every == 0:
            is_right = camera.check(seen)
            if is_right is not None:
                recorder.checked(due_s, is_wrong=not is_right)

    async def _change(self, change: Coroutine[Any, Any, None], due_s: float) -> None:
        try:
            await change
        except SiamcorrError as error:
            self._recorder.upset(due_s, error.reason, is_reject=isinstance(error, OverloadError))
