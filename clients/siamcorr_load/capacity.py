"""How many targets a server can follow: which loads to try, and when to believe what came of them.

Rules:

- A window is in time when 99.9 % of what was due in it was answered within the frame period, and with that
  the 99th percentile of its latency. A refused request was not answered. Latency counts from when a request
  was due: a generator that is late costs the server time, and the answer is on the safe side.
- The load is doubled, or far from the line multiplied by four, until it is not carried; or halved until it
  is. From there on each trial is made where least is known of the outcome (:mod:`siamcorr_load.threshold`),
  until the limit is known to a twentieth of it on either side, nine times in ten. A window that is spoilt
  by chance is outvoted later.
- A trial ends with one window that is far from the line, else when two windows say the same.
- A window that was not in time proves nothing where the machine stood still for so long that this explains
  it (:mod:`siamcorr_load.stalls`), or where neighbours made it slow (:mod:`siamcorr_load.yardstick`). One in
  time does: what is carried on a slow machine is carried.
- In the end the answer has had three windows that prove something, most of them in time if it lies above the
  interval's lower end. A load at most a quarter above it has had one that was far from the line, so that it
  was no small pause which made it too much, or three too.

The search says itself when its answer cannot be trusted: a wrong answer was given; there was no time to learn
the limit, or the search was cut short; nothing was answered at the end; the generators were what gave out
first; most windows fell into stalls of the machine, or into slow times; other programs took its processors;
many trials were slow; windows away from the line contradict the answer; or the server itself
paused at loads that it can carry.

Rejected: reading the capacity off an overloaded server's throughput. It answers more requests than it answers
in time. Also pooling all windows of a load: on a machine with other tenants one pause in ten seconds spoils
99.9 %, at half the load as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from siamcorr.errors import InvalidArgument
from siamcorr_load.capacity_doubts import doubts, notes
from siamcorr_load.cut_short import CUTS, why_cut
from siamcorr_load.results import INVALID, VALID, Capacity, CapacityPoint, Run, Verdict, Window
from siamcorr_load.threshold import Threshold
from siamcorr_load.windows import decides, is_carried, is_clear, is_in_time, proves

__all__ = ["PRECISION", "WITHIN_S", "RunTrial", "find_capacity", "is_enough"]

PRECISION = 0.05
"""How near the limit is known on either side, as a share of it, nine times in ten."""

WITHIN_S = 160.0
"""No trial is begun later than this after the search was begun, in seconds."""

RunTrial = Callable[[int], Run]
"""Makes one run with so many cameras, of as many windows as :func:`is_enough` asks for."""

_TAIL = 0.05
_MOST_TRIALS = 60
_PROOFS = 3  # windows that prove something, at the answer
_MOST_WINDOWS = 5
_ABOVE = 0.25
_FAR = 0.2  # of the period: p99


def is_enough(windows: Sequence[Window], period_s: float) -> bool:
    """Whether a trial has shown what it can: to be asked after each window."""
    proofs = [one for one in windows if proves(one, period_s)]
    if len(windows) >= _MOST_WINDOWS or any(is_clear(one, period_s) for one in proofs):
        return True
    in_time = sum(is_in_time(one, period_s) for one in proofs)
    return max(in_time, len(proofs) - in_time) >= 2


def find_capacity(
    run: RunTrial,
    *,
    targets_each: int = 1,
    first: int = 8,
    limit: int = 100_000,
    precision: float = PRECISION,
    within_s: float = WITHIN_S,
    shares_machine: bool = False,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[CapacityPoint], None] | None = None,
) -> Capacity:
    """Find the most targets that a server answers in time.

    Args:
        run: makes one trial.
        targets_each: how many targets each camera has.
        first: how many cameras to begin with.
        limit: the most cameras to try.
        precision: how near the limit is to be known on either side, as a share of it.
        within_s: no trial is begun later.
        shares_machine: the server runs on the generators' machine, so that the two together are asked.
        clock: monotonic seconds.
        tell: called with each trial's point as it is made.

    Returns:
        Every trial in the order in which they were made, the answer, None where not even one target is
        answered in time, the interval around it, and whether to believe it. A search that is cut short after
        a trial (:mod:`siamcorr_load.cut_short`) gives what is known until then.

    Raises:
        InvalidArgument: names the argument that is out of its range.
        SiamcorrError: the first trial could not be made.
    """
    if limit < 1:
        raise InvalidArgument.found("limit", repr(limit)[:80], "at least 1")
    if not 1 <= first <= limit:
        raise InvalidArgument.found("first", repr(first)[:80], f"1 to limit, {limit}")
    if targets_each < 1:
        raise InvalidArgument.found("targets_each", repr(targets_each)[:80], "at least 1")
    if not 0 < precision < 1:
        raise InvalidArgument.found("precision", repr(precision)[:80], "above 0, below 1")
    search = _Search(run, targets_each, first, limit, precision, tell)
    end_s = clock() + within_s
    try:
        while (cameras := search.next()) is not None and clock() < end_s:
            if wrong := search.try_once(cameras).run.wrong_answers:
                reason = f"wrong answers at {cameras * targets_each} targets: {wrong}"
                return search.result(None, Verdict(INVALID, (reason,)))
    except CUTS as error:
        if not search.points:
            raise
        said = notes(search.points, shares_machine)
        return search.result(search.answer() or None, Verdict(INVALID, (why_cut(error),), tuple(said)))
    answer = search.answer()
    reasons = []
    if cameras is not None:
        near = f"{100 * precision:g} %"
        reasons.append(f"no time to find it to {near} either way: after {within_s:g} s {search.span()}")
    reasons += doubts(search.points, answer * targets_each, limit * targets_each, shares_machine)
    said = notes(search.points, shares_machine)
    return search.result(answer or None, Verdict(INVALID if reasons else VALID, tuple(reasons), tuple(said)))


@dataclass(slots=True)
class _Search:
    """Counts in cameras; the points, and what is found, in targets."""

    run: RunTrial
    targets_each: int
    first: int
    limit: int
    precision: float
    tell: Callable[[CapacityPoint], None] | None
    points: list[CapacityPoint] = field(default_factory=list)
    threshold: Threshold = field(init=False)

    def __post_init__(self) -> None:
        self.threshold = Threshold(self.limit)

    def next(self) -> int | None:
        """Return what to try next; None: it is known."""
        if not self.points:
            return self.first
        if len(self.points) >= _MOST_TRIALS:
            return None
        carried = [self._cameras(point) for point in self.points if point.carried]
        if len(carried) == len(self.points):
            return None if max(carried) == self.limit else min(self._further(), self.limit)
        if not carried:
            least = min(map(self._cameras, self.points))
            return None if least == 1 and self._proofs(1) >= _PROOFS else max(1, least // 2)
        if not self._is_known():
            return min(self._least_known(), 2 * max(carried))
        return self._unproven()

    def try_once(self, cameras: int) -> CapacityPoint:
        """Run a trial and learn from it."""
        run = self.run(cameras)
        point = CapacityPoint(cameras * self.targets_each, run, is_carried(run.windows, run.period_s))
        self.points.append(point)
        for window in run.windows:
            if proves(window, run.period_s):
                in_time, clear = is_in_time(window, run.period_s), is_clear(window, run.period_s)
                self.threshold.saw(cameras, is_in_time=in_time, is_clear=clear)
        if self.tell is not None:
            self.tell(point)
        return point

    def answer(self) -> int:
        """Return the most that is carried, more likely than not; 0: nothing is."""
        carried = [self._cameras(point) for point in self.points if point.carried]
        if not carried or len(carried) == len(self.points):
            return max(carried, default=0)
        answer, low = min(int(self.threshold.quantile(0.5)), max(carried)), self._interval()[0]
        while answer > max(1, low) and self._is_mostly_late(answer):
            answer -= 1
        return answer

    def result(self, answer: int | None, verdict: Verdict) -> Capacity:
        """Put together what was found."""
        low, high = self._interval()
        return Capacity(
            tuple(self.points),
            None if answer is None else answer * self.targets_each,
            self.points[0].run.period_s,
            verdict,
            low * self.targets_each,
            high * self.targets_each,
        )

    def span(self) -> str:
        """Return between which loads the limit lies, in words."""
        low, high = (cameras * self.targets_each for cameras in self._interval())
        return f"it lies between {low} and {high} targets"

    def _interval(self) -> tuple[int, int]:
        low, high = self.threshold.quantile(_TAIL), self.threshold.quantile(1 - _TAIL)
        return int(low), min(int(high), self.limit)

    def _is_known(self) -> bool:
        low, high = self._interval()
        return high - low <= max(1, int(2 * self.precision * self.threshold.quantile(0.5)))

    def _least_known(self) -> int:
        middle = max(1, min(int(self.threshold.quantile(0.5)), self.limit))
        nearby = {middle, min(middle + 1, self.limit)}
        return min(sorted(nearby), key=lambda one: abs(self.threshold.chance_in_time(one) - 0.5))

    def _further(self) -> int:
        """Return the next load of the climb: twice as much, or four times where there is much room."""
        last = self.points[-1]
        is_far = all(one.p99_s <= _FAR * last.run.period_s for one in last.run.windows)
        return (4 if is_far else 2) * self._cameras(last)

    def _unproven(self) -> int | None:
        """Return the answer, or a load just above it, if that needs more windows."""
        answer, period_s = self.answer(), self.points[0].run.period_s
        if answer and self._proofs(answer) < _PROOFS:
            return answer
        above = answer + max(1, int(_ABOVE * answer))
        points = [point for point in self.points if answer < self._cameras(point) <= above]
        late = [one for point in points for one in point.run.windows if not is_in_time(one, period_s)]
        if any(is_clear(one, period_s) and proves(one, period_s) for one in late):
            return None
        return above if above <= self.limit and self._proofs(above) < _PROOFS else None

    def _cameras(self, point: CapacityPoint) -> int:
        return point.targets // self.targets_each

    def _is_mostly_late(self, cameras: int) -> bool:
        there = [window for point in self._at(cameras) for window in point.run.windows]
        is_proven = self._proofs(cameras) >= _PROOFS
        return is_proven and not is_carried(there, self.points[0].run.period_s)

    def _at(self, cameras: int) -> list[CapacityPoint]:
        return [point for point in self.points if self._cameras(point) == cameras]

    def _proofs(self, cameras: int) -> int:
        return sum(decides(point.run.windows, point.run.period_s) for point in self._at(cameras))
