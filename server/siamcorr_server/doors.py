"""Doors beside the gRPC port: they look on at what the server does, and show it to whoever asks.

Each is a package that imports nothing of the others, and is imported only where a setting asks for it: what
it stands on may not be installed.
"""

from __future__ import annotations

from typing import Protocol

from siamcorr import Engine
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
    """Return the doors that ``config`` asks for, closed."""
    del config
    return []
