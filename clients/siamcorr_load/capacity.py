"""How many targets a server can follow: which loads to try, and when to believe what came of them.

Rules:

- A load is carried when the 99th percentile of its latency, from when each request was due, lies within the
  frame period, and 99.9 % of what was due was answered within it. A refused request was not answered. A load
  that is carried although the generator was late is carried: lateness makes it burst, and costs it time.
- The search doubles the load until it is not carried, or halves it until it is; then it halves the gap, until
  that is a twentieth of the load.
- One run decides when it is far from the line. Near it two of up to three runs decide, because one pause of a
  shared machine is enough to spoil 99.9 %.
- A load that was not carried while the generator was late is tried again, twice at most, before it counts:
  such a pause hit the generator too. Each run is in the result.
- At the end both sides of the gap are tried once more. Where one does not hold, the search goes
  on from there.

The search says itself when its answer cannot be trusted: a wrong answer was given; the load that was not
carried was one that the generator could not send in time, so that the server may carry more; what was found
did not hold when tried again, time after time; or over a quarter of the runs say otherwise than the answer.

Rejected: reading the capacity off an overloaded server's throughput. It answers more requests than it answers
in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from siamcorr.errors import InvalidArgument
from siamcorr_load.results import INVALID, Capacity, CapacityPoint, Run, Verdict

__all__ = ["LATE_SHARE", "ON_TIME", "carries", "find_capacity", "generator_was_late"]

ON_TIME = 0.999
"""The least share of what was due that has to be answered within the frame period."""

LATE_SHARE = 0.01
"""The most of its sends for which a generator may be late."""

PRECISION = 0.05
"""How near the answer is to a load that is not carried, as a share of the answer."""

_VOTES = 2
_CLEARLY_IN_TIME = 0.6  # of the period: p99
_CLEARLY_LATE = 0.9  # on time, at most
_OUTVOTED_SHARE = 0.25
_REOPENINGS = 3
_VOID_RUNS = 2
_NOISY = "the machine is too noisy"


def carries(run: Run) -> bool:
    """Whether a server carried the load of a run."""
    return run.sent > 0 and run.latency.p99_s <= run.period_s and run.on_time_rate >= ON_TIME


def generator_was_late(run: Run) -> bool:
    """Whether a run whose load was not carried says more of the generator than of the server."""
    return run.late_sends > LATE_SHARE * run.sent


def find_capacity(
    run: Callable[[int], Run],
    *,
    targets_each: int = 1,
    first: int = 8,
    limit: int = 100_000,
    precision: float = PRECISION,
    tell: Callable[[CapacityPoint], None] | None = None,
) -> Capacity:
    """Find the most targets that a server answers in time.

    Args:
        run: makes one run with so many cameras, 1 or more.
        targets_each: how many targets each camera has.
        first: how many cameras to begin with.
        limit: the most cameras to try.
        precision: the gap between the answer and a load that is not carried, as a share of the answer.
        tell: called with each run's point as it is made.

    Returns:
        Every run in the order in which they were made, the answer, None where not even one target is
        answered in time, and whether to believe it.

    Raises:
        InvalidArgument: names the argument that is out of its range.
    """
    if limit < 1:
        raise InvalidArgument.found("limit", repr(limit)[:80], "at least 1")
    if not 1 <= first <= limit:
        raise InvalidArgument.found("first", repr(first)[:80], f"1 to limit, {limit}")
    if targets_each < 1:
        raise InvalidArgument.found("targets_each", repr(targets_each)[:80], "at least 1")
    if not 0 < precision < 1:
        raise InvalidArgument.found("precision", repr(precision)[:80], "above 0, below 1")
    search = _Search(run, targets_each, tell)
    try:
        return _settled(search, first, limit, precision)
    except _WrongAnswerError as wrong:
        return search.result(0, [str(wrong)])


class _WrongAnswerError(Exception):
    """A server that answers wrongly has no capacity."""


@dataclass(slots=True)
class _Search:
    """Counts in cameras; the points, and what is found, in targets."""

    run: Callable[[int], Run]
    targets_each: int
    tell: Callable[[CapacityPoint], None] | None
    points: list[CapacityPoint] = field(default_factory=list)

    def is_carried(self, cameras: int) -> bool:
        """Run a load until it is decided whether it is carried."""
        votes: list[bool] = []
        void = 0
        while max(votes.count(True), votes.count(False)) < _VOTES:
            point = self.try_once(cameras)
            if not point.carried and generator_was_late(point.run) and void < _VOID_RUNS:
                void += 1
                continue
            votes.append(point.carried)
            if _is_clear(point):
                break
        return votes[-1]  # the last vote is the one that decided

    def try_once(self, cameras: int) -> CapacityPoint:
        """Run a load and keep what came of it."""
        run = self.run(cameras)
        point = CapacityPoint(cameras * self.targets_each, run, carries(run))
        self.points.append(point)
        if self.tell is not None:
            self.tell(point)
        if run.wrong_answers:
            raise _WrongAnswerError(f"wrong answers at {point.targets} targets: {run.wrong_answers}")
        return point

    def result(self, carried: int, reasons: list[str]) -> Capacity:
        """Put together what was found."""
        answer = carried * self.targets_each or None
        verdict = Verdict(INVALID, tuple(reasons)) if reasons else Verdict()
        return Capacity(tuple(self.points), answer, self.points[0].run.period_s, verdict)


def _is_clear(point: CapacityPoint) -> bool:
    run = point.run
    if point.carried:
        return run.latency.p99_s <= _CLEARLY_IN_TIME * run.period_s
    return run.on_time_rate <= _CLEARLY_LATE and not generator_was_late(run)


def _settled(search: _Search, first: int, limit: int, precision: float) -> Capacity:
    if search.is_carried(first):
        carried, refused = _climb(search, first, limit, first)
    else:
        carried, refused = _descend(search, first, first)
    for _ in range(_REOPENINGS):
        while refused is not None and refused - carried > _gap(carried, precision):
            middle = (carried + refused) // 2
            if search.is_carried(middle):
                carried = middle
            else:
                refused = middle
        if refused is None:
            break
        if search.is_carried(refused):
            carried, refused = _climb(search, refused, limit, _gap(refused, precision))
        elif carried and not search.is_carried(carried):
            carried, refused = _descend(search, carried, _gap(carried, precision))
        else:
            break
    else:
        again = f"what was found did not hold when tried again, {_REOPENINGS} times: {_NOISY}"
        return search.result(carried, [again, *_doubts(search, carried, refused)])
    return search.result(carried, _doubts(search, carried, refused))


def _gap(carried: int, precision: float) -> int:
    return max(1, int(precision * carried))


def _climb(search: _Search, carried: int, limit: int, step: int) -> tuple[int, int | None]:
    """From a load that is carried, find one that is not, in steps that double; None where all are."""
    while carried < limit:
        more = min(carried + step, limit)
        if not search.is_carried(more):
            return carried, more
        carried, step = more, 2 * step
    return carried, None


def _descend(search: _Search, refused: int, step: int) -> tuple[int, int]:
    """From a load that is not carried, find one that is, in steps that double; 0 where none is."""
    while less := max(refused - step, refused // 2):
        if search.is_carried(less):
            return less, refused
        refused, step = less, 2 * step
    return 0, refused


def _doubts(search: _Search, carried: int, refused: int | None) -> list[str]:
    doubts = []
    answer, too_many = carried * search.targets_each, (refused or 0) * search.targets_each
    if refused is None:
        doubts.append(f"all {answer} targets that were allowed were carried: the server may carry more")
    elif all(generator_was_late(point.run) for point in search.points if point.targets == too_many):
        doubts.append(f"the generator itself was late at {too_many} targets: the server may carry more")
    outvoted = sum(point.carried != (point.targets <= answer) for point in search.points)
    if outvoted > _OUTVOTED_SHARE * len(search.points):
        doubts.append(f"{outvoted} of {len(search.points)} runs contradict the others: {_NOISY}")
    return doubts
