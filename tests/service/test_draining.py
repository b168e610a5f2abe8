"""Stopping: nothing that was accepted is lost, and nothing new is accepted."""

from __future__ import annotations

import signal
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from gates import IMAGE, PATIENCE_S, held
from servers import Refusal, RunningServer, ServerProcess, Stubs, process
from siamcorr.checks import correlate_call, create_call
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr_server import server as server_module
from siamcorr_server.server import SERVICES
from whole_messages import correlate_request, create_request

Z = np.random.default_rng(0).standard_normal((8, 3, 3), np.float32)
X = np.random.default_rng(1).standard_normal((8, 7, 7), np.float32)
HELD_SERVER = str(Path(__file__).with_name("held_server.py"))


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at the end whatever was not waited for."""
    monkeypatch.setattr(server_module, "_GOODBYE_S", 0.0)


def statuses(stubs: Stubs) -> set[int]:
    """Return the health of the server and of each service."""
    health = health_pb2_grpc.HealthStub(stubs.channel)
    requests = [health_pb2.HealthCheckRequest(service=service) for service in ("", *SERVICES)]
    return {health.Check(request).status for request in requests}


def draining(server: RunningServer, stubs: Stubs, drain_s: float) -> Future[bool]:
    """Start to drain, and return once that is told."""
    drained = server.start(server.server.drain(drain_s))
    while statuses(stubs) != {health_pb2.HealthCheckResponse.NOT_SERVING}:
        pass
    return drained


def test_what_is_in_flight_is_answered_and_what_is_new_refused(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    request = correlate_request(correlate_call(template, features=X))
    with held(server.engine, server.gate):
        call = stubs.correlation.Correlate.future(request)
        server.until(lambda: server.engine.stats().requests == 2)
        drained = draining(server, stubs, PATIENCE_S)
        new: list[Any] = [
            Refusal.of(stubs.correlation.Correlate, request),
            Refusal.of(stubs.create, Z),
            Refusal.of(list, stubs.correlation.CorrelateStream(iter(()))),
        ]
        assert not drained.done()
    for refusal in new:
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert "grpc-retry-pushback-ms" not in refusal.trailers, "clients retry in their own time"
    assert len(call.result(PATIENCE_S).results) == 1
    drained.result(PATIENCE_S)


def test_a_stream_is_answered_what_it_has_sent_and_then_told(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    request = correlate_request(correlate_call(template, features=X))
    never_ending = (pb.CorrelateStreamRequest(id=id_, request=request) for id_ in count())
    with held(server.engine, server.gate):
        stream = stubs.correlation.CorrelateStream(never_ending)
        server.until(lambda: server.engine.stats().requests == 64 + 1)
        drained = draining(server, stubs, PATIENCE_S)
    answers = [next(stream) for _ in range(64)]
    assert {message.WhichOneof("outcome") for message in answers} == {"response"}
    refusal = Refusal.of(next, stream)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    drained.result(PATIENCE_S)


def test_an_idle_stream_and_an_idle_watcher_hold_nothing_up(server: RunningServer, stubs: Stubs) -> None:
    watcher = health_pb2_grpc.HealthStub(stubs.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watcher).status == health_pb2.HealthCheckResponse.SERVING
    ends: Future[None] = Future()
    stream = stubs.correlation.CorrelateStream(iter(ends.result, None))
    server.until(lambda: len(server.server._correlation._streams) == 1)
    server.start(server.server.drain(PATIENCE_S)).result(PATIENCE_S / 2)
    assert Refusal.of(next, stream).reason == "DRAINING"
    assert next(watcher).status == health_pb2.HealthCheckResponse.NOT_SERVING
    ends.set_result(None)


def test_what_does_not_end_in_time_is_refused(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    with held(server.engine, server.gate):
        call = stubs.correlation.Correlate.future(
            correlate_request(correlate_call(template, features=X)), timeout=PATIENCE_S
        )
        server.until(lambda: server.engine.stats().requests == 2)
        drained = server.start(server.server.drain(0.0))
        refusal = Refusal.of(call.result)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    drained.result(PATIENCE_S)


def hold(server: ServerProcess, stubs: Stubs) -> Any:
    """Hold the device of a process, and return the call that does."""
    server.tell("shut")
    assert server.hear() == "shut"
    request = create_request(create_call(image=IMAGE, boxes=(10.0, 10.0, 20.0, 20.0), model="gate"))
    call = stubs.templates.CreateTemplate.future(request, timeout=PATIENCE_S)
    assert server.hear() == "entered"
    return call


def test_a_signal_lets_a_process_finish_what_it_has() -> None:
    with process("--log-format", "json", program=[HELD_SERVER]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            call = hold(server, stubs)
            server.popen.send_signal(signal.SIGTERM)
            while statuses(stubs) != {health_pb2.HealthCheckResponse.NOT_SERVING}:
                pass
            assert Refusal.of(stubs.create, Z).reason == "DRAINING"
            server.tell("open")
            assert len(call.result(PATIENCE_S).templates) == 1
            assert server.popen.wait(PATIENCE_S) == 0
        assert "Traceback" not in server.errors()
        assert '"message": "stopped"' in server.errors()


def test_a_second_signal_ends_a_process_at_once() -> None:
    with process(program=[HELD_SERVER]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            call = hold(server, stubs)
            server.popen.send_signal(signal.SIGTERM)
            while statuses(stubs) != {health_pb2.HealthCheckResponse.NOT_SERVING}:
                pass
            assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
            assert Refusal.of(call.result).code is grpc.StatusCode.UNAVAILABLE


def test_an_idle_process_says_one_line_and_ends_when_told() -> None:
    with process("--threads", "1", "--template-ttl", "never") as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(image=IMAGE, boxes=(10.0, 10.0, 20.0, 20.0))
            assert template.model == "hog"
        assert server.stop(signal.SIGINT) == 0
        assert server.popen.stdout is not None
        assert server.popen.stdout.read() == ""
        assert "Traceback" not in server.errors()
