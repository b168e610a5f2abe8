"""Whether a run can be believed: pure rules, each with a reason that a reader understands."""

from __future__ import annotations

from collections.abc import Sequence

from siamcorr_load.results import INVALID, VALID, Verdict, Window

__all__ = ["MAX_LATE_SHARE", "MIN_HEADROOM", "agree", "judge"]

MAX_LATE_SHARE = 0.01
"""So many of its sends a generator may make late before its latencies are its own and not the server's."""

MIN_HEADROOM = 1.2
"""So many times the measured rate the generators must reach with a server that answers at once."""

_AGREEING = 3


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
    tolerance: float,
    late_sends: int,
    sent: int,
    checked: int,
    wrong_answers: int,
    is_checking: bool,
    headroom: float | None,
) -> Verdict:
    """Return the verdict on a run.

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
    if headroom is not None and headroom < MIN_HEADROOM:
        reasons.append(
            f"no headroom: a server that answers at once would get {headroom:.2f} times the requests, "
            f"expected {MIN_HEADROOM:g} times"
        )
    if not sum(window.ok for window in windows):
        reasons.append("nothing was answered")
    elif is_checking and not checked:
        reasons.append("no answer was checked")
    if not agree(windows, tolerance):
        reasons.append(f"the last {_AGREEING} windows do not agree within {100 * tolerance:g} %")
    return Verdict(INVALID if reasons else VALID, tuple(reasons))
