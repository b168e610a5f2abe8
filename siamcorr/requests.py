"""One call on its way through the engine: its leases, its tickets, and the future that its caller holds.

Rules:
- A request ends exactly once, when the last of its tickets has left: answered, refused, or withdrawn because
  its caller gave up or a sibling failed. Nothing of it is left in the engine when its future is done.
- Its future is settled whatever fails on the way: at the worst with InternalError, and the cause in the log.
- Who cancels the future cancels the request: what waits leaves at once, what runs is not used.
- The first error counts. Later ones, and answers beside it, are dropped.
- The lock is never held while a lane, the engine or the caller is told something.
- Its payload is freed with the last reference to it, not at some later garbage collection: a future does not
  hold its request, and a request that has ended no tickets.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial, reduce
from itertools import chain
from typing import Any, Generic, TypeVar, cast
from weakref import ref

from siamcorr.answers import Response, Template, Timings
from siamcorr.errors import Cancelled, InternalError
from siamcorr.lane import Lane, Ticket
from siamcorr.launch import Launched
from siamcorr.resident import Lease
from siamcorr.tasks import CorrelateTask, PrepareTask, TemplateTask

__all__ = ["CorrelateRequest", "Request", "TemplateRequest"]

_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class Request(ABC, Generic[T]):
    """What all requests have in common."""

    def __init__(
        self,
        leases: Mapping[str, Lease],
        deadline_s: float | None,
        device_lane: Lane[Any],
        on_end: Callable[[Request[Any]], None],
        take_back: Callable[[Any], None] | None = None,
    ) -> None:
        """Start with nothing admitted.

        Args:
            leases: what it holds until it ends.
            deadline_s: when its answer is of no use any more, in monotonic seconds; or None.
            device_lane: where it is computed.
            on_end: told once that it is over.
            take_back: told each ticket's outcome when the caller has gone.
        """
        self.future: Future[T] = Future()
        self.leases = leases
        self.prepare_s = 0.0
        self._deadline_s = deadline_s
        self._device_lane = device_lane
        self._on_end = on_end
        self._take_back = take_back
        self._lock = threading.Lock()
        self._stage: tuple[Lane[Any], Sequence[Ticket[Any]]] = device_lane, ()
        self._left = 0
        self._outcomes: list[
            tuple[float, Any]
        ] = []  # of each ticket: how long it waited, and what came of it
        self._error: BaseException | None = None
        self._ended = False
        _fail_when_cancelled(self.future, self)

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

    def drop(self) -> None:
        """End a request whose caller never got its future, whatever of it was admitted."""
        self.future.cancel()
        if self._left <= 0:
            self._end()

    def fail(self, error: BaseException) -> None:
        """Answer with ``error``, unless there is one already, as soon as nothing of it runs any more."""
        with self._lock:
            if self._error is None:
                self._error = error
        self._withdraw()

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
        try:
            lane.admit(tickets)
        except BaseException:
            with self._lock:
                self._left = 0
            raise
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
            self.fail(error.with_traceback(None))  # its frames hold the request
            self._end()

    def _settle(self, ticket: Ticket[Any], outcome: object) -> None:
        if not isinstance(outcome, BaseException):
            with self._lock:
                self._outcomes.append((ticket.waited_s, outcome))
        self._leave(outcome)

    def _leave(self, outcome: object, tickets: int = 1) -> None:
        if isinstance(outcome, BaseException):
            self.fail(outcome)
        with self._lock:
            self._left -= tickets
            if self._left:
                return
        self._end()

    def _withdraw(self) -> None:
        with self._lock:
            lane, tickets = self._stage
        if withdrawn := lane.withdraw(tickets):
            self._leave(None, withdrawn)

    def _end(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._stage = self._device_lane, ()
        is_awaited = self.future.set_running_or_notify_cancel()
        answer = None
        if not is_awaited:
            self._try(self._undo)
        elif self._error is None:
            answer = self._try(self._answer)
        self._try(partial(self._on_end, self))
        if is_awaited and self._error is None:
            self.future.set_result(cast(T, answer))
        elif is_awaited:
            self.future.set_exception(self._error)

    def _undo(self) -> None:
        if self._take_back is not None:
            for _, outcome in self._outcomes:
                self._take_back(outcome)

    def _try(self, step: Callable[[], R]) -> R | None:
        try:
            return step()
        except Exception:
            _log.exception("a request could not be ended")
            self._error = InternalError("the request could not be ended; the log has the cause")
            return None

    @abstractmethod
    def _answer(self) -> T:
        """Return the answer, once all tickets gave theirs."""


class CorrelateRequest(Request[list[Response]]):
    """Gathers the responses of one call from its launches."""

    def _answer(self) -> list[Response]:
        launched: list[Launched] = [outcome for _, outcome in self._outcomes]
        waited_s = max(waited_s for waited_s, _ in self._outcomes)
        worked = reduce(Timings.then, (one.timings for one in launched))
        timings = replace(worked, queue_s=waited_s, prepare_s=self.prepare_s)
        responses = dict(chain.from_iterable(one.responses(timings) for one in launched))
        return [responses[slot] for slot in range(len(responses))]


class TemplateRequest(Request[list[Template]]):
    """Has templates made, or one updated."""

    def _answer(self) -> list[Template]:
        ((_, templates),) = self._outcomes
        return list(templates)


def _fail_when_cancelled(future: Future[Any], request: Request[Any]) -> None:
    weak = ref(request)

    def fail(future: Future[Any]) -> None:
        request = weak()
        if request is not None and future.cancelled():
            request.fail(Cancelled("the caller gave the request up"))

    future.add_done_callback(fail)
