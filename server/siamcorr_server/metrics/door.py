"""Where Prometheus comes to: an HTTP port that shows the metrics, in the form that the visitor accepts.

Rules:
- The port is bound at once, so that one in use is found out before a model loads. It answers from
  :meth:`Metrics.open` to :meth:`Metrics.close`; who comes before that waits.
- A registry belongs to one server: two in one process do not mix.
- Visitors cannot hurt: each has a thread for as long as it is quick, there are few at a time, and what fails
  is a line in the log. prometheus_client's own server bounds neither, and writes tracebacks to stderr.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from socketserver import ThreadingTCPServer
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector

from siamcorr import Engine
from siamcorr.errors import InvalidArgument
from siamcorr_server.config import host_and_port
from siamcorr_server.metrics.collector import EngineCollector
from siamcorr_server.metrics.counts import Counts

__all__ = ["Metrics"]

_PATIENCE_S = 5.0  # for a visitor to say what it wants, and to read the answer: in all, not a byte
_MOST_VISITORS = 16
_POLL_S = 0.1  # how long the end of a listener takes at most

_log = logging.getLogger(__name__)


class Metrics:
    """Counts what it is told, and shows it at an address. A door."""

    def __init__(self, listen: str) -> None:
        """Bind ``listen``, HOST:PORT.

        Raises:
            InvalidArgument: names ``metrics_listen``: the address cannot be bound.
        """
        self._counts = Counts()
        self.finished = self._counts.finished
        self.launched = self._counts.launched
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._listener = _bound(listen, self._registry)
        self._host = listen.rpartition(":")[0]
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, with the port that was found for 0."""
        return f"{self._host}:{self._listener.server_address[1]}"

    async def open(self, engine: Engine) -> None:
        """Answer from now on."""
        self._registry.register(EngineCollector(self._counts, engine.stats))
        serve = partial(self._listener.serve_forever, _POLL_S)
        self._thread = threading.Thread(target=serve, name="siamcorr-metrics", daemon=True)
        self._thread.start()
        _log.info("metrics", extra={"fields": {"address": self.address}})

    async def close(self) -> None:
        """Answer no more, and give the port back."""
        if self._thread is not None:
            await asyncio.to_thread(self._listener.shutdown)
            self._thread = None
        self._listener.server_close()


class _Visit(MetricsHandler):
    timeout = _PATIENCE_S


class _Listener(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a slow visitor does not hold the end up
    request_queue_size = _MOST_VISITORS

    def __init__(self, family: int, address: Any, registry: CollectorRegistry) -> None:
        self.address_family = family
        self._room = threading.Semaphore(_MOST_VISITORS)
        self._until_s: dict[Any, float] = {}
        super().__init__(address, _Visit.factory(registry))

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            self._until_s[request] = time.monotonic() + _PATIENCE_S
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._until_s[request]
            self._room.release()

    def service_actions(self) -> None:
        """Cut off whoever takes too long. A timeout for each byte would let sixteen drips close the door."""
        now_s = time.monotonic()
        for request, until_s in self._until_s.copy().items():
            if until_s <= now_s:
                with suppress(OSError):  # it is closed already
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        is_lost = isinstance(sys.exception(), OSError)  # its own affair, and no news
        _log.log(logging.DEBUG if is_lost else logging.ERROR, "a scrape failed", exc_info=True)


def _bound(listen: str, registry: CollectorRegistry) -> _Listener:
    host, port = host_and_port(listen, "metrics_listen")
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                return _Listener(family, address, registry)
            except OSError as error:
                reason = error
    except OSError as error:  # no such host
        reason = error
    found = f"{listen} ({reason.strerror or reason})"
    raise InvalidArgument.found("metrics_listen", found, "an address to listen on") from reason
