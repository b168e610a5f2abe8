"""The driver of the benchmark's row about metrics makes one tiny round against real servers."""

from __future__ import annotations

import pytest

from benchmarks import metrics
from benchmarks.callers import Pace
from benchmarks.drivers import Case
from scraped import Scrape, door_of
from servers import RunningServer, serving

TINY = Pace(turns=1, turn_s=0.01)


@pytest.mark.parametrize("case", metrics.CASES.values(), ids=metrics.CASES.keys())
async def test_a_server_that_is_scraped_runs_against_one_that_is_not(
    server: RunningServer, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SCRAPE_EVERY_S", 0.0)
    with serving(metrics_listen="127.0.0.1:0") as metered:
        address = door_of(metered).address
        found = await metrics.metered_against_plain(
            metered.address, address, server.address, case, callers=2, pace=TINY
        )
        counted = Scrape.of(address).by("siamcorr_launch_pairs_count", "kind")
    assert len(found.rate_ratios) == 1
    assert min(found.our_rate, found.their_rate) > 0
    assert sum(counted.values()) > 1, "more than the template"


async def test_a_scrape_that_fails_is_told(server: RunningServer) -> None:
    with pytest.raises(RuntimeError, match="a scrape failed"):
        await metrics.metered_against_plain(
            server.address, "127.0.0.1:1", server.address, metrics.SMALL_PEAK, callers=1, pace=TINY
        )
