"""Whoever looks on: what a server tells metrics, traces and the dashboard of its requests and launches.

Rules:
- Every request that ends is told once: a unary call, or one request of a stream. A stream itself is told of
  only if it fails as a whole.
- An observer costs no answer: what it raises is logged, and no more.
- :meth:`Observer.finished` runs in the event loop, :meth:`Observer.launched` on the device's thread, which
  both wait for it: so they count, and do no work that grows with a payload.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import grpc

from siamcorr.answers import Timings
from siamcorr.tasks import CorrelateTask, TemplateTask

__all__ = ["Finished", "Observer", "Observers"]

_log = logging.getLogger(__name__)


class Finished(NamedTuple):
    """A request that has ended. A tuple, because one is made of every request.

    ``method`` is its full name, ``package.Service/Method``; ``began_s``, ``ended_s`` are monotonic seconds.
    ``pairs`` and ``timings`` are there if it was a correlation that was answered; ``error`` is what it failed
    with, if one is known. ``metadata`` is what the caller sent along.
    """

    method: str
    request_id: str
    code: grpc.StatusCode
    began_s: float
    ended_s: float
    pairs: int = 0
    timings: Timings | None = None
    error: BaseException | None = None
    metadata: Mapping[str, str | bytes] = MappingProxyType({})


class Observer(Protocol):
    """Looks on."""

    def finished(self, request: Finished) -> None:
        """Take note of a request that has ended."""

    def launched(self, tasks: Sequence[CorrelateTask | TemplateTask], outcomes: Sequence[object]) -> None:
        """Take note of a launch: its tasks, and for each a ``Launched``, new templates or an error."""


class Observers:
    """All who look on, as one."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        """Tell each of ``observers``, in their order."""
        self._observers = tuple(observers)

    def __bool__(self) -> bool:
        """Tell whether there is anyone."""
        return bool(self._observers)

    def finished(self, request: Finished) -> None:
        """Tell all of a request that has ended."""
        for observer in self._observers:
            try:
                observer.finished(request)
            except Exception:
                _log.exception("an observer of requests failed")

    def launched(self, tasks: Sequence[CorrelateTask | TemplateTask], outcomes: Sequence[object]) -> None:
        """Tell all of a launch."""
        for observer in self._observers:
            try:
                observer.launched(tasks, outcomes)
            except Exception:
                _log.exception("an observer of launches failed")
