"""How calls and the engine end: nothing is kept, nobody is left waiting, whoever ends them and wherever."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S, Gate, held
from siamcorr import Engine, EngineSettings
from siamcorr import engine as engine_module
from siamcorr.answers import Response
from siamcorr.arguments import Array
from siamcorr.calls import CorrelateCall, Frame
from siamcorr.checks import correlate_call
from siamcorr.errors import Draining, InternalError, InvalidArgument, QueueFull

Z = np.ones((8, 3, 3), np.float32)
X = np.ones((8, 7, 7), np.float32)
BOX = np.array([[10.0, 10.0, 20.0, 20.0]])


class Watched(np.ndarray[Any, np.dtype[np.float32]]):
    """An array that tells when it is freed."""


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def engine(gate: Gate) -> Iterator[Engine]:
    with Engine(EngineSettings(device="cpu", models={}, max_jobs=8), embedders={"gate": gate}) as engine:
        yield engine
        assert engine.wait_idle(PATIENCE_S)
        engine.check_invariants()
        assert engine.stats().bank.reserved == engine.stats().bank.leased == 0


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def watched() -> tuple[Array, weakref.ref[Array]]:
    features = X.copy().view(Watched)
    return features, weakref.ref(features)


def settle(engine: Engine) -> None:
    """Let the device's thread go on to another batch, so that it has let go of the one before."""
    engine.create_template(Z)


def test_payload_and_answer_are_freed_with_their_last_reference(engine: Engine, no_collection: None) -> None:
    template = engine.create_template(Z)
    features, kept = watched()
    (response,) = engine.submit_correlate(correlate_call([template], features=features)).result(PATIENCE_S)
    assert response.map is not None
    answer = weakref.ref(response)
    del features, response
    settle(engine)
    assert (kept(), answer()) == (None, None)


@pytest.mark.parametrize("end", ["cancelled", "refused", "not planned", "failed"])
def test_a_call_without_an_answer_keeps_nothing_either(
    engine: Engine, gate: Gate, no_collection: None, end: str
) -> None:
    template = engine.create_template(Z)
    features, kept = watched()
    if end == "cancelled":
        with held(engine, gate):
            assert engine.submit_correlate(correlate_call([template], features=features)).cancel()
    elif end == "refused":
        with held(engine, gate):
            waiting = [engine.submit_correlate(correlate_call([template], features=X)) for _ in range(7)]
            with pytest.raises(QueueFull):
                engine.submit_correlate(correlate_call([template], features=features))
        assert all(future.result(PATIENCE_S) for future in waiting)
    elif end == "not planned":
        with pytest.raises(InvalidArgument):
            engine.submit_correlate(correlate_call([template], features=features, tensor="other"))
    else:
        features[0] = np.nan
        with pytest.raises(InvalidArgument):
            engine.correlate([template], features=features)
    del features
    settle(engine)
    assert kept() is None


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_whatever_planning_raises_gives_the_leases_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    template = engine.create_template(Z)
    monkeypatch.setattr(engine_module, "plan_correlate", fail)
    with pytest.raises(type(error)):
        engine.correlate(template, features=X)
    stats = engine.stats()
    assert (stats.requests, stats.bank.leased) == (0, 0)


