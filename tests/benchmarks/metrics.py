"""Row t: what metrics cost. One server with --metrics, told of nothing or of everything, turn by turn.

The case with the smallest messages is where metrics weigh most: there is little else to a request. They cost
less than two turns differ by, and a machine's speed drifts: so turns are short, and there are many. In each
round there is one with metrics and two without, in an order that changes. What those two differ by is the
machine's doing, and stands beside the result; each has the interval that holds the truth in 95 of 100 runs.

In a second of turns with metrics there is one scrape, so not each turn has one. A median would not see them,
so what counts is the mean: of logarithms, because of ratios themselves it would favour whoever is noisier.
Who scrapes is a process of its own, as Prometheus is.

Rejected: two servers, one with metrics and one without. Where a process's memory and threads came to lie is
good for 3 % as long as it lives: two servers without metrics gave 0.967. Nor does one process tell for all,
so there are some, one after the other.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, cycle, islice, permutations
from math import exp, log, sqrt
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Literal, TypeAlias

import numpy as np

from benchmarks.callers import Call, Pace, drive, objects_spared
from benchmarks.drivers import DEPTHWISE_MAP, Case
from benchmarks.timing import Row
from servers import ServerProcess, process
from siamcorr.calls import CorrelateOptions
from siamcorr_client import AsyncClient

__all__ = [
    "CASES",
    "METRICS",
    "ROWS",
    "SWITCHED",
    "Round",
    "mean_ratio",
    "metrics_address",
    "rounds",
    "switch",
]

CASES = {
    "small peak": Case((16, 4, 4), (16, 8, 8), {"kind": "naive", "output": "peaks"}, 180),
    "depthwise map": DEPTHWISE_MAP,
}
SWITCHED = (str(Path(__file__).with_name("switched_server.py")),)
METRICS = ("--metrics", "127.0.0.1:0")
SERVERS = 3
PACE = Pace(turns=42, turn_s=0.1)
CALLERS = 16
AT_LEAST = 0.97
SCRAPE_EVERY_S = 1.0
PATIENCE_S = 30.0

_SCRAPER = """
import sys, urllib.request
for line in sys.stdin:
    urllib.request.urlopen(line.strip()).read()
"""

Side: TypeAlias = Literal["on", "off", "off again"]


@dataclass(frozen=True, slots=True)
class Round:
    """Calls/s of three turns: with metrics, and twice without."""

    on: float
    off: float
    off_again: float

    @property
    def ratio(self) -> float:
        """What is left with metrics."""
        return self.on / sqrt(self.off * self.off_again)

    @property
    def same_ratio(self) -> float:
        """What seems to be left without them, where nothing is taken away."""
        return self.off_again / self.off


async def rounds(server: ServerProcess, case: Case, *, callers: int, pace: Pace) -> list[Round]:
    """Measure a switched server ``pace.turns`` times."""
    with _scraping(f"http://{metrics_address(server)}/metrics") as scrape, objects_spared():
        async with AsyncClient(server.address) as client:
            call = await _correlating(client, case)
            await drive(call, callers, pace.turn_s)  # does not count
            orders: Iterator[Sequence[Side]] = cycle(permutations(("on", "off", "off again")))
            since_scrape_s, found = SCRAPE_EVERY_S, []
            for order in islice(orders, pace.turns):
                rates = dict.fromkeys(order, 0.0)
                for side in order:
                    switch(server, "on" if side == "on" else "off")
                    if side == "on" and since_scrape_s >= SCRAPE_EVERY_S:
                        since_scrape_s = 0.0
                        scrape()
                    rates[side] = (await drive(call, callers, pace.turn_s)).calls_per_s
                since_scrape_s += pace.turn_s
                found.append(Round(rates["on"], rates["off"], rates["off again"]))
            return found


def switch(server: ServerProcess, word: str) -> None:
    """Let the server's observers sleep, or wake."""
    server.tell(word)
    if (heard := server.hear()) != word:
        raise RuntimeError(f"the server answered {heard!r}")


def metrics_cost() -> Iterator[Row]:
    """Row t: the smallest case, and an ordinary one."""
    measured = [_one_server() for _ in range(SERVERS)]
    for name, of_servers in zip(CASES, zip(*measured, strict=True), strict=True):
        found = list(chain.from_iterable(of_servers))
        ratio, factor = mean_ratio([one.ratio for one in found])
        same, same_factor = mean_ratio([one.same_ratio for one in found])
        rate = median(one.off for one in found)
        note = (
            f"{ratio / factor:.3f} to {ratio * factor:.3f}; without against without "
            f"{same / same_factor:.3f} to {same * same_factor:.3f}; {rate:.0f} calls/s"
        )
        what = f"{CALLERS} callers, {name}, with metrics against without"
        yield Row("t", what, ratio, AT_LEAST, note)


def _one_server() -> list[list[Round]]:
    """Measure a new server in each case."""
    with process(*METRICS, program=SWITCHED) as server:
        return [asyncio.run(rounds(server, case, callers=CALLERS, pace=PACE)) for case in CASES.values()]


def mean_ratio(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the geometric mean, and by which factor the true one is at most away from it, at 95 %.

    >>> mean_ratio([0.5, 2.0])[0]
    1.0
    """
    logarithms = [log(ratio) for ratio in ratios]
    deviation = stdev(logarithms) / sqrt(len(ratios))
    return exp(fmean(logarithms)), exp(1.96 * deviation)


async def _correlating(client: AsyncClient, case: Case) -> Call:
    draw = np.random.default_rng(0).standard_normal
    template = await client.create_template(draw(case.template, np.float32))
    options: CorrelateOptions = {**case.options, "features": draw(case.search, np.float32)}

    async def correlate() -> None:
        await client.correlate(template, **options)

    return correlate


@contextmanager
def _scraping(url: str) -> Iterator[Callable[[], None]]:
    """Return what starts a scrape. One that fails ends the scraper, and is told at the end."""
    command = [sys.executable, "-c", _SCRAPER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1) as scraper:
        yield lambda: print(url, file=scraper.stdin)
        scraper.communicate(timeout=PATIENCE_S)
    if scraper.returncode != 0:
        raise RuntimeError("a scrape failed")


def metrics_address(server: ServerProcess) -> str:
    """Find the address in the server's log, which is written in its own time."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        for line in server.errors().splitlines():
            _, found, address = line.partition(" metrics address=")
            if found:
                return address
    raise TimeoutError("the server did not tell where its metrics are")


ROWS: dict[str, Callable[[], Iterator[Row]]] = {"t": metrics_cost}
