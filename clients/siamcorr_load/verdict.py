"""Whether a run can be believed: pure rules, each with a reason that a reader understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from siamcorr_load.others import are_in_the_way
from siamcorr_load.results import INVALID, VALID, Interval, Others, Pace, Verdict, Window
from siamcorr_load.yardstick import is_unsteady

__all__ = ["BUSY", "MAX_LATE_SHARE", "MAX_STALLED_SHARE", "MIN_HEADROOM", "agree", "judge"]

MAX_LATE_SHARE = 0.01
"""So many of its sends a generator may make late before its latencies are its own and not the server's."""

MIN_HEADROOM = 1.2
"""So many times the measured rate the generators must reach with a server that answers at once."""

MAX_STALLED_SHARE = 0.01
"""For so much of the time the generators' machine may stand still before it is that which is measured."""

BUSY = 0.9
"""A generator that takes so much of a processor sends what it can, not what is due."""

_AGREEING = 3
_REPEATED = (("throughput_per_s", "throughput"), ("p50_s", "latency p50"))


def agree(windows: Sequence[Window], tolerance: float) -> bool:
    """Whether throughput and median latency of the last three windows differ by ``tolerance`` at most.

    >>> agree([Window(1.0, 10, 10, 10, p50_s=s) for s in (0.5, 0.010, 0.011, 0.010)], 0.2)
    True
    """
    last = windows[-_AGREEING:]
    if len(last) < _AGREEING:
        return False
    for values in ([one.throughput_per_s for one in last], [one.p50_s for one in last]):
        mean = sum(values) / len(values)
        if max(values) - min(values) > tolerance * mean:
            return False
    return True


def judge(
    windows: Sequence[Window],
    *,
    tolerance: float | None,
    late_sends: int,
    sent: int,
    checked: int,
    wrong_answers: int,
    is_checking: bool,
    headroom: float | None,
    others: Others | None = None,
    pace: Pace | None = None,
    intervals: Mapping[str, Interval] = MappingProxyType({}),
) -> Verdict:
    """Return the verdict on a run; with ``tolerance`` None its windows need not agree.

    >>> judge([], tolerance=0.2, late_sends=2, sent=100, checked=9, wrong_answers=1, is_checking=True,
    ...       headroom=1.0).reasons  # doctest: +NORMALIZE_WHITESPACE +ELLIPSIS
    ('1 of 9 answers checked were wrong', 'the generators sent 2.0 % of requests late, more than 1 %...', ...)
    """
    reasons = []
    if wrong_answers:
        reasons.append(f"{wrong_answers} of {checked} answers checked were wrong")
    if late_sends > MAX_LATE_SHARE * sent:
        late = f"{100 * late_sends / sent:.1f} % of requests late, more than {100 * MAX_LATE_SHARE:g} %"
        reasons.append(f"the generators sent {late}: try more processes, or another machine")
    stalled_s, whole_s = (sum(getattr(one, name) for one in windows) for name in ("stalled_s", "seconds"))
    if stalled_s > MAX_STALLED_SHARE * whole_s:
        reasons.append(
            f"the generators' machine stood still for {1e3 * stalled_s:.0f} ms of {whole_s:g} s: "
            "something else ran on it"
        )
    if others is not None and are_in_the_way(others):
        reasons.append(
            f"other programs took {others.processors:.1f} processors, and {others.free:.1f} were free: "
            "let nothing else run"
        )
    if pace is not None and is_unsteady(pace):
        reasons.append(
            f"the generators' machine was slower than it can be for {100 * pace.slow:.0f} % of the time: "
            "a neighbour on its host?"
        )
    if headroom is not None and headroom < MIN_HEADROOM:
        reasons.append(
            f"no headroom: a server that answers at once would get {headroom:.2f} times the requests, "
            f"expected {MIN_HEADROOM:g} times"
        )
    if not sum(window.ok for window in windows):
        reasons.append("nothing was answered")
    elif not windows[-1].ok and windows[-1].sent:
        reasons.append("nothing was answered at the end: the server may be gone, or started anew")
    elif is_checking and not checked:
        reasons.append("no answer was checked")
    if tolerance is not None and not agree(windows, tolerance):
        reasons.append(f"the last {_AGREEING} windows do not agree within {100 * tolerance:g} %")
    if tolerance is not None:
        reasons += [
            f"the repeats do not agree within {100 * tolerance:g} %: {name} is "
            f"{100 * (wide.high / wide.mean - 1):.0f} % more or less"
            for name, wide in ((name, intervals.get(key)) for key, name in _REPEATED)
            if wide is not None and wide.high - wide.mean > tolerance * wide.mean
        ]
    return Verdict(INVALID if reasons else VALID, tuple(reasons))
