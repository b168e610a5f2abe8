"""The driver of the benchmark's row about metrics makes one tiny round against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from math import log, sqrt

import numpy as np
import pytest

from benchmarks import metrics
from benchmarks.callers import Pace
from benchmarks.drivers import Case
from scraped import Scrape
from servers import ServerProcess, process
from siamcorr_client import AsyncClient

TINY = Pace(turns=1, turn_s=0.01)


@pytest.fixture(scope="module")
def switched() -> Iterator[ServerProcess]:
    with process(*metrics.METRICS, program=metrics.SWITCHED) as server:
        yield server


def answered(server: ServerProcess) -> float:
    found = Scrape.of(metrics.metrics_address(server))
    return sum(found.by("siamcorr_requests_total", "method", "code").values())


@pytest.mark.parametrize("case", metrics.CASES.values(), ids=metrics.CASES.keys())
async def test_a_round_has_a_turn_with_metrics_and_two_without(switched: ServerProcess, case: Case) -> None:
    (found,) = await metrics.rounds(switched, case, callers=2, pace=TINY)
    assert min(found.on, found.off, found.off_again) > 0
    assert found.ratio == found.on / sqrt(found.off * found.off_again)


async def test_a_server_that_is_switched_off_counts_nothing(switched: ServerProcess) -> None:
    for word, counts in (("off", False), ("on", True)):
        metrics.switch(switched, word)
        before = answered(switched)
        async with AsyncClient(switched.address) as client:
            await client.create_template(np.ones((1, 1, 1), np.float32))
        assert (answered(switched) > before) is counts


async def test_a_scrape_that_fails_is_told(switched: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "metrics_address", lambda _: "127.0.0.1:1")
    with pytest.raises(RuntimeError, match="a scrape failed"):
        await metrics.rounds(switched, metrics.CASES["small peak"], callers=1, pace=TINY)


def test_the_mean_of_ratios_takes_no_side_and_its_interval_shrinks_with_their_number() -> None:
    ratios = [0.8, 1.25, 1.0, 1.0]
    mean, factor = metrics.mean_ratio(ratios)
    assert mean == pytest.approx(1.0)
    assert log(factor) == pytest.approx(1.96 * log(1.25) * sqrt(2 / 3) / 2)
    assert metrics.mean_ratio(ratios * 4)[1] < factor
