"""Why the answer of a search for the capacity cannot be trusted, and what to know about it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from siamcorr_load.others import are_in_the_way, most
from siamcorr_load.results import CapacityPoint, Window
from siamcorr_load.verdict import BUSY, MAX_LATE_SHARE
from siamcorr_load.windows import is_clear, is_in_time, proves
from siamcorr_load.yardstick import MOST_SLOW, slow_ones

__all__ = ["doubts", "generator_was_late", "notes"]

_NEAR = 0.15
_SEVERAL = 2
_SPOILT_SHARE = 0.25
_VOID = 0.5
"""Beyond it two searches do not agree, in simulation, because some slow windows look like quiet ones."""


def generator_was_late(point: CapacityPoint) -> bool:
    """Whether a generator was late for more of its sends than a run may be."""
    return point.run.late_sends > MAX_LATE_SHARE * point.run.sent


def doubts(points: Sequence[CapacityPoint], answer: int, limit: int, shares_machine: bool) -> list[str]:
    """Return why the ``answer``, in targets, cannot be trusted, a sentence each."""
    found = []
    if not _is_answered_at_the_end(points[-1]):
        found.append(
            f"nothing was answered at the end, with {points[-1].targets} targets: is the server gone?"
        )
    refused = [point for point in points if not point.carried and point.targets > answer]
    if answer >= limit:
        found.append(f"all {answer} targets that were allowed were carried: the server may carry more")
    if refused and all((point.run.busy or 0.0) >= BUSY for point in refused):
        found.append("the generators had no processor time left: try more --processes, or another machine")
    elif refused and not shares_machine and all(map(generator_was_late, refused)):
        found.append("the generators were late themselves: try more --processes, or another machine")
    disturbed = [point.run.others for point in points if are_in_the_way(point.run.others)]
    if len(disturbed) > _SPOILT_SHARE * len(points) and (worst := most(disturbed)):
        taken = f"up to {worst.processors:.1f} processors, in {len(disturbed)} of {len(points)} trials"
        found.append(f"other programs took {taken}: let nothing else run")
    slow = slow_ones(point.run.pace for point in points)
    if slow > _SPOILT_SHARE * len(points):
        found.append(f"the machine was slower than it can be in {slow} of {len(points)} trials: a neighbour?")
    windows = [(point, window) for point in points for window in point.run.windows]
    proofs = [(point, window) for point, window in windows if proves(window, point.run.period_s)]
    if len(windows) - len(proofs) > _VOID * len(windows):
        found.append(
            f"{len(windows) - len(proofs)} of {len(windows)} windows do not count, because the machine stood "
            "still or was slow in them: a neighbour?"
        )
    return found + _contradictions(proofs, answer)


def _is_answered_at_the_end(point: CapacityPoint) -> bool:
    last = point.run.windows[-1:]
    return all(window.ok or not window.sent for window in last)


def _contradictions(proofs: Sequence[tuple[CapacityPoint, Window]], answer: int) -> list[str]:
    found = []
    below = [(point, window) for point, window in proofs if point.targets < (1 - _NEAR) * answer]
    above = [(point, window) for point, window in proofs if point.targets > (1 + _NEAR) * answer]
    late = [(point, window) for point, window in below if not is_in_time(window, point.run.period_s)]
    in_time = [(point, window) for point, window in above if is_in_time(window, point.run.period_s)]
    if len(late) >= _SEVERAL and len(late) > _SPOILT_SHARE * len(below):
        spoilt = f"{len(late)} of {len(below)} windows well below the answer were late"
        found.append(f"{spoilt}: the machine is too noisy")
    if len(in_time) >= _SEVERAL:
        found.append(f"{len(in_time)} windows well above the answer were in time: the machine is too noisy")
    pauses = [point.targets for point, window in late if is_clear(window, point.run.period_s)]
    if pauses:
        found.append(f"the server paused at {pauses[0]} targets, which it carries otherwise")
    return found


def notes(points: Sequence[CapacityPoint], shares_machine: bool) -> list[str]:
    """Return what to know about an answer, a sentence each."""
    said = []
    if shares_machine:
        said.append("server and generators share this machine: the server alone may carry more")
    windows = list(chain.from_iterable(point.run.windows for point in points))
    stalls = [window.stalled_s for window in windows if window.stalled_s]
    slow = sum(window.slow > MOST_SLOW for window in windows)
    if stalls:
        said.append(
            f"the machine stood still for {1e3 * sum(stalls):.0f} ms in all, in {len(stalls)} of "
            f"{len(windows)} windows"
        )
    if slow:
        said.append(f"something outside made the machine slow in {slow} of {len(windows)} windows")
    void = sum(not proves(window, point.run.period_s) for point in points for window in point.run.windows)
    if void:
        said.append(f"{void} windows do not count: they were late, and the machine explains it")
    return said
