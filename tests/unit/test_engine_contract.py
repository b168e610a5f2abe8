"""The concurrency contract, with the device held so that nothing is left to timing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S, Gate, held
from siamcorr import Engine, EngineSettings
from siamcorr.answers import Response
from siamcorr.calls import Frame
from siamcorr.checks import correlate_call
from siamcorr.errors import DeadlineExceeded, Draining, InternalError, InvalidArgument, QueueFull

RANDOM = np.random.default_rng(1)
Z = RANDOM.standard_normal((8, 3, 3), np.float32)
X = RANDOM.standard_normal((8, 7, 7), np.float32)
KINDS: list[dict[str, Any]] = [
    {"kind": "naive"},
    {"kind": "depthwise"},
    {"kind": "pixelwise"},
    {"kind": "groupwise", "groups": 2, "sum_channels": True},
    {"kind": "naive", "padding": 1},
    {"kind": "naive", "output": "peaks"},
]


class Clock:
    """Monotonic seconds that pass when a test says so."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(gate: Gate, clock: Clock) -> Iterator[Engine]:
    settings = EngineSettings(device="cpu", models={}, max_jobs=100, ttl_s=None)
    with Engine(settings, embedders={"gate": gate}, clock=clock) as engine:
        yield engine
        assert engine.wait_idle(PATIENCE_S)
        engine.check_invariants()
        stats = engine.stats()
        assert (stats.device.waiting, stats.device.running, stats.device.queued_bytes) == (0, 0, 0)


def submit(
    engine: Engine, template: Any, deadline_s: float | None = None, **options: Any
) -> Future[list[Response]]:
    return engine.submit_correlate(correlate_call(template, **({"features": X} | options)), deadline_s)


def test_sixty_four_jobs_of_six_keys_run_in_six_launches(engine: Engine, gate: Gate) -> None:
    templates = [engine.create_template(Z * (1 + n)) for n in range(64)]
    alone = [engine.correlate(one, features=X + n, **KINDS[n % 6]) for n, one in enumerate(templates)]
    order = list(range(64))
    random.Random(2).shuffle(order)
    before = engine.stats().device.batches
    with held(engine, gate):
        futures = {n: submit(engine, templates[n], features=X + n, **KINDS[n % 6]) for n in order}
        assert engine.stats().device.waiting == 64
    for n, future in futures.items():
        (response,) = future.result(PATIENCE_S)
        assert response.template == templates[n].handle
        np.testing.assert_array_equal(response.map, alone[n].map)
        assert response.peaks == alone[n].peaks
        assert response.timings.batch_pairs in {10, 11}
    assert engine.stats().device.batches == before + 1 + 6, "the holder and six launches"


def test_a_cancelled_job_leaves_before_the_launch(engine: Engine, gate: Gate) -> None:
    template = engine.create_template(Z)
    with held(engine, gate):
        futures = [submit(engine, template) for _ in range(8)]
        for future in futures[::2]:
            assert future.cancel()
        stats = engine.stats()
        assert stats.device.waiting == 4
        assert stats.requests == 4 + 1, "the holder is one"
    for future in futures[::2]:
        with pytest.raises(CancelledError):
            future.result(0)
    for future in futures[1::2]:
        assert future.result(PATIENCE_S)[0].timings.batch_pairs == 4


def test_cancelling_what_runs_or_is_done_upsets_nothing(engine: Engine, gate: Gate) -> None:
    template = engine.create_template(Z)
    done = submit(engine, template)
    done.result(PATIENCE_S)
    assert not done.cancel()
    before = engine.stats().bank.templates
    with held(engine, gate):
        pass
    gate.opened.clear()
    gate.entered.clear()
    running = engine.submit_create(Frame(IMAGE, np.array([[10.0, 10, 20, 20]] * 3), "gate"))
    assert gate.entered.wait(PATIENCE_S)
    assert running.cancel()
    gate.opened.set()
    assert engine.wait_idle(PATIENCE_S)
    assert engine.stats().bank.templates == before, "nobody knows the handles of the new ones"


def test_a_job_past_its_deadline_leaves_before_the_launch(engine: Engine, gate: Gate, clock: Clock) -> None:
    template = engine.create_template(Z)
    with held(engine, gate):
        late = submit(engine, template, clock.now_s + 5)
        in_time = submit(engine, template, clock.now_s + 9)
        clock.now_s += 7
    with pytest.raises(DeadlineExceeded, match=r"after 7\.000 s"):
        late.result(PATIENCE_S)
    assert in_time.result(PATIENCE_S)[0].timings.batch_pairs == 1
    with pytest.raises(DeadlineExceeded):
        submit(engine, template, clock.now_s).result(PATIENCE_S)


def test_a_caller_that_stops_waiting_takes_its_job_along(engine: Engine, gate: Gate) -> None:
    template = engine.create_template(Z)
    with held(engine, gate):
        with pytest.raises(DeadlineExceeded, match="no answer within 1e-06 s"):
            engine.correlate(template, features=X, timeout_s=1e-6)
        assert engine.stats().device.waiting == 0


