"""The dashboard's addresses: its files, and what it asks for. It answers; it decides and computes nothing.

What takes time that grows with templates or maps runs in a thread, one at a time, so that many pages cost no
more than one core's share.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

from aiohttp import web

from siamcorr import Engine
from siamcorr.errors import InvalidArgument, TemplateNotFound
from siamcorr_server.dashboard.feed import Feed
from siamcorr_server.dashboard.guard import guarded_by, sign
from siamcorr_server.dashboard.listing import list_templates
from siamcorr_server.dashboard.views import View, describe
from siamcorr_server.dashboard.watches import MAX_WATCHES, Watches

__all__ = ["MAX_PAGES", "Pages"]

T = TypeVar("T")

MAX_PAGES = 8
"""How many pages may be open at once."""

_MAX_FILTER = 80
_MAX_SKIPPED = 10_000
_SCRIPTS = ("app.js", "charts.js", "heat.js", "panels.js", "table.js", "units.js", "watch.js")
_FILES = {
    "": ("index.html", "text/html"),
    "style.css": ("style.css", "text/css"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    **{name: (name, "text/javascript") for name in _SCRIPTS},
    "vendor/uPlot.css": ("vendor/uPlot.min.css", "text/css"),
    "vendor/uPlot.js": ("vendor/uPlot.iife.min.js", "text/javascript"),
}
"""Address -> file and type. They are read at the start, so no address reaches any other file."""


class Pages:
    """What is served."""

    def __init__(self, engine: Engine, feed: Feed, watches: Watches, clock: Callable[[], float]) -> None:
        """Take where the numbers come from; ``clock`` gives monotonic seconds."""
        self._engine, self._feed, self._watches, self._clock = engine, feed, watches, clock
        self._busy = asyncio.Lock()
        self._open = 0

    def app(self, port: int) -> web.Application:
        """Return the application, for requests that come through ``port``."""
        app = web.Application(middlewares=[guarded_by(port)])
        app.on_response_prepare.append(sign)
        for address, (name, kind) in _FILES.items():
            body = files(__package__).joinpath("static", name).read_bytes()
            app.router.add_get(f"/{address}", partial(_serve_file, body=body, kind=kind))
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/events", self._events)
        app.router.add_get("/api/templates", self._templates)
        app.router.add_get("/api/watch", self._watch)
        return app

    async def _state(self, _: web.Request) -> web.Response:
        return web.Response(text=self._feed.state(), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send the state, then every second that ends: server-sent events."""
        if self._open >= MAX_PAGES:
            raise web.HTTPServiceUnavailable(text=f"{MAX_PAGES} pages are open already\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._open += 1
        try:
            await response.prepare(request)
            async for event, data in self._feed.events():
                await response.write(f"event: {event}\ndata: {data}\n\n".encode())
        except ConnectionError:  # the page is not there any more
            pass
        finally:
            self._open -= 1
        return response

    async def _templates(self, request: web.Request) -> web.Response:
        text = request.query.get("filter", "")
        skipped = request.query.get("skip", "0")
        if len(text) > _MAX_FILTER:
            raise _bad("filter", f"{len(text)} characters", f"at most {_MAX_FILTER}")
        if not (skipped.isascii() and skipped.isdigit() and len(skipped) < 6 and int(skipped) < _MAX_SKIPPED):
            raise _bad("skip", repr(skipped)[:80], f"an integer from 0, below {_MAX_SKIPPED}")
        return _json(await self._aside(list_templates, self._engine, text, int(skipped)))

    async def _watch(self, request: web.Request) -> web.Response:
        """Watch a template, and tell what was answered about it last if that is new."""
        handle, since = request.query.get("handle", ""), request.query.get("since", "")
        try:
            view = View.parse(request.query.get("view", ""))
            self._engine.get_template(handle)
        except InvalidArgument as error:
            raise web.HTTPBadRequest(text=f"{error.message}\n") from error
        except TemplateNotFound as error:
            raise web.HTTPNotFound(text=f"{error.message}\n") from error
        now_s = self._clock()
        samples = self._watches.ask(handle, now_s)
        if samples is None:
            raise web.HTTPTooManyRequests(text=f"{MAX_WATCHES} templates are watched already\n")
        if not samples or str(samples[-1].number) == since:
            age_s = round(now_s - samples[-1].taken_s, 3) if samples else None
            return _json({"number": samples[-1].number if samples else 0, "age_s": age_s, "is_new": False})
        return _json(await self._aside(describe, samples, view, now_s) | {"is_new": True})

    async def _aside(self, work: Callable[..., T], *arguments: Any) -> T:
        async with self._busy:
            return await asyncio.to_thread(work, *arguments)


async def _serve_file(_: web.Request, *, body: bytes, kind: str) -> web.Response:
    return web.Response(body=body, content_type=kind, charset="utf-8")


def _bad(field: str, found: str, expected: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=f"{InvalidArgument.found(field, found, expected).message}\n")


def _json(found: Mapping[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(found, separators=(",", ":")), content_type="application/json")