def test_an_interrupted_wait_takes_its_call_along(
    engine: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    template = engine.create_template(Z)
    monkeypatch.setattr(engine_module, "wait", interrupted)
    with held(engine, gate):
        with pytest.raises(KeyboardInterrupt):
            engine.correlate(template, features=X)
        assert engine.stats().device.waiting == 0


def test_a_launch_that_upsets_the_books_still_answers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = engine._bank.release

    def released_and_failed(*leases: Any) -> None:
        release(*leases)
        raise InternalError("released twice")

    template = engine.create_template(Z)
    monkeypatch.setattr(engine._bank, "release", released_and_failed)
    with pytest.raises(InternalError, match="could not be ended"):
        engine.correlate(template, features=X)
    monkeypatch.undo()
    assert "released twice" in caplog.text
    assert engine.correlate(template, features=X).generation == 1


@pytest.mark.parametrize("timeout_s", [1e300, threading.TIMEOUT_MAX])
def test_a_timeout_may_be_as_long_as_one_likes(engine: Engine, timeout_s: float) -> None:
    template = engine.create_template(Z, timeout_s=timeout_s)
    assert engine.correlate(template, features=X, timeout_s=timeout_s).generation == 1


def test_an_update_that_runs_is_made_though_its_caller_has_gone(engine: Engine, gate: Gate) -> None:
    gate.opened.set()
    (created,) = engine.submit_create(Frame(IMAGE, BOX, "gate")).result(PATIENCE_S)
    gate.opened.clear()
    gate.entered.clear()
    update = engine.submit_update(created.handle, Frame(IMAGE, BOX))
    assert gate.entered.wait(PATIENCE_S)
    assert update.cancel()
    gate.opened.set()
    assert engine.wait_idle(PATIENCE_S)
    assert engine.get_template(created).generation == 2


def test_while_it_drains_the_engine_takes_nothing_new(gate: Gate) -> None:
    engine = Engine(EngineSettings(device="cpu", models={}), embedders={"gate": gate})
    template = engine.create_template(Z)
    call = correlate_call([template], features=X)
    with ThreadPoolExecutor(1) as pool:
        with held(engine, gate):
            waiting = engine.submit_correlate(call)
            closing = pool.submit(engine.close, PATIENCE_S)
            refused = until_refused(engine, call)
        assert len(waiting.result(PATIENCE_S)) == 1
        closing.result(PATIENCE_S)
    assert all(len(future.result(0)) == 1 for future in refused), "those that came before it began"
    assert engine.stats().bank.leased == 0


def until_refused(engine: Engine, call: CorrelateCall) -> list[Future[list[Response]]]:
    """Submit until the engine refuses, and return what it has taken."""
    taken: list[Future[list[Response]]] = []
    while len(taken) < 1000:
        try:
            taken.append(engine.submit_correlate(call))
        except Draining:
            return taken
    raise TimeoutError("a draining engine takes new calls")


def test_an_engine_may_be_closed_by_whoever_hears_an_answer(gate: Gate) -> None:
    engine = Engine(EngineSettings(device="cpu", models={}), embedders={"gate": gate})
    closed = threading.Event()

    def close(_: object) -> None:
        engine.close()
        closed.set()

    template = engine.create_template(Z)
    with held(engine, gate):
        call = correlate_call([template], features=X)
        engine.submit_correlate(call).add_done_callback(close)
        beside = engine.submit_correlate(correlate_call([template], features=X, kind="depthwise"))
    assert closed.wait(PATIENCE_S)
    with pytest.raises(Draining):
        beside.result(PATIENCE_S)
    with pytest.raises(Draining):
        engine.create_template(Z)
    engine.close()
    engine.check_invariants()


def test_a_callback_that_fails_is_the_callers_own_concern(engine: Engine, gate: Gate) -> None:
    def fail(_: object) -> None:
        raise SystemExit

    template = engine.create_template(Z)
    with held(engine, gate):
        future = engine.submit_correlate(correlate_call([template], features=X))
        future.add_done_callback(fail)
        beside = engine.submit_correlate(correlate_call([template], features=X))
    assert len(future.result(PATIENCE_S)) == len(beside.result(PATIENCE_S)) == 1


def test_a_cancelled_call_is_cancelled_for_all_who_wait(engine: Engine, gate: Gate) -> None:
    template = engine.create_template(Z)
    with held(engine, gate), ThreadPoolExecutor(1) as pool:
        future = engine.submit_correlate(correlate_call([template], features=X))
        waiter = pool.submit(future.result, PATIENCE_S)
        assert future.cancel()
        with pytest.raises(CancelledError):
            waiter.result(PATIENCE_S)
