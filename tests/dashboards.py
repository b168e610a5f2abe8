"""What a browser asks a dashboard, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

from gates import PATIENCE_S
from servers import RunningServer
from siamcorr_server.dashboard import Dashboard

__all__ = ["Events", "address_of", "ask", "get", "listening"]


def address_of(server: RunningServer) -> str:
    """Return HOST:PORT of a server's dashboard."""
    (door,) = [door for door in server.doors if isinstance(door, Dashboard)]
    return door.address


def ask(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Get ``path`` as it is written; return status, headers and body."""
    with closing(HTTPConnection(address, timeout=PATIENCE_S)) as connection:
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def get(address: str, path: str, **query: object) -> Any:
    """Get JSON."""
    status, _, body = ask(address, f"/api/{path}?{urlencode(query)}")
    assert status == 200, body
    return json.loads(body)


class Events:
    """Server-sent events as they come."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response

    def rest(self) -> bytes:
        """Wait for the end, and return what comes before it."""
        return self._response.read()

    def next(self) -> tuple[str, Any]:
        """Wait for the next event: its name and its JSON."""
        name, data, end = (self._response.readline().decode() for _ in range(3))
        assert (name[:7], data[:6], end) == ("event: ", "data: ", "\n")
        return name[7:-1], json.loads(data[6:])


@contextmanager
def listening(address: str) -> Iterator[Events]:
    """Listen to a dashboard's events until the block ends."""
    with closing(HTTPConnection(address, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/api/events")
        yield Events(connection.getresponse())
