"""Deadlines and cancellations of single calls: what nobody waits for any more is in nobody's way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S, held
from servers import Refusal, RunningServer, Stubs, serving
from siamcorr import EngineSettings
from siamcorr.checks import correlate_call, create_call
from siamcorr.wire.templates import Update
from whole_messages import correlate_request, create_request, update_request

Z = np.random.default_rng(0).standard_normal((8, 3, 3), np.float32)
X = np.random.default_rng(1).standard_normal((8, 7, 7), np.float32)
BOX = (10.0, 10.0, 20.0, 20.0)


def correlate(stubs: Stubs, handle: str) -> tuple[Any, Any]:
    return stubs.correlation.Correlate, correlate_request(correlate_call(handle, features=X))


def create(stubs: Stubs, _: str) -> tuple[Any, Any]:
    return stubs.templates.CreateTemplate, create_request(create_call(Z))


def update(stubs: Stubs, handle: str) -> tuple[Any, Any]:
    return stubs.templates.UpdateTemplate, update_request(Update(handle, create_call(Z), 0.5))


CALLS = [correlate, create, update]


@pytest.mark.parametrize("call", CALLS)
def test_a_deadline_that_passes_takes_the_job_out(
    server: RunningServer, stubs: Stubs, call: Callable[[Stubs, str], tuple[Any, Any]]
) -> None:
    (template,) = stubs.create(Z)
    method, request = call(stubs, template.handle)
    with held(server.engine, server.gate):
        refusal = Refusal.of(method, request, timeout=0.05)
        server.until(lambda: server.engine.stats().requests == 1)
        stats = server.engine.stats()
        assert (stats.device.waiting, stats.bank.leased) == (0, 0)
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [one.handle for one in server.engine.list_templates()] == [template.handle]
    assert server.engine.get_template(template).generation == 1


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_cancelled_takes_its_job_along(
    server: RunningServer, stubs: Stubs, call: Callable[[Stubs, str], tuple[Any, Any]]
) -> None:
    (template,) = stubs.create(Z)
    method, request = call(stubs, template.handle)
    with held(server.engine, server.gate):
        calls = [method.future(request, timeout=PATIENCE_S) for _ in range(4)]
        server.until(lambda: server.engine.stats().requests == 4 + 1)
        for one in calls[:3]:
            one.cancel()
        server.until(lambda: server.engine.stats().requests == 1 + 1)
        assert server.engine.stats().device.waiting == 1
    assert calls[3].result(PATIENCE_S) is not None


@pytest.mark.parametrize("call", CALLS)
def test_the_engine_is_told_of_a_calls_deadline(
    server: RunningServer,
    stubs: Stubs,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[Stubs, str], tuple[Any, Any]],
) -> None:
    (template,) = stubs.create(Z)
    method, request = call(stubs, template.handle)
    name = f"submit_{call.__name__}"
    submit, deadlines = getattr(server.engine, name), []

    def recorded(*arguments: Any) -> Any:
        deadlines.append(arguments[-1])
        return submit(*arguments)

    monkeypatch.setattr(server.engine, name, recorded)
    before_s = time.monotonic()
    method(request, timeout=500.0)
    method(request)
    assert 400 < deadlines[0] - before_s < 600, "gRPC rounds a timeout, by up to a second"
    assert deadlines[1] is None


def test_templates_whose_caller_left_while_they_were_made_are_forgotten(
    server: RunningServer, stubs: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.gate.entered.clear()
    server.gate.opened.clear()
    request = create_request(create_call(image=IMAGE, boxes=[BOX] * 3, model="gate"))
    call = stubs.templates.CreateTemplate.future(request)
    assert server.gate.entered.wait(PATIENCE_S)
    call.cancel()
    server.until(lambda: bool(caplog.records))
    server.gate.opened.set()
    server.until(lambda: server.engine.stats().requests == 0)
    assert server.engine.stats().bank.templates == 0


def test_a_full_queue_tells_when_to_try_again() -> None:
    with serving(EngineSettings(device="cpu", models={}, max_jobs=8)) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            method, request = correlate(stubs, stubs.create(Z)[0].handle)
            with held(server.engine, server.gate):
                calls = [method.future(request, timeout=PATIENCE_S) for _ in range(7)]
                server.until(lambda: server.engine.stats().requests == 8)
                refusal = Refusal.of(method, request)
            assert all(len(call.result(PATIENCE_S).results) == 1 for call in calls)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert refusal.retry_s is not None
    assert refusal.trailers["grpc-retry-pushback-ms"] == str(round(refusal.retry_s * 1e3))
    assert float(refusal.metadata["retry_after_s"]) == pytest.approx(refusal.retry_s, abs=2e-3)
