"""Results of load tests, made up, a server that is measured by a script, and a reader of pages."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

from siamcorr.errors import ServerUnavailable
from siamcorr_load.account import Account
from siamcorr_load.controller import Enough, OnWindow
from siamcorr_load.recorder import Tally
from siamcorr_load.results import (
    Capacity,
    CapacityPoint,
    Distribution,
    Interval,
    Memory,
    Repeat,
    Run,
    Stages,
    Verdict,
    Window,
)
from siamcorr_load.settings import Load
from siamcorr_load.summary import Measured

__all__ = [
    "CAPACITY",
    "EMPTY",
    "GONE",
    "LATENCY",
    "NOTHING",
    "RUN",
    "SLOW",
    "TOLD",
    "Scripted",
    "Strict",
    "a_tally",
]

LATENCY = Distribution(
    1496,
    0.0117,
    0.0111,
    0.0172,
    0.0194,
    0.0248,
    0.0328,
    0.0436,
    0.045,
    ((0.0, 0.003), (50.0, 0.0111), (99.0, 0.0248)),
)
RUN = Run(
    settings={"server": "127.0.0.1:50051", "cameras": 10, "targets": 8, "kind": "network", "frames": None},
    machine={"system": "Linux x86_64", "processors": 2},
    started="2026-11-24T14:30:02+00:00",
    warm_up_s=2.0,
    duration_s=6.0,
    period_s=0.04,
    windows=tuple(
        Window(2.0, 500, ok, 498, 2, p50_s=0.0111, p90_s=0.0172, p99_s=0.0248, max_s=0.045)
        for ok in (500, 499, 497)
    ),
    latency=LATENCY,
    service_time=dataclasses.replace(LATENCY, p99_s=0.0221),
    sent=1500,
    ok=1496,
    late_sends=6,
    throughput_per_s=249.3,
    target_updates_per_s=1994.7,
    on_time_rate=0.996,
    dropped_frames=1,
    rejects={"RESOURCE_EXHAUSTED": 3},
    errors={"UNAVAILABLE": 1},
    checked=150,
    batch_sizes={1: 96, 8: 1000, 16: 400},
    stages=Stages(0.0004, 0.0011, 0.0018, 0.0026, 0.0003),
    memory=Memory(310 << 20, None),
)
EMPTY = Run(
    settings={},
    machine={},
    started="",
    warm_up_s=0.0,
    duration_s=0.0,
    period_s=0.04,
    windows=(),
    latency=Distribution(),
    service_time=Distribution(),
    sent=0,
    ok=0,
    late_sends=0,
    throughput_per_s=0.0,
    target_updates_per_s=0.0,
    on_time_rate=0.0,
    verdict=Verdict("invalid", ("nothing was answered",)),
)
SLOW = dataclasses.replace(RUN, latency=dataclasses.replace(LATENCY, p99_s=0.31), on_time_rate=0.2)
CAPACITY = Capacity(
    (CapacityPoint(80, RUN, True), CapacityPoint(160, SLOW, False)), 80, 0.04, low=76, high=84
)
NOTHING = Capacity((CapacityPoint(1, EMPTY, False),), None, 0.04, Verdict("invalid", ("too noisy",)))


class Strict(HTMLParser):
    """Reads a page, and holds it to its tags and to itself."""

    VOID = frozenset({"meta", "line", "rect", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.words.append(data)


ACCOUNT = Account(
    seconds=6.1,
    requests={"OK": 1517, "RESOURCE_EXHAUSTED": 3},
    rejects={"QUEUE_FULL": 3},
    launches={"1": 10, "2": 50, "4": 40, "inf": 0},
    pairs=260,
    stages_s={"queue": 0.00123},
    request_s=0.00456,
    resident_bytes=415 << 20,
)
TOLD = dataclasses.replace(
    RUN,
    account=ACCOUNT,
    repeats=(Repeat(248.0, 0.0110, 0.024, 1.0), Repeat(250.0, 0.0112, 0.026, 0.99)),
    intervals={
        "throughput_per_s": Interval(249.0, 241.0, 257.0),
        "p50_s": Interval(0.0111, 0.0101, 0.0121),
        "p99_s": Interval(0.025, 0.02, 0.03),
        "on_time_rate": Interval(0.995, 0.98, 1.0),
    },
)

GONE = ServerUnavailable("nobody is there")


def a_tally() -> Tally:
    tally = Tally(sent=1000, on_time=1000, checked=9)
    for _ in range(1000):
        tally.latency.record(0.01)
    return tally


class Scripted:
    """Measures so many windows, and then meets with an end."""

    def __init__(self, windows: int, end: BaseException) -> None:
        self.left, self.end = windows, end

    def measure(
        self, _load: Load, on_window: OnWindow, _enough: Enough, seen: list[tuple[Tally, Window]]
    ) -> Measured:
        for _ in range(3):
            if not self.left:
                raise self.end
            self.left -= 1
            tally = a_tally()
            seen.append((tally, tally.window(1.0)))
            on_window(seen[-1][1])
        tallies, windows = zip(*seen, strict=True)
        return Measured(tallies, windows)
