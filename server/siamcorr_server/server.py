"""A gRPC server over an engine: how it starts, and how it stops without losing a call.

Stopping:
1. Health tells NOT_SERVING, so that balancers look elsewhere. New calls are refused with DRAINING, which
   clients try again: on another server, or on this one's successor.
2. Streams read no more; what they have read is answered, then they end with DRAINING. Those that share
   memory end at once: what is in flight keeps its slots.
3. The engine finishes what it has, until the time is over.
4. When the last answer is written the connections close.

Nothing may hold the end up much longer than it was told to wait. An idle watcher of the health service is cut
off. A launch cannot be broken off, and gRPC waits up to 20 s for a peer that has stopped reading: both are
left to the end of the process.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from siamcorr import Engine
from siamcorr.errors import Draining, InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import correlation_service_pb2_grpc as correlation_rpc
from siamcorr.v1 import shared_memory_service_pb2 as memory_pb
from siamcorr.v1 import shared_memory_service_pb2_grpc as memory_rpc
from siamcorr.v1 import template_service_pb2 as template_pb
from siamcorr.v1 import template_service_pb2_grpc as template_rpc
from siamcorr_server.config import ServerConfig
from siamcorr_server.correlation import CorrelationService
from siamcorr_server.doors import Door
from siamcorr_server.inference.regions import Regions
from siamcorr_server.inference.service import PACKAGE, SERVICE, InferenceService
from siamcorr_server.inference.v2 import open_inference_pb2
from siamcorr_server.interceptor import Interceptor
from siamcorr_server.observers import Observers
from siamcorr_server.reflected import enable_reflection, renamed
from siamcorr_server.shared_memory import SharedMemoryService
from siamcorr_server.templates import TemplateService

__all__ = ["SERVICES", "Server"]

SERVICES = (
    correlation_pb.DESCRIPTOR.services_by_name["CorrelationService"].full_name,
    template_pb.DESCRIPTOR.services_by_name["TemplateService"].full_name,
    memory_pb.DESCRIPTOR.services_by_name["SharedMemoryService"].full_name,
)
"""Full names of siamcorr's own services."""

_LAST_WORDS_S = 1.0  # for answers to be written when the time to drain is over
_GOODBYE_S = 0.1  # for connections to close

_log = logging.getLogger(__name__)


class Server:
    """Binds its port at once, answers from :meth:`start` to :meth:`drain`. It needs a running event loop."""

    def __init__(
        self, config: ServerConfig, observers: Observers | None = None, doors: Sequence[Door] = ()
    ) -> None:
        """Bind the port. ``observers`` are told of every request; ``doors`` open and close with the server.

        Raises:
            InvalidArgument: names ``listen``: the address cannot be bound.
        """
        self._config = config
        self._doors = doors
        self._interceptor = Interceptor(observers or Observers(), max_unread_bytes=config.engine.max_bytes)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.max_send_message_length", config.max_message_bytes),
                ("grpc.so_reuseport", 0),  # two servers on one port would share neither templates nor load
            ],
        )
        _check_can_bind(config)
        try:
            self._port = self._server.add_insecure_port(config.listen)
        except RuntimeError as error:
            raise InvalidArgument.found("listen", config.listen, "an address to listen on") from error

    @property
    def address(self) -> str:
        """HOST:PORT, with the port that was found for 0."""
        return f"{self._config.listen.rpartition(':')[0]}:{self._port}"

    async def start(self, engine: Engine) -> None:
        """Serve ``engine`` from now on."""
        self._engine = engine
        self._memory = SharedMemoryService(self._config.shared_memory_bytes)
        self._correlation = CorrelationService(
            engine,
            self._memory,
            max_message_bytes=self._config.max_message_bytes,
            stream_window=self._config.stream_window,
        )
        self._health = health.aio.HealthServicer()
        self._inference = InferenceService(
            engine,
            Regions(self._config.system_memory_prefixes, max_bytes=self._config.max_message_bytes),
            max_message_bytes=self._config.max_message_bytes,
            stream_window=self._config.stream_window,
        )
        registry = self._interceptor.before(self._server)
        correlation_rpc.add_CorrelationServiceServicer_to_server(self._correlation, registry)  # type: ignore[no-untyped-call]
        template_rpc.add_TemplateServiceServicer_to_server(TemplateService(engine), registry)  # type: ignore[no-untyped-call]
        memory_rpc.add_SharedMemoryServiceServicer_to_server(self._memory, registry)  # type: ignore[no-untyped-call]
        self._inference.register(registry)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for service in (*SERVICES, SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        foreign = renamed([open_inference_pb2.DESCRIPTOR], PACKAGE)
        enable_reflection(self._server, (*SERVICES, SERVICE, health.SERVICE_NAME), foreign)
        await self._server.start()
        for door in self._doors:
            await door.open(engine)
        if not self._config.is_loopback:
            _log.warning("there is no authentication: whoever reaches %s may use the server", self.address)

    async def drain(self, drain_s: float) -> bool:
        """Refuse what is new, end what is in flight within ``drain_s`` seconds, close engine and server.

        False: a launch still computes, or a connection is still open, and is left behind.
        """
        end_s = time.monotonic() + drain_s
        _log.info("draining", extra={"fields": {"drain_s": drain_s}})
        reason = Draining("the server is shutting down")
        self._interceptor.refuse(reason)
        self._correlation.drain(reason)
        self._memory.drain(reason)
        self._inference.drain(reason)
        await self._health.enter_graceful_shutdown()
        is_idle = await _within(drain_s + _LAST_WORDS_S, self._close_engine(drain_s))
        await self._interceptor.finish(max(end_s - time.monotonic(), _LAST_WORDS_S))
        is_closed = await _within(_GOODBYE_S + _LAST_WORDS_S, self._server.stop(_GOODBYE_S))
        self._inference.close()
        for door in self._doors:
            await door.close()
        _log.info("stopped", extra={"fields": {"launch_left": not is_idle, "peer_left": not is_closed}})
        return is_idle and is_closed

    async def _close_engine(self, drain_s: float) -> None:
        """Close the engine in a thread that nobody joins: asyncio would wait for one of its own."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._engine.close(drain_s)
            with suppress(RuntimeError):  # the loop did not wait
                loop.call_soon_threadsafe(closed.set)

        threading.Thread(target=close, name="siamcorr-close", daemon=True).start()
        await closed.wait()


async def _within(timeout_s: float, work: Coroutine[Any, Any, None]) -> bool:
    """Tell whether ``work`` ended in time."""
    try:
        await asyncio.wait_for(work, timeout_s)
    except TimeoutError:
        return False
    return True


def _check_can_bind(config: ServerConfig) -> None:
    """Find out why an address cannot be bound: gRPC says that it cannot, but not why."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _not_bound(config, error) from error
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                reason = error
            else:
                return
    raise _not_bound(config, reason) from reason


def _not_bound(config: ServerConfig, reason: OSError) -> InvalidArgument:
    found = f"{config.listen} ({reason.strerror or reason})"
    return InvalidArgument.found("listen", found, "an address to listen on")
