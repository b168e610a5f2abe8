"""Doors beside the gRPC port: they look on at what the server does, and show it to whoever asks.

Each is a package that imports nothing of the others, and is imported only where a setting asks for it: what
it stands on may not be installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from siamcorr import Engine
from siamcorr.errors import InvalidArgument
from siamcorr_server.config import ServerConfig
from siamcorr_server.observers import Observer

__all__ = ["Door", "doors_of"]


class Door(Observer, Protocol):
    """An observer that is open for as long as the server answers."""

    async def open(self, engine: Engine) -> None:
        """Start, once there is an engine.

        Raises:
            InvalidArgument: names the setting: it cannot be opened there.
        """

    async def close(self) -> None:
        """End, and let go of everything. Also if it was never opened."""


def doors_of(config: ServerConfig) -> list[Door]:
    """Return the doors that ``config`` asks for, closed.

    Raises:
        InvalidArgument: names the setting: what it needs is not installed, or says something that is wrong.
    """
    doors: list[Door] = []
    if config.metrics_listen is not None:
        from siamcorr_server.metrics import Metrics  # noqa: PLC0415 - stands on prometheus_client

        doors.append(Metrics(config.metrics_listen))
    if config.dashboard_port is not None:
        from siamcorr_server.dashboard import Dashboard  # noqa: PLC0415 - stands on aiohttp

        doors.append(Dashboard(config.dashboard_port))
    if config.tracing:
        with _extra("tracing"):
            from siamcorr_server.tracing import Tracing  # noqa: PLC0415 - stands on opentelemetry

        doors.append(Tracing.from_environment())
    return doors


@contextmanager
def _extra(setting: str) -> Iterator[None]:
    """Import what the extra named like ``setting`` installs."""
    try:
        yield
    except ModuleNotFoundError as error:
        expected = f"what pip install 'siamcorr[{setting}]' installs"
        raise InvalidArgument.found(setting, f"no package {error.name}", expected) from error
