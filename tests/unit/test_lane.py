"""The lane: every ticket is settled once, by whatever way it leaves, and its slot is free by then."""

from __future__ import annotations

import random
import threading
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from siamcorr.batcher import Limits
from siamcorr.errors import DeadlineExceeded, Draining, InternalError, InvalidArgument, QueueFull
from siamcorr.lane import Lane, Ticket

PATIENCE_S = 30.0
LIMITS = Limits(max_jobs=50, max_bytes=1000, max_batch=4)


@dataclass
class Chore:
    name: str
    key: str = "k"
    size: int = 1
    size_bytes: int = 1


class Desk:
    """Settles tickets into a list, and can hold the thread that serves."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, Any]] = []
        self.batches: list[list[str]] = []
        self.opened = threading.Event()
        self.opened.set()
        self.entered = threading.Event()

    def serve(self, chores: Sequence[Chore]) -> list[object]:
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)
        self.batches.append([chore.name for chore in chores])
        if any(chore.name == "bad" for chore in chores):
            raise InvalidArgument("all of it is wrong", field="chore")
        if any(chore.name == "broken" for chore in chores):
            raise ZeroDivisionError
        return [f"{chore.name} done" for chore in chores]

    def settle(self, ticket: Ticket[Chore], outcome: object) -> None:
        self.outcomes.append((ticket.task.name, outcome))

    def ticket(self, name: str, deadline_s: float | None = None, **fields: Any) -> Ticket[Chore]:
        return Ticket(Chore(name, **fields), self.settle, deadline_s)


def lane_of(desk: Desk, now_s: list[float] | None = None, threads: int = 1) -> Lane[Chore]:
    clock = now_s or [0.0]
    return Lane("test", LIMITS, desk.serve, threads=threads, clock=lambda: clock[0])


def hold(lane: Lane[Chore], desk: Desk) -> None:
    desk.opened.clear()
    lane.admit([desk.ticket("holder", key="holder")])
    assert desk.entered.wait(PATIENCE_S)


def test_a_batch_is_served_together_and_each_gets_its_own() -> None:
    desk = Desk()
    lane = lane_of(desk)
    hold(lane, desk)
    lane.admit([desk.ticket(name) for name in "abc"])
    lane.admit([desk.ticket("d", key="other")])
    stats = lane.stats()
    assert (stats.waiting, stats.running, stats.queued_bytes) == (4, 1, 5)
    desk.opened.set()
    lane_ended(lane, desk, 5)
    assert desk.batches == [["holder"], ["a", "b", "c"], ["d"], ["last"]]
    assert dict(desk.outcomes) == {name: f"{name} done" for name in ("holder", "a", "b", "c", "d")}


def lane_ended(lane: Lane[Chore], desk: Desk, count: int) -> None:
    """Wait until ``count`` tickets are settled, then close: closing waits for the thread."""
    last = threading.Event()
    lane.admit([Ticket(Chore("last", key="last"), lambda ticket, outcome: last.set())])
    assert last.wait(PATIENCE_S)
    lane.check_invariants()
    lane.close()
    assert len(desk.outcomes) == count


def test_errors_are_each_tickets_own() -> None:
    desk = Desk()
    lane = lane_of(desk)
    hold(lane, desk)
    lane.admit([desk.ticket("bad"), desk.ticket("a")])
    lane.admit([desk.ticket("broken", key="b"), desk.ticket("c", key="b")])
    desk.opened.set()
    lane_ended(lane, desk, 5)
    errors = dict(desk.outcomes)
    assert isinstance(errors["bad"], InvalidArgument)
    assert isinstance(errors["a"], InvalidArgument)
    assert errors["a"].field == "chore"
    assert errors["bad"] is not errors["a"]
    assert isinstance(errors["broken"], InternalError)
    assert isinstance(errors["c"], InternalError)


def test_what_is_withdrawn_is_not_settled() -> None:
    desk = Desk()
    lane = lane_of(desk)
    hold(lane, desk)
    tickets = [desk.ticket(name) for name in "abc"]
    lane.admit(tickets)
    assert lane.withdraw(tickets[:2]) == 2
    assert lane.withdraw(tickets[:2]) == 0
    assert lane.withdraw([desk.ticket("never admitted")]) == 0
    desk.opened.set()
    lane_ended(lane, desk, 2)
    assert [name for name, _ in desk.outcomes] == ["holder", "c"]


def test_a_late_ticket_is_told_so_and_waiting_is_timed() -> None:
    desk, now_s = Desk(), [10.0]
    lane = lane_of(desk, now_s)
    hold(lane, desk)
    late, patient = desk.ticket("late", deadline_s=12.0), desk.ticket("patient")
    lane.admit([late, patient])
    now_s[0] = 12.5
    desk.opened.set()
    lane_ended(lane, desk, 3)
    outcomes = dict(desk.outcomes)
    assert isinstance(outcomes["late"], DeadlineExceeded)
    assert outcomes["patient"] == "patient done"
    assert patient.waited_s == 2.5


def test_bounds_hold_and_a_closed_lane_refuses() -> None:
    desk = Desk()
    lane = lane_of(desk)
    hold(lane, desk)
    waiting = [desk.ticket(str(n)) for n in range(49)]
    lane.admit(waiting)
    with pytest.raises(QueueFull):
        lane.admit([desk.ticket("x")])
    closer = threading.Thread(target=lane.close)
    closer.start()
    desk.opened.set()
    closer.join(PATIENCE_S)
    assert not closer.is_alive()
    with pytest.raises(Draining):
        lane.admit([desk.ticket("x")])
    assert len(desk.outcomes) == 50
    assert all(isinstance(outcome, Draining | str) for _, outcome in desk.outcomes)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_every_ticket_leaves_once(seed: int) -> None:
    desk = Desk()
    lane = lane_of(desk, threads=3)
    rest = random.Random(seed)
    admitted: list[Ticket[Chore]] = []
    withdrawn = 0

    def press() -> None:
        nonlocal withdrawn
        for _ in range(200):
            name = rest.choice(["a", "b", "bad", "broken"])
            ticket = desk.ticket(name, deadline_s=rest.choice([None, -1.0, 1.0]), key=rest.choice("xyz"))
            try:
                lane.admit([ticket])
            except QueueFull:
                continue
            with lock:
                admitted.append(ticket)
                if rest.random() < 0.3:
                    withdrawn += lane.withdraw([rest.choice(admitted)])

    lock = threading.Lock()
    pressers = [threading.Thread(target=press) for _ in range(4)]
    for presser in pressers:
        presser.start()
    for presser in pressers:
        presser.join(PATIENCE_S)
    lane.close()
    lane.check_invariants()
    assert len(desk.outcomes) == len(admitted) - withdrawn
    assert Counter(type(outcome).__name__ for _, outcome in desk.outcomes).keys() <= {
        "str",
        "InvalidArgument",
        "InternalError",
        "DeadlineExceeded",
        "Draining",
    }


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit()])
def test_a_ticket_that_cannot_be_settled_does_not_stop_the_lane(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    lane = lane_of(desk)

    def fail(*_: object) -> None:
        raise error

    hold(lane, desk)
    lane.admit([Ticket(Chore("unlucky"), fail), desk.ticket("a")])
    lane.admit([Ticket(Chore("late"), fail, deadline_s=-1.0), desk.ticket("b", key="b")])
    desk.opened.set()
    lane_ended(lane, desk, 3)
    assert [name for name, _ in desk.outcomes] == ["holder", "a", "b"]
    assert caplog.text.count("a ticket could not be settled") == 2


@pytest.mark.parametrize("outcomes", [SystemExit(), KeyboardInterrupt(), [], ["one", "two", "three"]])
def test_whatever_serving_does_its_tickets_are_settled_and_the_lane_goes_on(outcomes: Any) -> None:
    desk = Desk()

    def serve(chores: Sequence[Chore]) -> Sequence[object]:
        if chores[0].key != "k":
            return desk.serve(chores)
        if isinstance(outcomes, BaseException):
            raise outcomes
        return list(outcomes)

    lane = Lane("test", LIMITS, serve, threads=1, clock=lambda: 0.0)
    hold(lane, desk)
    lane.admit([desk.ticket("a"), desk.ticket("b")])
    lane.admit([desk.ticket("c", key="c")])
    desk.opened.set()
    lane_ended(lane, desk, 4)
    outcome = dict(desk.outcomes)
    assert isinstance(outcome["a"], InternalError)
    assert isinstance(outcome["b"], InternalError)
    assert outcome["c"] == "c done"


def test_a_lane_may_be_closed_by_whom_it_settles() -> None:
    desk = Desk()
    lane = lane_of(desk, threads=2)
    closed = threading.Event()

    def close(ticket: Ticket[Chore], outcome: object) -> None:
        desk.settle(ticket, outcome)
        lane.close()
        closed.set()

    hold(lane, desk)
    lane.admit([Ticket(Chore("closer"), close), desk.ticket("beside")])
    desk.opened.set()
    assert closed.wait(PATIENCE_S)
    lane.close()
    with pytest.raises(Draining):
        lane.admit([desk.ticket("x")])
    assert {name for name, _ in desk.outcomes} == {"holder", "closer", "beside"}


def test_a_thread_that_sleeps_holds_nothing_of_what_it_has_served() -> None:
    settled = threading.Event()
    lane: Lane[Chore] = Lane("test", LIMITS, lambda chores: [None], threads=1, clock=lambda: 0.0)
    ticket = Ticket(Chore("a"), lambda *_: settled.set())
    held = weakref.ref(ticket.task)
    lane.admit([ticket])
    assert settled.wait(PATIENCE_S)
    lane.close()
    del ticket
    assert held() is None


def test_a_queue_that_fails_closes_its_lane(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    lane = lane_of(desk)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    hold(lane, desk)
    lane.admit([desk.ticket("a", key="other")])
    monkeypatch.setattr(lane._batcher, "done", broken)
    desk.opened.set()
    for thread in lane._threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    outcomes = dict(desk.outcomes)
    assert outcomes["holder"] == "holder done"
    assert isinstance(outcomes["a"], InternalError)
    assert "a queue failed" in caplog.text
    with pytest.raises(Draining):
        lane.admit([desk.ticket("x")])
