"""Each driver of the benchmark's serving rows makes one tiny round against real servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from benchmarks import drivers, echo
from benchmarks.callers import Contest, Pace
from benchmarks.serving import ECHO
from servers import RunningServer, process, serving
from siamcorr.calls import CorrelateOptions
from siamcorr.checks import correlate_call
from siamcorr.wire.correlation import seal_correlate_request

TINY = Pace(turns=1, turn_s=0.01)
HEADS_BYTES = 300
CASES = [drivers.DEPTHWISE_MAP, drivers.DEPTHWISE_PEAK, drivers.NAIVE_MAP]


@pytest.fixture(scope="module")
def echo_server() -> Iterator[str]:
    with process(program=ECHO) as running:
        yield running.address


def is_positive(contest: Contest) -> bool:
    figures = [contest.rate_ratio, contest.p50_ratio, contest.our_rate, contest.their_rate]
    return len(contest.ours) == len(contest.theirs) == 1 and min(figures) > 0


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("case", CASES)
async def test_a_case_runs_against_its_echo(
    server: RunningServer, echo_server: str, case: drivers.Case, written: bool
) -> None:
    found = await drivers.against_echo(
        server.address, echo_server, case, callers=2, pace=TINY, written=written
    )
    assert is_positive(found)


@pytest.mark.parametrize("path", [echo.BARE, echo.WRITTEN])
@pytest.mark.parametrize("size", [180, 640_000])
def test_the_echo_answers_with_as_many_bytes_as_it_is_asked_for(
    echo_server: str, path: str, size: int
) -> None:
    with grpc.insecure_channel(echo_server) as channel:
        call: Any = channel.unary_unary(path)
        assert len(call(echo.head(size) + b"payload")) == size


@pytest.mark.parametrize("case", CASES)
def test_the_echo_moves_as_many_bytes_as_the_case(server: RunningServer, case: drivers.Case) -> None:
    template = server.engine.create_template(np.ones(case.template, np.float32))
    options: CorrelateOptions = {**case.options, "features": np.ones(case.search, np.float32)}
    request = b"".join(seal_correlate_request(correlate_call(template, **options)))
    with grpc.insecure_channel(server.address) as channel:
        correlate: Any = channel.unary_unary("/siamcorr.v1.CorrelationService/Correlate")
        answer = correlate(request)
    assert 0 <= len(request) - case.search_bytes < HEADS_BYTES
    assert abs(len(answer) - case.answer_bytes) < HEADS_BYTES


async def test_many_templates_run_against_few(server: RunningServer) -> None:
    found = await drivers.many_against_few(
        server.address, server.address, drivers.NAIVE_MAP, many=70, few=2, callers=2, pace=TINY
    )
    assert is_positive(found)
    assert len(server.engine.page().templates) == 72


async def test_shared_memory_runs_against_messages() -> None:
    with serving(shared_memory_bytes=1 << 30) as sharing:
        found = await drivers.shared_memory_against_messages(
            sharing.address, drivers.DEPTHWISE_MAP, callers=2, pace=TINY
        )
    assert is_positive(found)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
async def test_the_resident_set_is_told_after_every_so_many_calls(server: RunningServer) -> None:
    sizes = await drivers.resident_sets_mib(server.address, os.getpid(), calls=12, every=4, callers=2)
    assert len(sizes) == 3
    assert min(sizes) > 1
