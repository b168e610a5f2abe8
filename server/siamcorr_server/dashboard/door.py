"""The door: a port of this machine that the dashboard's page is served on while the server answers."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web

from siamcorr import Engine
from siamcorr.errors import InvalidArgument
from siamcorr.tasks import CorrelateTask, TemplateTask
from siamcorr_server.dashboard.feed import Feed
from siamcorr_server.dashboard.history import History
from siamcorr_server.dashboard.pages import Pages
from siamcorr_server.dashboard.watches import Watches
from siamcorr_server.observers import Finished
from siamcorr_server.own_version import own_version

__all__ = ["Dashboard"]

_HOST = "127.0.0.1"
_GOODBYE_S = 0.5  # for pages to take their last bytes

_log = logging.getLogger(__name__)


class Dashboard:
    """Counts what the server does, and shows it. See :mod:`siamcorr_server.doors`."""

    def __init__(self, port: int) -> None:
        """Bind ``port`` of 127.0.0.1, or any free one for 0.

        Raises:
            InvalidArgument: names ``dashboard_port``: it cannot be bound.
        """
        self._history, self._watches = History(), Watches()
        self._runner: web.AppRunner | None = None
        self._seconds: asyncio.Task[None] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((_HOST, port))
            self._socket.listen()  # else another, our own gRPC port too, could still be bound there
        except OSError as error:
            self._socket.close()
            found = f"{_HOST}:{port} ({error.strerror or error})"
            raise InvalidArgument.found("dashboard_port", found, "a port to listen on") from error
        self.address = f"{_HOST}:{self._socket.getsockname()[1]}"

    def finished(self, request: Finished) -> None:
        """Count a request that has ended."""
        self._history.finished(request)

    def launched(self, tasks: Sequence[CorrelateTask | TemplateTask], outcomes: Sequence[object]) -> None:
        """Count a launch, and keep what it says about templates that are watched."""
        self._history.launched(tasks, outcomes)
        self._watches.launched(tasks, outcomes, time.monotonic())

    async def open(self, engine: Engine) -> None:
        """Serve the page."""
        about = {
            "version": own_version(),
            "device": engine.device,
            "models": engine.models,
            "started": time.time(),
            "max_batch": engine.settings.max_batch,
        }
        self._feed = Feed(self._history, engine.stats, about)
        app = Pages(engine, self._feed, self._watches, time.monotonic).app(self._socket.getsockname()[1])
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_GOODBYE_S)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()
        self._seconds = asyncio.create_task(
            self._feed.run(lambda: self._watches.expire(time.monotonic())), name="dashboard"
        )
        _log.info("dashboard", extra={"fields": {"address": f"http://{self.address}/"}})

    async def close(self) -> None:
        """Say goodbye to the pages, and let go of the port."""
        if self._seconds is not None:
            self._seconds.cancel()
            with suppress(asyncio.CancelledError):
                await self._seconds
        if self._runner is not None:
            await self._feed.close()
            await self._runner.cleanup()
        self._socket.close()
