"""What a load test found, as plain frozen values; :mod:`siamcorr_load.result_json` writes and reads them.

All times are in seconds and all rates per second. ``latency`` counts from the moment at which a request was
due, ``service_time`` from the moment at which it was really sent: a server that stalls holds requests back,
and only the first tells. What was sent during the warm-up is in none of the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from siamcorr_load.account import Account

__all__ = [
    "INVALID",
    "VALID",
    "Capacity",
    "CapacityPoint",
    "Comparison",
    "ComparisonRow",
    "Distribution",
    "Interval",
    "Json",
    "Memory",
    "Others",
    "Pace",
    "Repeat",
    "Run",
    "Stages",
    "Verdict",
    "Window",
]

Json: TypeAlias = Any
"""What :mod:`json` writes."""

VALID, INVALID = "valid", "invalid"


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times of answered requests. ``points`` are (percentile, seconds), rising, for plots."""

    count: int = 0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    p999_s: float = 0.0
    p9999_s: float = 0.0
    max_s: float = 0.0
    points: tuple[tuple[float, float], ...] = ()
    p1_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of the measured time: what was due in it, and what became of that.

    ``on_time`` counts answers within a frame period of when the request was due, ``late_sends`` the requests
    that the generator itself sent late. ``rejects`` (the server was overloaded) and ``errors`` are by code.
    For ``stalled_s`` the generators' machine stood still, and for the share ``slow`` of it something outside
    made the machine slow.
    """

    seconds: float
    sent: int
    ok: int
    on_time: int
    late_sends: int = 0
    rejects: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    p999_s: float = 0.0
    max_s: float = 0.0
    updates: int = 0
    stalled_s: float = 0.0
    p1_s: float = 0.0
    slow: float = 0.0

    @property
    def throughput_per_s(self) -> float:
        """Answers each second."""
        return self.ok / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Stages:
    """Where requests spent their time in the server, on average, by its own account."""

    prepare_s: float = 0.0
    queue_s: float = 0.0
    embed_s: float = 0.0
    compute_s: float = 0.0
    copy_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes at the end: of all generators together, and of the server where it could be read."""

    own_bytes: int | None = None
    server_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Others:
    """What other programs took of the machine, and what was left, in processors."""

    processors: float
    free: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a fixed piece of work took at best, and for which share of the time it took much longer."""

    fastest_s: float
    slow: float


@dataclass(frozen=True, slots=True)
class Repeat:
    """One of several repeats of the same load, one after the other: from their spread, the noise."""

    throughput_per_s: float
    p50_s: float
    p99_s: float
    on_time_rate: float
    p90_s: float = 0.0
    p999_s: float = 0.0
    answered_rate: float = 0.0
    p1_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of the repeats, and between which bounds it lies, 95 times in 100."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the run can be believed; ``reasons`` say why not, ``notes`` what to know, a sentence each."""

    status: str = VALID
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether it can."""
        return self.status == VALID


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load test.

    ``sent`` requests were due in ``duration_s``, ``ok`` were answered. ``target_updates_per_s`` counts pairs
    of a template and a search region in the answers. ``on_time_rate`` is the share of what was due that was
    answered within ``period_s``. ``dropped_frames`` were given up by a generator because too many were out.
    ``batch_sizes`` counts answers by the number of pairs in the server's launch. ``headroom`` is how many
    times as much the generators could have asked of a server that answers at once; None: not tried. ``busy``
    is the share of a processor that the busiest generator took, ``stalled_s`` for how much of ``duration_s``
    their machine stood still, ``others`` what other programs took of it, ``pace`` how fast it was; None: not
    known. ``account`` is the server's own, where it shows metrics. Runs whose repeats were made side by side
    have the same ``turns``.
    """

    settings: Mapping[str, Json]
    machine: Mapping[str, Json]
    started: str
    warm_up_s: float
    duration_s: float
    period_s: float
    windows: tuple[Window, ...]
    latency: Distribution
    service_time: Distribution
    sent: int
    ok: int
    late_sends: int
    throughput_per_s: float
    target_updates_per_s: float
    on_time_rate: float
    dropped_frames: int = 0
    rejects: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    checked: int = 0
    wrong_answers: int = 0
    batch_sizes: Mapping[int, int] = field(default_factory=dict)
    stages: Stages = Stages()
    memory: Memory = Memory()
    repeats: tuple[Repeat, ...] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    headroom: float | None = None
    busy: float | None = None
    stalled_s: float = 0.0
    others: Others | None = None
    pace: Pace | None = None
    account: Account | None = None
    turns: str | None = None
    verdict: Verdict = Verdict()

    @property
    def server_bytes(self) -> int | None:
        """The server's resident memory, by the machine or by its own account."""
        if self.memory.server_bytes is None and self.account is not None:
            return self.account.resident_bytes
        return self.memory.server_bytes


@dataclass(frozen=True, slots=True)
class CapacityPoint:
    """One load that was tried: so many targets, what came of it, and whether it was carried."""

    targets: int
    run: Run
    carried: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """The search for the most targets that are answered in time; ``answer`` is None where none are.

    Nine times in ten the server's limit lies between ``low`` and ``high``, by what was seen.
    """

    points: tuple[CapacityPoint, ...]
    answer: int | None
    period_s: float
    verdict: Verdict = Verdict()
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One measure of two runs.

    ``change`` and ``noise`` are shares of ``a``; ``verdict`` is better, worse or same.
    """

    name: str
    a: float
    b: float
    change: float
    noise: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side; ``verdict`` is better, worse, mixed, no difference or invalid."""

    rows: tuple[ComparisonRow, ...]
    verdict: str
    warnings: tuple[str, ...] = ()
