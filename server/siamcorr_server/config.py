"""The settings of a server: those of its engine, and those of the network. They import nothing heavy."""

from __future__ import annotations

import ipaddress
import re
import sys
from dataclasses import dataclass, field

from siamcorr.arguments import as_count, as_number, is_int
from siamcorr.errors import InvalidArgument
from siamcorr.settings import EngineSettings
from siamcorr_server.logs import LOG_FORMATS, LOG_LEVELS, LogFormat

__all__ = ["ServerConfig", "host_and_port"]

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):(?P<port>\d{1,5})")
_PREFIX = re.compile(r"/[A-Za-z0-9_.-]{1,255}")
_MOST_MESSAGE_BYTES = (1 << 31) - 1  # the wire format's own limit
_MOST_SHARED_BYTES = 1 << 44
_MOST_DRAIN_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a server listens on, holds and logs.

    Attributes:
        listen: HOST:PORT; an IPv6 host in brackets. Port 0 is any free one.
        engine: what the engine may use.
        max_message_bytes: bound of one message, in either direction. gRPC itself refuses a larger request,
            with RESOURCE_EXHAUSTED and without our details.
        shared_memory_bytes: what all slots of memory shared with clients of this host may hold; 0 is off.
            Only on Linux, and only where nobody else can reach the server.
        system_memory_prefixes: what names of shared memory begin with that clients of the Open Inference
            Protocol may have opened; none is off. On Linux, where nobody else can reach the server.
        drain_s: seconds that calls in flight have to end when the server is told to stop.
        stream_window: requests of one stream that are in flight at most.
        metrics_listen: HOST:PORT where Prometheus finds the metrics; None is nowhere.
        tracing: whether to trace requests; OpenTelemetry's ``OTEL_*`` variables say where to.
        dashboard_port: where the dashboard's page is, on 127.0.0.1; 0 is any free port, None is off.
        threads: CPU threads that torch computes one operator with. Trackers' operators are small: a second
            thread gains little where it has a core to itself, and costs much where it has to wait for one.
        log_format: ``text`` or ``json``.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.

    Raises:
        InvalidArgument: names the setting.

    >>> ServerConfig(listen="[::1]:50051").host, ServerConfig(listen="localhost:0").port
    ('::1', 0)
    >>> ServerConfig(listen="localhost")
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: listen: found 'localhost', expected HOST:PORT with a port from 0 to 65535
    """

    listen: str = "127.0.0.1:50051"
    engine: EngineSettings = field(default_factory=EngineSettings)
    max_message_bytes: int = 64 << 20
    shared_memory_bytes: int = 0
    system_memory_prefixes: tuple[str, ...] = ()
    drain_s: float = 10.0
    stream_window: int = 64
    metrics_listen: str | None = None
    tracing: bool = False
    dashboard_port: int | None = None
    threads: int = 1
    log_format: LogFormat = "text"
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        host_and_port(self.listen, "listen")
        if self.metrics_listen is not None:
            host_and_port(self.metrics_listen, "metrics_listen")
        as_count(self.max_message_bytes, "max_message_bytes", most=_MOST_MESSAGE_BYTES)
        if self.shared_memory_bytes != 0:
            as_count(self.shared_memory_bytes, "shared_memory_bytes", most=_MOST_SHARED_BYTES)
            self._check_can_share("shared_memory_bytes")
        if self.system_memory_prefixes != ():
            self._check_prefixes()
            self._check_can_share("system_memory_prefixes")
        as_count(self.stream_window, "stream_window", most=4096)
        if not isinstance(self.tracing, bool):
            raise InvalidArgument.found("tracing", repr(self.tracing)[:80], "True or False")
        if self.dashboard_port is not None and not (
            is_int(self.dashboard_port) and 0 <= self.dashboard_port <= 0xFFFF
        ):
            found_port = repr(self.dashboard_port)[:80]
            raise InvalidArgument.found("dashboard_port", found_port, "a port from 0 to 65535")
        as_count(self.threads, "threads", most=1024)
        if not 0 <= as_number(self.drain_s, "drain_s") <= _MOST_DRAIN_S:
            raise InvalidArgument.found("drain_s", self.drain_s, f"seconds from 0 to {_MOST_DRAIN_S:g}")
        for name, allowed in (("log_format", LOG_FORMATS), ("log_level", LOG_LEVELS)):
            if getattr(self, name) not in allowed:
                found_value = repr(getattr(self, name))[:80]
                raise InvalidArgument.found(name, found_value, f"one of {', '.join(allowed)}")

    def _check_can_share(self, setting: str) -> None:
        if sys.platform != "linux":
            raise InvalidArgument.found(setting, f"a system {sys.platform}", "Linux")
        if not self.is_loopback:
            found = f"memory to share while listening on {self.host}"
            raise InvalidArgument.found(setting, found, "a loopback address: 127.0.0.1")

    def _check_prefixes(self) -> None:
        object.__setattr__(self, "system_memory_prefixes", tuple(self.system_memory_prefixes))
        for prefix in self.system_memory_prefixes:
            if not isinstance(prefix, str) or _PREFIX.fullmatch(prefix) is None:
                expected = "'/' and one or more of A-Z a-z 0-9 _ . -"
                raise InvalidArgument.found("system_memory_prefixes", repr(prefix)[:80], expected)

    @property
    def host(self) -> str:
        """The host to listen on, without brackets."""
        return host_and_port(self.listen, "listen")[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 is any free one."""
        return host_and_port(self.listen, "listen")[1]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server.

        >>> ServerConfig(listen="127.0.0.1:0").is_loopback, ServerConfig(listen="0.0.0.0:0").is_loopback
        (True, False)
        """
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def host_and_port(address: str, field: str) -> tuple[str, int]:
    """Take HOST:PORT apart, an IPv6 host out of its brackets.

    Raises:
        InvalidArgument: names ``field``.

    >>> host_and_port("[::1]:9464", "metrics_listen")
    ('::1', 9464)
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > 0xFFFF:
        raise InvalidArgument.found(field, repr(address)[:80], "HOST:PORT with a port from 0 to 65535")
    return found["host"].strip("[]"), int(found["port"])
