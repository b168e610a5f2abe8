"""What became better or worse from one run to another, beyond noise.

Rules:

- The noise is learnt from the runs: from how their windows differ among themselves, and their repeats, where
  they have some. Few windows tell little of their own spread, by chance too little, so that what is usual for
  a measure counts beside it as if seen before (a moderated t test: Smyth, "Linear models and empirical Bayes
  methods", 2004).
- Windows of one run do not show what differs between runs, such as where memory and processes came to lie. So
  the spread between runs counts too: that of the repeats, and the usual one, or on a noisy machine that of
  the windows, where there are few.
- What else runs on the machine only ever slows a request. So the fastest hundredth of requests is the
  steadiest measure of what one takes: it varied by 2 to 4 % from run to run on a shared machine, where the
  median varied by 4 to 14 % (Chen and Revels, "Robust benchmarking in noisy environments", 2016).
- Runs that were made in turns are compared repeat by repeat: what the machine did to both at the time cancels
  out. That is the surest way where it is faster in one minute than in the next (Bulej et al., "Duet
  benchmarking", 2020). Turns that were cut short are no verdict, but where an answer was wrong: who may stop
  when the figures please gets such figures.
- Times and rates are compared as ratios, shares as differences.
- A measure has changed when its change exceeds ``noise``, which chance alone does once in 50 times. A
  wrong answer is no noise.

Rejected: tests on all single latencies. Within a run they depend on one another, so that with their number
every difference becomes significant, between two runs of the same server too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, mean

from siamcorr_load.cut_short import was_cut
from siamcorr_load.measures import MEASURES, Measure
from siamcorr_load.results import INVALID, Comparison, ComparisonRow, Json, Run

__all__ = ["BETTER", "MIXED", "NO_DIFFERENCE", "SAME", "WORSE", "compare", "exit_code"]

BETTER, WORSE, SAME, MIXED, NO_DIFFERENCE = "better", "worse", "same", "mixed", "no difference"

_SEEN_BEFORE, _SEEN_IN_TURNS = 4, 2  # how many degrees of freedom the usual spreads are worth
_CHANCE = 0.01  # on either side
_LEAST_SHARE = 0.002  # a smaller difference between shares is of no interest

_OTHER_PACE = 1.1  # from so many times on it is another machine, as far as times go

_ASIDE = frozenset(
    {"server", "server_pid", "metrics_url", "seed", "headroom", "windows", "max_windows", "repeats"}
)
"""Settings in which two runs may differ and still have met the same load."""

_MOMENTARY = frozenset({"load_average"})
"""What is said of a machine and changes by itself."""


def compare(a: Run, b: Run) -> Comparison:
    """Compare run ``b`` with run ``a``, the one before.

    Returns:
        A row for each measure that both runs have; whether ``b`` is better, worse, mixed or shows no
        difference, or the comparison is invalid; and what makes it doubtful, a sentence each.
    """
    are_in_turns = a.turns is not None and a.turns == b.turns
    row_of = _row_in_turns if are_in_turns else _row
    rows = tuple(row for measure in MEASURES if (row := row_of(measure, a, b)) is not None)
    verdicts = {row.verdict for row in rows} - {SAME}
    if b.wrong_answers > 0 and a.wrong_answers == 0:
        verdicts = {WORSE}
    elif are_in_turns and (was_cut(a) or was_cut(b)):
        verdicts = {INVALID}
    if len(verdicts) == 2:
        return Comparison(rows, MIXED, _warnings(a, b))
    return Comparison(rows, verdicts.pop() if verdicts else NO_DIFFERENCE, _warnings(a, b))


def exit_code(comparison: Comparison) -> int:
    """Return what a command says to a CI: 1 where something became worse, or nobody knows, else 0."""
    return int(comparison.verdict in {WORSE, MIXED, INVALID})


def _row(measure: Measure, a: Run, b: Run) -> ComparisonRow | None:
    before, after = measure.of_run(a), measure.of_run(b)
    if not _is_known(measure, before, after):
        return None
    difference = after - before if measure.is_share else math.log(after / before)
    return _judged(measure, before, after, difference, _margin(measure, a, b))


def _is_known(measure: Measure, before: float, after: float) -> bool:
    """Whether a change can be told: a share may fall to nothing, while another measure is not known then."""
    return before > 0 and (after > 0 or measure.is_share)


def _row_in_turns(measure: Measure, a: Run, b: Run) -> ComparisonRow | None:
    before, after = measure.of_run(a), measure.of_run(b)
    if not _is_known(measure, before, after):
        return None
    turns = zip(a.repeats, b.repeats, strict=False)  # one may have a turn more where they were cut short
    pairs = [(measure.of_repeat(x), measure.of_repeat(y)) for x, y in turns]
    if not pairs or not (measure.is_share or all(min(pair) > 0 for pair in pairs)):
        return None
    differences = [y - x if measure.is_share else math.log(y / x) for x, y in pairs]
    usual = math.sqrt(2) * measure.run_spread  # of a difference
    spread, freedom = _moderated([differences], usual, _SEEN_IN_TURNS)
    margin = _t_quantile(freedom) * spread / math.sqrt(len(pairs))
    return _judged(measure, before, after, mean(differences), margin)


def _judged(measure: Measure, before: float, after: float, difference: float, margin: float) -> ComparisonRow:
    """Return a row of a difference of logarithms, or of shares, and what it exceeds by chance."""
    if measure.is_share:
        margin = max(margin, _LEAST_SHARE)
        change, noise = difference / before, margin / before
    else:
        change, noise = math.expm1(difference), math.expm1(margin)
    verdict = SAME
    if abs(difference) > margin:
        verdict = BETTER if (change > 0) == measure.more_is_better else WORSE
    return ComparisonRow(measure.name, before, after, change, noise, verdict)


def _margin(measure: Measure, a: Run, b: Run) -> float:
    """Return what the difference exceeds by chance once in fifty times: of logarithms, or of shares."""
    windows = [[measure.of_window(window) for window in run.windows] for run in (a, b)]
    within, freedom = _spread(measure, windows, measure.window_spread)
    repeats = [[measure.of_repeat(one) for one in run.repeats] for run in (a, b)]
    usual = measure.run_spread if measure.is_calm else max(measure.run_spread, within)
    between, _ = _spread(measure, repeats, usual)
    variance = sum(
        within**2 / max(1, len(of_windows)) + between**2 / max(1, len(of_repeats))
        for of_windows, of_repeats in zip(windows, repeats, strict=True)
    )
    return _t_quantile(freedom) * math.sqrt(variance)


def _spread(measure: Measure, groups: Sequence[Sequence[float]], usual: float) -> tuple[float, int]:
    if not measure.is_share:
        groups = [[math.log(value) for value in group if value > 0] for group in groups]
    return _moderated(groups, usual)


def _moderated(
    groups: Sequence[Sequence[float]], usual: float, seen_before: int = _SEEN_BEFORE
) -> tuple[float, int]:
    """Return the standard deviation within groups, moderated by the usual one, and its degrees of freedom."""
    squares, freedom = seen_before * usual**2, seen_before
    for values in groups:
        if len(values) > 1:
            middle = mean(values)
            squares += sum((value - middle) ** 2 for value in values)
            freedom += len(values) - 1
    return math.sqrt(squares / freedom), freedom


def _t_quantile(freedom: int) -> float:
    """Return the t that chance exceeds with _CHANCE, right to 1 % from 4 degrees of freedom on."""
    z = NormalDist().inv_cdf(1 - _CHANCE)  # with Cornish and Fisher's expansion
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _warnings(a: Run, b: Run) -> tuple[str, ...]:
    warnings = []
    for name, run in (("the first", a), ("the second", b)):
        if not run.verdict.is_valid:
            warnings.append(f"{name} run is not valid: {'; '.join(run.verdict.reasons)}")
        if len(run.windows) < 2:
            warnings.append(f"{name} run has too few windows to learn its noise from")
    if differ := _differing(a.settings, b.settings, _ASIDE):
        warnings.append(f"the runs differ in their settings: {', '.join(differ)}")
    if differ := _differing(a.machine, b.machine, _MOMENTARY):
        warnings.append(f"the runs were made on machines that differ: {', '.join(differ)}")
    if a.pace and b.pace and not 1 / _OTHER_PACE < b.pace.fastest_s / a.pace.fastest_s < _OTHER_PACE:
        times = f"{b.pace.fastest_s / a.pace.fastest_s:.2f} times as long in the second run as in the first"
        warnings.append(f"the machine itself was not as fast: it took {times} for the same piece of work")
    if b.wrong_answers:
        warnings.append(f"wrong answers in the second run: {b.wrong_answers}")
    return tuple(warnings)


def _differing(a: Mapping[str, Json], b: Mapping[str, Json], aside: frozenset[str]) -> list[str]:
    # Through JSON a tuple becomes a list.
    names = sorted((set(a) | set(b)) - aside)
    return [name for name in names if json.dumps(a.get(name)) != json.dumps(b.get(name))]
