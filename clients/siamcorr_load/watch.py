"""A thread that looks at the machine again and again while a server is loaded."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Watch"]


class Watch(ABC):
    """Looks from entering to leaving.

    Args:
        name: of the thread.
        pause_s: between one look and the next, in seconds.
    """

    def __init__(self, name: str, pause_s: float = 0.0) -> None:
        """See the class."""
        self._pause_s = pause_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._is_over.set()
        self._thread.join()

    @abstractmethod
    def look(self) -> None:
        """Look once, and keep what was seen."""

    def _watch(self) -> None:
        while not self._is_over.wait(self._pause_s):
            self.look()
