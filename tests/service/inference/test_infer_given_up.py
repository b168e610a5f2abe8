"""Templates of one call are gone with it, whatever becomes of the call and wherever it is by then."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest

from gates import PATIENCE_S, held
from servers import RunningServer, serving
from siamcorr import EngineSettings
from triton_client import connected, given, refusal, response

Z = np.ones((3, 4, 3, 3), np.float32)
X = np.ones((1, 4, 6, 6), np.float32)


def asked() -> list[Any]:
    return [given("template", Z), given("search", X)]


@pytest.fixture(autouse=True)
def nothing_is_left(server: RunningServer) -> Any:
    before = server.engine.stats().bank.templates
    yield
    server.until(lambda: server.engine.stats().requests == 0)
    assert server.engine.stats().bank.templates == before


def test_a_call_that_is_cancelled_before_its_templates_are_made(triton: Any, server: RunningServer) -> None:
    with held(server.engine, server.gate):
        call = triton.async_infer("naive", asked(), lambda **_: None)
        server.until(lambda: server.engine.stats().requests == 1 + len(Z))
        call.cancel()
        server.until(lambda: server.engine.stats().requests == 1)


def has_launched(server: RunningServer, least: int) -> bool:
    return server.engine.stats().device.batches >= least


def test_a_call_that_is_cancelled_somewhere_on_its_way(triton: Any, server: RunningServer) -> None:
    launched = server.engine.stats().device.batches
    for waited in range(3):  # its templates take one launch or more, and its correlation another
        call = triton.async_infer("naive", asked(), lambda **_: None)
        server.until(partial(has_launched, server, launched + waited))
        call.cancel()
        server.until(lambda: server.engine.stats().requests == 0)
        launched = server.engine.stats().device.batches


def test_a_call_whose_correlation_is_refused(triton: Any) -> None:
    status, said = refusal(response, triton, "naive", Z, X[:, :, :2, :2])
    assert status == "INVALID_ARGUMENT"
    assert said == "template: found 3 rows, expected at most 2, the rows of search"


def test_a_call_one_of_whose_templates_is_refused(triton: Any) -> None:
    broken = Z.copy()
    broken[1, 0, 0, 0] = np.inf
    _, said = refusal(response, triton, "naive", broken, X)
    assert said == "template: found NaN or infinity, expected finite numbers"


def test_a_call_whose_own_timeout_is_over(triton: Any, server: RunningServer) -> None:
    with held(server.engine, server.gate):
        status, said = refusal(triton.infer, "naive", asked(), timeout=1000)
    assert status == "DEADLINE_EXCEEDED"
    assert "deadline passed" in said or "timeout passed" in said


def test_a_call_whose_deadline_is_over(triton: Any, server: RunningServer) -> None:
    with held(server.engine, server.gate):
        assert refusal(triton.infer, "naive", asked(), client_timeout=0.01)[0] == "DEADLINE_EXCEEDED"
        server.until(lambda: server.engine.stats().requests == 1)


def test_a_call_that_there_is_no_room_for() -> None:
    room = EngineSettings(device="cpu", models={}, budget_bytes=2 * Z[0].nbytes)
    with serving(room) as server, connected(server.address) as triton:
        status, _ = refusal(response, triton, "naive", Z, X)
        assert status == "RESOURCE_EXHAUSTED"
        server.until(lambda: server.engine.stats().bank.templates == 0)
        assert response(triton, "naive", Z[:1], X).shape == (1, 1, 4, 4)


def test_a_call_that_the_servers_end_cuts_off() -> None:
    with serving() as server, connected(server.address) as triton:
        errors: list[Any] = []
        with held(server.engine, server.gate):
            triton.async_infer("naive", asked(), lambda result, error: errors.append(error))
            server.until(lambda: server.engine.stats().requests == 1 + len(Z))
            stopping = server.start(server.server.drain(0.0))
            server.until(lambda: server.engine.stats().requests <= 1)
        stopping.result(PATIENCE_S)
        assert server.engine.stats().bank.templates <= 1  # the gate's own
    assert [error.status() for error in errors] in ([], [str(grpc.StatusCode.UNAVAILABLE)])
