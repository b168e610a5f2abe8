"""Requests: each ends once, its future is settled and its leases given back, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from typing import Any, cast

import pytest

from siamcorr.answers import Template
from siamcorr.errors import BankFull, Draining, InternalError, QueueFull
from siamcorr.lane import Lane, Ticket
from siamcorr.requests import Request, TemplateRequest

TEMPLATES = [Template(f"tpl_{n}", 1, (), None, 4, 0.0) for n in range(2)]


class Queue:
    """A lane without threads: a test settles by hand."""

    def __init__(self) -> None:
        self.waiting: list[Ticket[Any]] = []
        self.on_admission: Callable[[], object] = lambda: None

    def admit(self, tickets: Sequence[Ticket[Any]]) -> None:
        self.on_admission()
        self.waiting += tickets

    def withdraw(self, tickets: Iterable[Ticket[Any]]) -> int:
        withdrawn = [ticket for ticket in tickets if ticket in self.waiting]
        self.waiting = [ticket for ticket in self.waiting if ticket not in withdrawn]
        return len(withdrawn)

    def settle(self, outcome: object) -> None:
        ticket = self.waiting.pop(0)
        ticket.settle(ticket, outcome)


class Log:
    """The engine's side: who ended, and what was taken back."""

    def __init__(self) -> None:
        self.ended: list[Request[Any]] = []
        self.taken_back: list[Any] = []


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def request_(queue: Queue, log: Log) -> TemplateRequest:
    lane = cast(Lane[Any], queue)
    return TemplateRequest({}, None, lane, log.ended.append, log.taken_back.append)


def launch(request: Request[Any], tasks: int = 1) -> None:
    request.launch(cast(Any, range(tasks)))


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_an_answer_ends_it(queue: Queue, log: Log, request_: TemplateRequest) -> None:
    request_.future.add_done_callback(lambda _: log.taken_back.append(list(log.ended)))
    launch(request_)
    queue.settle(TEMPLATES)
    assert request_.future.result(0) == TEMPLATES
    assert log.ended == [request_]
    assert log.taken_back == [[request_]], "it has left the engine when its caller hears of it"


def test_the_first_error_counts_and_siblings_leave(queue: Queue, log: Log, request_: TemplateRequest) -> None:
    launch(request_, 3)
    running = queue.waiting.pop()
    queue.settle(BankFull("full"))
    assert queue.waiting == []
    assert not log.ended, "one still runs"
    running.settle(running, InternalError("later"))
    assert isinstance(request_.future.exception(0), BankFull)
    assert log.ended == [request_]


def test_cancelled_while_it_waits_it_is_gone_at_once(
    queue: Queue, log: Log, request_: TemplateRequest
) -> None:
    launch(request_, 2)
    assert request_.future.cancel()
    assert queue.waiting == []
    assert log.ended == [request_]


def test_cancelled_while_it_runs_what_came_of_it_is_taken_back(
    queue: Queue, log: Log, request_: TemplateRequest
) -> None:
    launch(request_)
    running = queue.waiting.pop()
    assert request_.future.cancel()
    assert not log.ended
    running.settle(running, TEMPLATES)
    assert log.ended == [request_]
    assert log.taken_back == [TEMPLATES]


@pytest.mark.parametrize("gives_up", ["cancel", "drop"])
def test_given_up_while_it_is_admitted_it_leaves(
    queue: Queue, log: Log, request_: TemplateRequest, gives_up: str
) -> None:
    queue.on_admission = request_.future.cancel if gives_up == "cancel" else request_.drop
    launch(request_, 2)
    assert queue.waiting == []
    assert log.ended == [request_]


def test_a_frame_that_is_cancelled_while_it_is_decoded_goes_no_further(
    queue: Queue, log: Log, request_: TemplateRequest
) -> None:
    frames = Queue()
    request_.prepare(cast(Lane[Any], frames), cast(Any, "frame"))
    decoding = frames.waiting.pop()
    request_.future.cancel()
    decoding.settle(decoding, 0.5)
    assert queue.waiting == []
    assert log.ended == [request_]


def test_a_frame_that_finds_the_device_full_is_refused(
    queue: Queue, log: Log, request_: TemplateRequest
) -> None:
    class Decoded:
        tasks = ("task",)

    frames = Queue()
    request_.prepare(cast(Lane[Any], frames), cast(Any, Decoded))
    queue.on_admission = raising(QueueFull("full", retry_after_s=1.0))
    frames.settle(0.5)
    error = request_.future.exception(0)
    assert isinstance(error, QueueFull)
    assert error.__traceback__ is None, "its frames would keep the payload"
    assert log.ended == [request_]


@pytest.mark.parametrize("error", [QueueFull("full"), Draining("closed"), KeyboardInterrupt()])
def test_what_could_not_be_admitted_is_dropped_once(
    queue: Queue, log: Log, request_: TemplateRequest, error: BaseException
) -> None:
    queue.on_admission = raising(error)
    with pytest.raises(type(error)):
        launch(request_, 2)
    assert not log.ended, "whoever asked hears of it first"
    request_.drop()
    request_.drop()
    assert log.ended == [request_]
    with pytest.raises(CancelledError):
        request_.future.result(0)


def test_dropped_while_it_runs_it_ends_when_that_is_over(
    queue: Queue, log: Log, request_: TemplateRequest
) -> None:
    launch(request_, 2)
    running = queue.waiting.pop()
    request_.drop()
    assert not log.ended
    running.settle(running, TEMPLATES)
    request_.drop()
    assert log.ended == [request_]


def test_an_answer_that_cannot_be_put_together_is_an_error(
    queue: Queue, log: Log, request_: TemplateRequest, caplog: pytest.LogCaptureFixture
) -> None:
    launch(request_)
    queue.settle(7)
    error = request_.future.exception(0)
    assert isinstance(error, InternalError)
    assert "int" not in error.message, "the cause is for the log, not for the caller"
    assert "'int' object is not iterable" in caplog.text
    assert log.ended == [request_]


def test_an_engine_that_cannot_end_it_leaves_no_caller_waiting(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    request = TemplateRequest({}, None, cast(Lane[Any], queue), raising(InternalError("released twice")))
    launch(request)
    queue.settle(TEMPLATES)
    assert isinstance(request.future.exception(0), InternalError)
    assert "released twice" in caplog.text


def test_what_cannot_be_taken_back_holds_nothing_up(queue: Queue, log: Log) -> None:
    lane = cast(Lane[Any], queue)
    request = TemplateRequest({}, None, lane, log.ended.append, raising(InternalError("no")))
    launch(request)
    running = queue.waiting.pop()
    request.future.cancel()
    running.settle(running, TEMPLATES)
    assert log.ended == [request]
