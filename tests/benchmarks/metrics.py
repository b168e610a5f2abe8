"""Row t: what metrics cost. Two servers of ours, one with --metrics and scraped once a second, in turns.

The case with the smallest messages is where metrics weigh most: there is little else to a request. They cost
less than two turns differ by on a busy machine, so there are many turns, and short ones. Two processes that
run the very same differ by as much, for as long as they live: 0.967 was measured of such a pair. So there are
several pairs, and in every other the one with metrics starts first. Who scrapes is a process of its own, as
Prometheus is, and comes in the turns of the server that has metrics.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles

import numpy as np

from benchmarks.callers import Call, Contest, Pace, contest
from benchmarks.drivers import DEPTHWISE_MAP, Case
from benchmarks.timing import Row
from servers import ServerProcess, process
from siamcorr.calls import CorrelateOptions
from siamcorr_client import AsyncClient

__all__ = ["CASES", "ROWS", "SMALL_PEAK", "metered_against_plain"]

SMALL_PEAK = Case((16, 4, 4), (16, 8, 8), {"kind": "naive", "output": "peaks"}, 180)
CASES = {"small peak": SMALL_PEAK, "depthwise map": DEPTHWISE_MAP}
METRICS = ("--metrics", "127.0.0.1:0")
PAIRS = 5
PACE = Pace(turns=6, turn_s=0.4)
CALLERS = 16
AT_LEAST = 0.97
SCRAPE_EVERY_S = 2.0  # half of it is the other server's time
PATIENCE_S = 30.0

_SCRAPER = """
import sys, urllib.request
for line in sys.stdin:
    urllib.request.urlopen(line.strip()).read()
"""


async def metered_against_plain(
    metered: str, metrics: str, plain: str, case: Case, *, callers: int, pace: Pace
) -> Contest:
    """Compare a server whose metrics are at ``metrics``, and are read, with one that has none."""
    with _scraping(f"http://{metrics}/metrics") as scrape:
        async with AsyncClient(metered) as metered_client, AsyncClient(plain) as plain_client:
            scraped = _with_scrapes(await _correlating(metered_client, case), scrape)
            unseen = await _correlating(plain_client, case)
            return await contest(scraped, unseen, callers=callers, pace=pace)


def metrics_cost() -> Iterator[Row]:
    """Row t: the smallest case, and an ordinary one."""
    pairs = [_one_pair(metered_first=number % 2 == 0) for number in range(PAIRS)]
    for name, contests in zip(CASES, zip(*pairs, strict=True), strict=True):
        found = Contest(
            tuple(turn for one in contests for turn in one.ours),
            tuple(turn for one in contests for turn in one.theirs),
        )
        low, _, high = quantiles(found.rate_ratios, n=4)
        rates = f"{found.our_rate:.0f} calls/s, without {found.their_rate:.0f}"
        note = f"{rates}; half of the turns from {low:.3f} to {high:.3f}"
        what = f"{CALLERS} callers, {name}, with metrics against without"
        yield Row("t", what, found.rate_ratio, AT_LEAST, note)


def _one_pair(*, metered_first: bool) -> list[Contest]:
    """Let two new servers compete in each case."""
    flags = [METRICS, ()] if metered_first else [(), METRICS]
    with process(*flags[0]) as first, process(*flags[1]) as second:
        metered, plain = (first, second) if metered_first else (second, first)
        metrics = _metrics_address(metered)
        return [
            asyncio.run(
                metered_against_plain(
                    metered.address, metrics, plain.address, case, callers=CALLERS, pace=PACE
                )
            )
            for case in CASES.values()
        ]


async def _correlating(client: AsyncClient, case: Case) -> Call:
    draw = np.random.default_rng(0).standard_normal
    template = await client.create_template(draw(case.template, np.float32))
    options: CorrelateOptions = {**case.options, "features": draw(case.search, np.float32)}

    async def correlate() -> None:
        await client.correlate(template, **options)

    return correlate


def _with_scrapes(call: Call, scrape: Callable[[], None]) -> Call:
    next_s = 0.0

    async def scrape_and_call() -> None:
        nonlocal next_s
        if (now_s := time.monotonic()) >= next_s:
            next_s = now_s + SCRAPE_EVERY_S
            scrape()
        await call()

    return scrape_and_call


@contextmanager
def _scraping(url: str) -> Iterator[Callable[[], None]]:
    """Return what starts a scrape. One that fails ends the scraper, and is told at the end."""
    command = [sys.executable, "-c", _SCRAPER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1) as scraper:
        yield lambda: print(url, file=scraper.stdin)
        scraper.communicate(timeout=PATIENCE_S)
    if scraper.returncode != 0:
        raise RuntimeError("a scrape failed")


def _metrics_address(server: ServerProcess) -> str:
    """Find the address in the server's log, which is written in its own time."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        for line in server.errors().splitlines():
            _, found, address = line.partition(" metrics address=")
            if found:
                return address
    raise TimeoutError("the server did not tell where its metrics are")


ROWS: dict[str, Callable[[], Iterator[Row]]] = {"t": metrics_cost}
