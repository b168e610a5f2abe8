"""The seconds as they end, for all pages that are open."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from siamcorr.stats import EngineStats
from siamcorr_server.dashboard.history import History

__all__ = ["Feed"]

_log = logging.getLogger(__name__)


class Feed:
    """Ends a second every second, and tells the pages. It belongs to one event loop."""

    def __init__(self, history: History, stats: Callable[[], EngineStats], server: Mapping[str, Any]) -> None:
        """Take what is counted, what is measured, and what is told about the server itself."""
        self._history, self._stats, self._server = history, stats, json.dumps(server)
        self._ended = asyncio.Condition()
        self._is_closed = False

    async def run(self, each_second: Callable[[], None]) -> None:
        """End seconds until it is cancelled."""
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            try:
                each_second()
                await self.tick(time.time())
            except Exception:  # the next second may be better, and the server has other work
                _log.exception("a second of the dashboard failed")

    async def tick(self, at_s: float) -> None:
        """End a second; ``at_s`` is in Unix seconds."""
        self._history.close_second(at_s, self._stats())
        async with self._ended:
            self._ended.notify_all()

    async def close(self) -> None:
        """End what pages listen to."""
        self._is_closed = True
        async with self._ended:
            self._ended.notify_all()

    def state(self) -> str:
        """Return all that is known, as JSON."""
        seconds = ",".join(self._history.seconds)
        return f'{{"server":{self._server},"totals":{self._totals()},"seconds":[{seconds}]}}'

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        """Yield the state, then each second that ends; who is late is told all that there still is."""
        told = self._history.closed
        yield "state", self.state()
        while True:
            async with self._ended:
                while not self._is_closed and self._history.closed == told:
                    await self._ended.wait()
            if self._is_closed:
                return
            missed = min(self._history.closed - told, len(self._history.seconds))
            told = self._history.closed
            for second in list(self._history.seconds)[-missed:]:
                yield "second", f'{{"second":{second},"totals":{self._totals()}}}'

    def _totals(self) -> str:
        return json.dumps(self._history.totals(), separators=(",", ":"))
