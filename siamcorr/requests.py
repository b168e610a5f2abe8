"""One call on its way through the engine: its leases, its tickets, and the future that its caller holds.

Rules:
- A request ends exactly once, when the last of its tickets has left: answered, refused, or withdrawn because
  its caller gave up or a sibling failed. Nothing of it is left in the engine when its future is done.
- Who cancels the future cancels the request: what waits leaves at once, what runs is not used.
- The first error counts. Later ones, and answers beside it, are dropped.
- The lock is never held while a lane, the engine or the caller is told something.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Generic, TypeVar

from siamcorr.answers import Response, Template, Timings
from siamcorr.errors import Cancelled
from siamcorr.lane import Lane, Ticket
from siamcorr.launch import Launched
from siamcorr.resident import Lease
from siamcorr.tasks import CorrelateTask, PrepareTask, TemplateTask

__all__ = ["CorrelateRequest", "Request", "TemplateRequest"]

T = TypeVar("T")


class Request(ABC, Generic[T]):
    """What all requests have in common."""

    def __init__(
        self,
        leases: Mapping[str, Lease],
        deadline_s: float | None,
        device_lane: Lane[Any],
        on_end: Callable[[Request[Any]], None],
    ) -> None:
        """Start with nothing admitted. ``on_end`` is told once that the request is over."""
        self.future: Future[T] = Future()
        self.leases = leases
        self.prepare_s = 0.0
        self._deadline_s = deadline_s
        self._device_lane = device_lane
        self._on_end = on_end
        self._lock = threading.Lock()
        self._stage: tuple[Lane[Any], Sequence[Ticket[Any]]] = device_lane, ()
        self._left = 0
        self._error: BaseException | None = None
        self.future.add_done_callback(self._on_done)

    def launch(self, tasks: Sequence[CorrelateTask | TemplateTask], waited_s: float = 0.0) -> None:
        """Let ``tasks`` wait for the device.

        Raises:
            QueueFull, InvalidArgument, Draining: nothing was admitted.
        """
        self._enter(self._device_lane, tasks, self._settle, waited_s)

    def prepare(self, lane: Lane[PrepareTask], task: PrepareTask) -> None:
        """Let a frame wait to be decoded in ``lane``, and then its tasks for the device.

        Raises:
            QueueFull, InvalidArgument, Draining: nothing was admitted.
        """
        self._enter(lane, [task], self._settle_prepared, 0.0)

    def _on_done(self, future: Future[T]) -> None:
        if future.cancelled():
            self._fail(Cancelled("the caller gave the request up"))

    def _enter(
        self,
        lane: Lane[Any],
        tasks: Sequence[Any],
        settle: Callable[[Ticket[Any], object], None],
        waited_s: float,
    ) -> None:
        tickets = [Ticket(task, settle, self._deadline_s, waited_s) for task in tasks]
        with self._lock:
            self._stage, self._left = (lane, tickets), len(tickets)
        lane.admit(tickets)
        if self._error is not None:  # cancelled before the tickets were there to be withdrawn
            self._withdraw()

    def _settle_prepared(self, ticket: Ticket[PrepareTask], outcome: object) -> None:
        if not isinstance(outcome, float) or self._error is not None:
            self._leave(outcome)
            return
        self.prepare_s = outcome
        try:
            self.launch(ticket.task.tasks, ticket.waited_s)
        except Exception as error:
            self._end(error)

    def _settle(self, ticket: Ticket[Any], outcome: object) -> None:
        if not isinstance(outcome, BaseException):
            self._take(ticket, outcome)
        self._leave(outcome)

    def _leave(self, outcome: object, tickets: int = 1) -> None:
        if isinstance(outcome, BaseException):
            self._fail(outcome)
        with self._lock:
            self._left -= tickets
            if self._left:
                return
        self._end(None)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
        self._withdraw()

    def _withdraw(self) -> None:
        with self._lock:
            lane, tickets = self._stage
        if withdrawn := lane.withdraw(tickets):
            self._leave(None, withdrawn)

    def _end(self, error: BaseException | None) -> None:
        error = self._error or error
        abandoned = not self.future.set_running_or_notify_cancel()
        if abandoned:
            self._undo()
        self._on_end(self)
        if abandoned:
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self._result())

    @abstractmethod
    def _take(self, ticket: Ticket[Any], outcome: Any) -> None:
        """Keep what came of one ticket."""

    @abstractmethod
    def _result(self) -> T:
        """Return the answer, once all tickets gave theirs."""

    @abstractmethod
    def _undo(self) -> None:
        """Take back what was done for a caller who has gone."""


class CorrelateRequest(Request[list[Response]]):
    """Gathers the responses of one call from its launches."""

    _launched: tuple[Launched, ...] = ()
    _timings: Timings | None = None

    def _take(self, ticket: Ticket[CorrelateTask], outcome: Launched) -> None:
        timings = replace(outcome.timings, queue_s=ticket.waited_s)
        with self._lock:
            self._launched = (*self._launched, outcome)
            self._timings = timings if self._timings is None else self._timings.then(timings)

    def _result(self) -> list[Response]:
        timings = replace(self._timings or Timings(), prepare_s=self.prepare_s)
        responses = dict(pair for launched in self._launched for pair in launched.responses(timings))
        return [responses[slot] for slot in range(len(responses))]

    def _undo(self) -> None:
        pass


class TemplateRequest(Request[list[Template]]):
    """Has templates made, or one updated; ``forget`` deletes new ones whose caller has gone."""

    def __init__(
        self,
        leases: Mapping[str, Lease],
        deadline_s: float | None,
        device_lane: Lane[Any],
        on_end: Callable[[Request[Any]], None],
        forget: Callable[[str], None] | None = None,
    ) -> None:
        """Start with nothing admitted."""
        super().__init__(leases, deadline_s, device_lane, on_end)
        self._forget = forget
        self._templates: Sequence[Template] = ()

    def _take(self, ticket: Ticket[TemplateTask], outcome: list[Template]) -> None:
        self._templates = outcome

    def _result(self) -> list[Template]:
        return list(self._templates)

    def _undo(self) -> None:
        for template in self._templates:
            if self._forget is not None:
                self._forget(template.handle)
