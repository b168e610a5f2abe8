"""What every request for the page has to pass, and what every answer says about itself.

The page is for whoever sits at this machine, and shows what trackers see. There is no password. So:

- The port is bound to 127.0.0.1 alone.
- The Host header must be an address of this machine: else a site whose name was made to point to 127.0.0.1
  (DNS rebinding) could read it through its visitor's browser.
- What another site's page asks for is refused (Sec-Fetch-Site, which browsers send and pages cannot forge),
  but for following a link. No other origin may read an answer, or show it in a frame.
- The page loads and runs nothing but its own files.
- Only GET: nothing here changes what the server does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

__all__ = ["guarded_by", "sign"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def guarded_by(port: int) -> Any:
    """Return the middleware that lets pass what was meant for this ``port`` of this machine."""
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.getall("Host", []) not in [[host] for host in hosts]:
            raise web.HTTPMisdirectedRequest(text=f"Host must be one of {', '.join(sorted(hosts))}\n")
        is_link = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.path == "/"
        if request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"} and not is_link:
            raise web.HTTPForbidden(text="only the dashboard's own page may ask\n")
        return await handler(request)

    return guard


async def sign(_: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer says, errors included, and leave out what serves it."""
    response.headers.update(_HEADERS)
    response.headers["Server"] = "siamcorr"
