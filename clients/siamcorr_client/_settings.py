"""What a client is told once, checked, and what that means for its channel.

Rules of the retries, which gRPC does by itself, with pauses of about 0.1, 0.2 and 0.4 s that grow no further
than 1 s:

- RESOURCE_EXHAUSTED is tried again for every call: the server refuses before it does anything.
- UNAVAILABLE is tried again only for the calls that change nothing. When a connection breaks, nobody knows
  whether a template was made or updated on the other side, so those calls fail at once. (What never left this
  machine is sent again for every call: gRPC knows that nothing happened.)
- A server that sends ``grpc-retry-pushback-ms`` decides: after how long, or, below 0, not at all.
- All attempts share the call's one deadline.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from siamcorr.arguments import as_number, is_int
from siamcorr.errors import InvalidArgument

__all__ = ["Headers", "Settings", "as_timeout"]

ChannelOptions = list[tuple[str, str | int]]
Headers: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str]]

_MAX_TIMEOUT_S = 86_400.0
_MAX_ATTEMPTS = 5  # gRPC's own bound
_MAX_MESSAGE_BYTES = 2**31 - 1
_SLOT_BYTES = 8 << 20  # a raw frame of 1920x1080 takes 6 MB
_SLOT_RANGE = (1 << 12, 1 << 30)
_HEADER = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)")
_RECONNECT_MS = {"initial": 100, "min": 1_000, "max": 5_000}
_READS = {
    "siamcorr.v1.CorrelationService": ("Correlate",),
    "siamcorr.v1.TemplateService": ("GetTemplate", "ListTemplates"),
    "siamcorr.v1.SharedMemoryService": ("Attach",),
}
_WRITES = {"siamcorr.v1.TemplateService": ("CreateTemplate", "UpdateTemplate", "DeleteTemplate")}


def as_timeout(timeout_s: float) -> float:
    """Check a timeout in seconds."""
    number = as_number(timeout_s, "timeout_s")
    if not 0 < number <= _MAX_TIMEOUT_S:
        raise InvalidArgument.found("timeout_s", number, f"seconds above 0 and up to {_MAX_TIMEOUT_S:g}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of a client; :class:`~siamcorr_client.Client` says what each means.

    Raises:
        InvalidArgument: names the option.
    """

    target: str
    timeout_s: float
    max_message_bytes: int
    attempts: int
    credentials: grpc.ChannelCredentials | None
    shared_memory: bool | int
    metadata: Headers = field(repr=False)  # it may hold what nobody should read in a log

    def __post_init__(self) -> None:
        """Refuse what gRPC would refuse later, or not at all."""
        target = self.target
        if not isinstance(target, str) or ":" not in target or target.startswith(("http:", "https:")):
            raise InvalidArgument.found("target", repr(self.target)[:80], "HOST:PORT")
        as_timeout(self.timeout_s)
        for name, most in (("max_message_bytes", _MAX_MESSAGE_BYTES), ("attempts", _MAX_ATTEMPTS)):
            value = getattr(self, name)
            if not is_int(value) or not 1 <= value <= most:
                raise InvalidArgument.found(name, repr(value)[:80], f"an integer from 1 to {most}")
        if self.credentials is not None and not isinstance(self.credentials, grpc.ChannelCredentials):
            found = type(self.credentials).__name__
            raise InvalidArgument.found("credentials", found, "grpc.ChannelCredentials or None")
        self._check_shared_memory()
        if not callable(self.metadata):
            _check_headers(self.metadata)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of one call.

        Raises:
            InvalidArgument: ``metadata`` was called for them, and they are not fit to be sent.
        """
        if not callable(self.metadata):
            return self.metadata
        headers = self.metadata()
        _check_headers(headers)
        return headers

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot of shared memory; 0 where there is none."""
        if isinstance(self.shared_memory, bool):
            return _SLOT_BYTES if self.shared_memory else 0
        return -(-self.shared_memory // 64) * 64

    def _check_shared_memory(self) -> None:
        value = self.shared_memory
        least, most = _SLOT_RANGE
        if not isinstance(value, bool) and (not is_int(value) or not least <= value <= most):
            expected = f"True, False, or a slot's bytes from {least} to {most}"
            raise InvalidArgument.found("shared_memory", repr(value)[:80], expected)
        if value and sys.platform != "linux":
            raise InvalidArgument.found("shared_memory", f"a system {sys.platform}", "Linux")

    def channel_options(self) -> ChannelOptions:
        """Return the options of the channel."""
        return [
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            # What is larger than this is sent only once.
            ("grpc.per_rpc_retry_buffer_size", self.max_message_bytes),
            ("grpc.use_local_subchannel_pool", 1),  # each client has its own connection
            *((f"grpc.{name}_reconnect_backoff_ms", value) for name, value in _RECONNECT_MS.items()),
            ("grpc.service_config", json.dumps(self._service_config())),
        ]

    def _service_config(self) -> dict[str, object]:
        if self.attempts == 1:
            return {}
        return {
            "methodConfig": [
                self._retries(_READS, ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]),
                self._retries(_WRITES, ["RESOURCE_EXHAUSTED"]),
            ]
        }

    def _retries(self, methods: Mapping[str, tuple[str, ...]], codes: list[str]) -> dict[str, object]:
        names = [{"service": service, "method": method} for service in methods for method in methods[service]]
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": codes,
        }
        return {"name": names, "retryPolicy": policy}


def _check_headers(headers: object) -> None:
    if not isinstance(headers, Mapping):
        raise InvalidArgument.found("metadata", type(headers).__name__, "a mapping of strings")
    for key, value in headers.items():
        _check_header(key, value)


def _check_header(key: object, value: object) -> None:
    if not isinstance(key, str) or not isinstance(value, str):
        found = f"{type(key).__name__} and {type(value).__name__}"
        raise InvalidArgument.found("metadata", found, "strings")
    if not _HEADER.fullmatch(key):
        expected = "lower case letters, digits, '-', '_' and '.'; not grpc- in front, not -bin behind"
        raise InvalidArgument.found("metadata", f"the key {key!r:.80}", expected)
    if not value.isascii() or not value.isprintable():
        raise InvalidArgument.found("metadata", f"the value of {key!r:.80}", "printable ASCII")