def test_a_template_in_use_outlives_its_deletion_and_update(engine: Engine, gate: Gate) -> None:
    deleted, updated = engine.create_template(Z), engine.create_template(Z)
    expected = engine.correlate(deleted, features=X).map
    with held(engine, gate):
        futures = [submit(engine, one) for one in (deleted, updated)]
        engine.delete_template(deleted)
        update = engine.submit_update(updated.handle, {"features": -Z})
        stats = engine.stats().bank
        assert (stats.templates, stats.leased) == (1, 1)
    for future in futures:
        (response,) = future.result(PATIENCE_S)
        assert response.generation == 1
        np.testing.assert_array_equal(response.map, expected)
    assert update.result(PATIENCE_S)[0].generation == 2
    assert engine.correlate(updated, features=X).generation == 2


def test_blends_of_one_template_follow_one_another(engine: Engine, gate: Gate) -> None:
    template = engine.create_template(np.zeros_like(Z))
    with held(engine, gate):
        updates = [
            engine.submit_update(template.handle, {"features": np.ones_like(Z)}, 0.5) for _ in range(6)
        ]
    assert [update.result(PATIENCE_S)[0].generation for update in updates] == [2, 3, 4, 5, 6, 7]
    response = engine.correlate(template, features=np.ones((8, 3, 3), np.float32))
    assert response.map is not None
    assert response.map.item() == pytest.approx(Z.size * (1 - 0.5**6))


def test_what_is_not_finite_fails_alone(engine: Engine, gate: Gate) -> None:
    template = engine.create_template(Z)
    alone = engine.correlate(template, features=X).map
    poisoned = np.where(X > 1, np.nan, X)
    with held(engine, gate):
        good = [submit(engine, template) for _ in range(3)]
        bad = submit(engine, template, features=poisoned)
        good.append(submit(engine, template))
    with pytest.raises(InvalidArgument, match="features: found NaN"):
        bad.result(PATIENCE_S)
    for future in good:
        np.testing.assert_array_equal(future.result(PATIENCE_S)[0].map, alone)


def test_a_failed_batch_fails_only_its_members(
    engine: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    template = engine.create_template(Z)
    compute = engine._device._serve

    def broken(tasks: Any) -> Any:
        if getattr(tasks[0].key, "correlation", None) and tasks[0].key.correlation.kind == "depthwise":
            raise RuntimeError("out of memory at 0x1234")
        return compute(tasks)

    monkeypatch.setattr(engine._device, "_serve", broken)
    with held(engine, gate):
        failed = [submit(engine, template, kind="depthwise") for _ in range(2)]
        good = submit(engine, template)
    errors = [future.exception(PATIENCE_S) for future in failed]
    assert all(isinstance(error, InternalError) for error in errors)
    assert errors[0] is not errors[1]
    assert "0x1234" not in str(errors[0]), "the cause is for the log, not for the caller"
    assert "0x1234" in caplog.text
    assert len(good.result(PATIENCE_S)) == 1


def test_a_full_queue_refuses_whole_requests(engine: Engine, gate: Gate) -> None:
    templates = [engine.create_template(RANDOM.standard_normal((8, n, 3), np.float32)) for n in (1, 2, 3)]
    with held(engine, gate):
        waiting = [submit(engine, templates[0]) for _ in range(97)]
        with pytest.raises(QueueFull) as error:
            submit(engine, templates, features=np.stack([X] * 3))  # three forms are three jobs: 1 + 97 + 3
        assert error.value.retry_after_s is not None
        assert engine.stats().device.waiting == 97
        assert engine.stats().bank.leased == 1
        waiting.append(submit(engine, templates[0]))
    assert all(future.result(PATIENCE_S) for future in waiting)


def test_closing_ends_what_waits(gate: Gate) -> None:
    engine = Engine(EngineSettings(device="cpu", models={}), embedders={"gate": gate})
    template = engine.create_template(Z)
    with ThreadPoolExecutor(1) as pool:
        with held(engine, gate):
            waiting = submit(engine, template)
            closing = pool.submit(engine.close)
            with pytest.raises(Draining):
                waiting.result(PATIENCE_S)
            assert not closing.done(), "the device's thread is waited for"
        closing.result(PATIENCE_S)
    engine.check_invariants()


def test_closing_may_drain_first(gate: Gate) -> None:
    engine = Engine(EngineSettings(device="cpu", models={}), embedders={"gate": gate})
    template = engine.create_template(Z)
    with ThreadPoolExecutor(1) as pool:
        with held(engine, gate):
            waiting = submit(engine, template)
            closing = pool.submit(engine.close, drain_s=PATIENCE_S)
        assert len(waiting.result(PATIENCE_S)) == 1
        closing.result(PATIENCE_S)
