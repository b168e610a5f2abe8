"""The settings of a server: those of its engine, and those of the network. They import nothing heavy."""

from __future__ import annotations

import ipaddress
import re
import sys
from dataclasses import dataclass, field

from siamcorr.arguments import as_count, as_number
from siamcorr.errors import InvalidArgument
from siamcorr.settings import EngineSettings
from siamcorr_server.logs import LOG_FORMATS, LOG_LEVELS, LogFormat

__all__ = ["ServerConfig"]

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):(?P<port>\d{1,5})")
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
        shared_memory_bytes: what all memory that is shared with clients of this host may take; 0 is off.
            Only on Linux, and only where nobody else can reach the server.
        drain_s: seconds that calls in flight have to end when the server is told to stop.
        stream_window: requests of one stream that are in flight at most.
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
    drain_s: float = 10.0
    stream_window: int = 64
    threads: int = 1
    log_format: LogFormat = "text"
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        found = _ADDRESS.fullmatch(self.listen)
        if found is None or int(found["port"]) > 0xFFFF:
            expected = "HOST:PORT with a port from 0 to 65535"
            raise InvalidArgument.found("listen", repr(self.listen)[:80], expected)
        as_count(self.max_message_bytes, "max_message_bytes", most=_MOST_MESSAGE_BYTES)
        if self.shared_memory_bytes != 0:
            self._check_shared_memory()
        as_count(self.stream_window, "stream_window", most=4096)
        as_count(self.threads, "threads", most=1024)
        if not 0 <= as_number(self.drain_s, "drain_s") <= _MOST_DRAIN_S:
            raise InvalidArgument.found("drain_s", self.drain_s, f"seconds from 0 to {_MOST_DRAIN_S:g}")
        for name, allowed in (("log_format", LOG_FORMATS), ("log_level", LOG_LEVELS)):
            if getattr(self, name) not in allowed:
                found_value = repr(getattr(self, name))[:80]
                raise InvalidArgument.found(name, found_value, f"one of {', '.join(allowed)}")

    def _check_shared_memory(self) -> None:
        as_count(self.shared_memory_bytes, "shared_memory_bytes", most=_MOST_SHARED_BYTES)
        if sys.platform != "linux":
            raise InvalidArgument.found("shared_memory_bytes", f"a system {sys.platform}", "Linux")
        if not self.is_loopback:
            found = f"memory to share while listening on {self.host}"
            raise InvalidArgument.found("shared_memory_bytes", found, "a loopback address: 127.0.0.1")

    @property
    def host(self) -> str:
        """The host to listen on, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 is any free one."""
        return int(self.listen.rpartition(":")[2])

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
