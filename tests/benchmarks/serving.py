"""Rows about the server: a process of its own, called through grpc.aio on this machine's loopback.

The echo that it is compared with (:mod:`benchmarks.echo`) is a process of its own too, called by as many
callers from the same process as ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.callers import Contest, Pace
from benchmarks.drivers import (
    DEPTHWISE_MAP,
    DEPTHWISE_PEAK,
    NAIVE_MAP,
    Case,
    against_echo,
    many_against_few,
    resident_sets_mib,
    shared_memory_against_messages,
)
from benchmarks.timing import Row
from servers import process

__all__ = ["ECHO", "ROWS", "SHARING"]

PACE, SHORT = Pace(), Pace(turns=3)
FINE = Pace(turns=31, turn_s=0.4)  # two servers of ours are apart by less than turns differ among themselves
ECHO = (str(Path(__file__).with_name("echo.py")),)
SHARING = ("--shared-memory", "1GiB")
MANY, FEW = 10_000, 10
CALLS, SETTLE_CALLS, SAMPLE_CALLS = 100_000, 10_000, 2_000
MOST_GROWTH_MIB, LEAST_GROWTH_MIB = 20.0, 1.0


def one_caller() -> Iterator[Row]:
    """Row j. Four callers are in the note, for those who compare with other servers."""
    one = _against_echo(DEPTHWISE_MAP, callers=1)
    four = _against_echo(DEPTHWISE_MAP, callers=4, pace=SHORT)
    note = f"{_rates(one)}; with 4 callers {_rates(four)}"
    yield Row("j", "1 caller, depthwise map, against an echo", one.rate_ratio, 0.6, note)


def many_callers() -> Iterator[Row]:
    """Row k."""
    found = _against_echo(DEPTHWISE_MAP, callers=16, written=True)
    yield Row("k", "16 callers, depthwise map, against an echo", found.rate_ratio, 0.8, _rates(found))


def peaks_only() -> Iterator[Row]:
    """Row l."""
    found = _against_echo(DEPTHWISE_PEAK, callers=16, written=True)
    yield Row("l", "16 callers, depthwise peak, against an echo", found.rate_ratio, 0.8, _rates(found))


def shared_memory() -> Iterator[Row]:
    """Row m."""
    what, at_least = "16 callers, map through shared memory, not messages", 1.5
    with process(*SHARING) as server:
        found = asyncio.run(
            shared_memory_against_messages(server.address, DEPTHWISE_MAP, callers=16, pace=PACE)
        )
    note = f"{found.our_rate:.0f} calls/s, by messages {found.their_rate:.0f}"
    yield Row("m", what, found.rate_ratio, at_least, note)


def latency() -> Iterator[Row]:
    """Row n: at most 1.6 times the echo's p50, turned over so that more is better."""
    found = _against_echo(NAIVE_MAP, callers=1)
    note = f"p50 {found.our_p50_ms:.2f} ms, echo {found.their_p50_ms:.2f} ms: {1 / found.p50_ratio:.2f} times"
    yield Row("n", "1 caller, naive map: the echo's p50 over ours", found.p50_ratio, 1 / 1.6, note)


def many_templates() -> Iterator[Row]:
    """Row o."""
    flags = ("--template-ttl", "never")
    for name, case in (("depthwise", DEPTHWISE_MAP), ("naive", NAIVE_MAP)):
        with process(*flags) as many, process(*flags) as few:
            found = asyncio.run(
                many_against_few(many.address, few.address, case, many=MANY, few=FEW, callers=16, pace=FINE)
            )
        note = f"{found.our_rate:.0f} calls/s, with {FEW} templates {found.their_rate:.0f}"
        yield Row(
            "o", f"16 callers, {name} map, {MANY:,} templates against {FEW}", found.rate_ratio, 0.95, note
        )


def memory() -> Iterator[Row]:
    """Row p: the growth allowed over the growth found, of which less than 1 MiB counts as 1 MiB.

    The resident set dips when the allocator gives something back, so what is compared is the highest that was
    seen in the first 10,000 calls and the highest in the last.
    """
    with process() as server:
        sizes_mib = asyncio.run(
            resident_sets_mib(server.address, server.popen.pid, calls=CALLS, every=SAMPLE_CALLS, callers=16)
        )
    samples = SETTLE_CALLS // SAMPLE_CALLS
    first, last = max(sizes_mib[:samples]), max(sizes_mib[-samples:])
    ratio = MOST_GROWTH_MIB / max(last - first, LEAST_GROWTH_MIB)
    note = f"{first:.0f} MiB in the first {SETTLE_CALLS:,} calls of all sorts, {last:.0f} MiB in the last"
    yield Row("p", f"{CALLS:,} calls: {MOST_GROWTH_MIB:.0f} MiB over the memory's growth", ratio, 1.0, note)


def _against_echo(case: Case, *, callers: int, written: bool = False, pace: Pace = PACE) -> Contest:
    with process() as server, process(program=ECHO) as echo:
        return asyncio.run(
            against_echo(server.address, echo.address, case, callers=callers, written=written, pace=pace)
        )


def _rates(found: Contest) -> str:
    return f"{found.our_rate:.0f} calls/s, echo {found.their_rate:.0f}"


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "j": one_caller,
    "k": many_callers,
    "l": peaks_only,
    "m": shared_memory,
    "n": latency,
    "o": many_templates,
    "p": memory,
}
