"""A queue and the threads that serve it: the batcher's decisions, carried out.

Rules:
- A ticket that was admitted is settled exactly once: with what its task gave, or with an error. Only one that
  was withdrawn is not settled: whoever withdrew it knows.
- Its slot in the queue is free before it is settled.
- The lock is held for decisions only: never while tickets are served or settled, so both may call back, and
  may even close the lane.
- Threads sleep until a ticket comes. Nothing polls. A thread that sleeps holds nothing of what it has served.
- No thread ends before its lane is closed: what fails is logged. Should the queue itself fail, which is a
  fault of ours, the lane closes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from siamcorr.batcher import Batcher, Job, Limits
from siamcorr.errors import DeadlineExceeded, Draining, InternalError, SiamcorrError

__all__ = ["Lane", "LaneStats", "Task", "Ticket"]

_log = logging.getLogger(__name__)


class Task(Protocol):
    """What a queue has to know of its work."""

    @property
    def key(self) -> Hashable:
        """Tasks of equal keys may be served together."""

    @property
    def size(self) -> int:
        """How much of a batch it takes."""

    @property
    def size_bytes(self) -> int:
        """Bytes that it holds until it is settled."""


T = TypeVar("T", bound=Task)


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """A task's place in the queue; ``settle`` takes its result or error, on the lane's thread.

    ``deadline_s`` is a moment in monotonic seconds, or None; ``waited_s`` the time until it is served, which
    ``has_begun`` says.
    """

    task: T
    settle: Callable[[Ticket[T], object], None]
    deadline_s: float | None = None
    waited_s: float = 0.0
    id: int = -1
    admitted_s: float = 0.0
    has_begun: bool = False


@dataclass(frozen=True, slots=True)
class LaneStats:
    """What waits and runs, its bytes, and how many batches of how much in all were served since the start.

    ``oldest_s`` is how long the one at the head of the queue has waited by now, in seconds; 0 for none.
    """

    waiting: int
    running: int
    queued_bytes: int
    batches: int
    served: int
    oldest_s: float


class Lane(Generic[T]):
    """A bounded queue of tickets, served in batches by ``threads`` threads."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        serve: Callable[[Sequence[T]], Sequence[object]],
        *,
        threads: int,
        clock: Callable[[], float],
    ) -> None:
        """Start the threads. ``serve`` returns a result or an error for each task of a batch."""
        self._batcher = Batcher(limits)
        self._serve = serve
        self._clock = clock
        self._tickets: dict[int, Ticket[T]] = {}
        self._ids = count()
        self._changed = threading.Condition()
        self._closed = False
        self._batches = self._served = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"siamcorr-{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def admit(self, tickets: Sequence[Ticket[T]]) -> None:
        """Let tickets wait, all of them or none.

        Raises:
            QueueFull: a bound is reached.
            InvalidArgument: they alone are over a bound.
            Draining: the lane is closed.
        """
        with self._changed:
            if self._closed:
                raise Draining("the engine is shutting down")
            now_s = self._clock()
            for ticket in tickets:
                ticket.id, ticket.admitted_s = next(self._ids), now_s
            self._batcher.admit([_job(ticket) for ticket in tickets], now_s)
            self._tickets |= {ticket.id: ticket for ticket in tickets}
            self._changed.notify(len(tickets))

    def withdraw(self, tickets: Iterable[Ticket[T]]) -> int:
        """Take those of ``tickets`` back that still wait, and count them. They are not settled."""
        with self._changed:
            return sum(self._remove(ticket) for ticket in tickets)

    def close(self) -> None:
        """Settle what waits with Draining, wait for what runs, and end the threads.

        Called by one of the threads, as ``settle`` may, it does not wait for that one.
        """
        self._refuse(Draining("the engine is shutting down"))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def stats(self) -> LaneStats:
        """Count everything, at this moment."""
        with self._changed:
            waits_since_s = (ticket.admitted_s for ticket in self._tickets.values() if not ticket.has_begun)
            now_s = self._clock()
            return LaneStats(
                waiting=self._batcher.waiting,
                running=self._batcher.running,
                queued_bytes=self._batcher.queued_bytes,
                batches=self._batches,
                served=self._served,
                oldest_s=now_s - next(waits_since_s, now_s),
            )

    def check_invariants(self) -> None:
        """Raise InternalError if the queue and its tickets disagree."""
        with self._changed:
            self._batcher.check_invariants()
            if len(self._tickets) != self._batcher.waiting + self._batcher.running:
                raise InternalError(
                    f"lane: {len(self._tickets)} tickets for {self._batcher.waiting} waiting jobs"
                )

    def _work(self) -> None:
        try:
            while self._work_once():
                pass
        except BaseException:
            _log.critical("a queue failed", exc_info=True)
            self._refuse(InternalError("the queue failed; the log has the cause"))

    def _work_once(self) -> bool:
        """Serve the next batch. False: there will be none. What was served is let go of when it returns."""
        taken = self._next()
        if taken is None:
            return False
        running, expired = taken
        for ticket in expired:
            late_s = self._clock() - ticket.admitted_s
            _settle(ticket, DeadlineExceeded(f"deadline passed after {late_s:.3f} s in the queue"))
        if running:
            self._serve_and_settle(running)
        return True

    def _next(self) -> tuple[list[Ticket[T]], list[Ticket[T]]] | None:
        with self._changed:
            while (batch := self._batcher.take(self._clock())) is None:
                if self._closed:
                    return None
                self._changed.wait()
            now_s = self._clock()
            running = [self._tickets[job.id] for job in batch.jobs]
            for ticket in running:
                ticket.waited_s += now_s - ticket.admitted_s
                ticket.has_begun = True
            return running, [self._tickets.pop(job.id) for job in batch.expired]

    def _serve_and_settle(self, tickets: Sequence[Ticket[T]]) -> None:
        tasks = [ticket.task for ticket in tickets]
        outcomes = self._outcomes(tasks)
        try:
            with self._changed:
                self._batcher.done([ticket.id for ticket in tickets], self._clock())
                for ticket in tickets:
                    del self._tickets[ticket.id]
                self._batches += 1
                self._served += sum(task.size for task in tasks)
        finally:
            for ticket, outcome in zip(tickets, outcomes, strict=True):
                _settle(ticket, outcome)

    def _outcomes(self, tasks: Sequence[T]) -> Sequence[object]:
        try:
            try:
                outcomes = self._serve(tasks)
            except SiamcorrError as error:
                return [copy(error) for _ in tasks]  # each is raised, and collects its own traceback
            if len(outcomes) == len(tasks):
                return outcomes
            raise InternalError(f"{len(outcomes)} outcomes of {len(tasks)} tasks")  # noqa: TRY301 - see below
        except BaseException:  # even one that is meant to end the thread: others wait for it
            _log.exception("a batch of %d failed", len(tasks))
            return [InternalError("the batch failed; the log has the cause") for _ in tasks]

    def _refuse(self, error: SiamcorrError) -> None:
        """Take no more tickets, and settle those that wait."""
        with self._changed:
            self._closed = True
            waiting = [ticket for ticket in list(self._tickets.values()) if self._remove(ticket)]
            self._changed.notify_all()
        for ticket in waiting:
            _settle(ticket, copy(error))

    def _remove(self, ticket: Ticket[T]) -> bool:
        return self._batcher.cancel(ticket.id) and self._tickets.pop(ticket.id) is ticket


def _settle(ticket: Ticket[Any], outcome: object) -> None:
    try:
        ticket.settle(ticket, outcome)
    except BaseException:  # its owner's fault, and not the concern of the other tickets
        _log.exception("a ticket could not be settled")


def _job(ticket: Ticket[T]) -> Job:
    task = ticket.task
    return Job(ticket.id, task.key, task.size, task.size_bytes, ticket.deadline_s)
