"""What is kept of a load test that is cut short, and when there is nothing to keep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

import pytest

from load_runs import GONE, Scripted, a_tally
from siamcorr_load import controller, kept, turns
from siamcorr_load.capacity import find_capacity
from siamcorr_load.compare import compare
from siamcorr_load.controller import run
from siamcorr_load.cut_short import was_cut
from siamcorr_load.recorder import Tally
from siamcorr_load.results import Run, Window
from siamcorr_load.settings import Load
from siamcorr_load.summary import Measured, summary
from siamcorr_load.turns import run_in_turns

if TYPE_CHECKING:
    from _typeshed import TraceFunction

LOAD = Load(server="a:1", headroom=False, repeats=3)


def a_run(targets: int) -> Run:
    tally = a_tally()
    return summary(
        Load(server="a:1", cameras=targets), [Measured((tally,) * 3, (tally.window(1.0),) * 3)], started=""
    )


@pytest.mark.parametrize("windows", [1, 3, 4, 8])
@pytest.mark.parametrize(
    ("end", "says"),
    [
        (KeyboardInterrupt(), "it was interrupted before its end"),
        (GONE, "it could not go on: nobody is there"),
    ],
)
def test_a_run_that_is_cut_short_keeps_each_window_that_has_closed(
    windows: int, end: BaseException, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siamcorr_load.controller.measure", Scripted(windows, end).measure)
    found = run(LOAD, keeps_what_it_has=True)
    assert (len(found.windows), found.ok) == (windows, 1000 * windows)
    assert found.verdict.reasons == (says,)
    assert len(found.repeats) == -(-windows // 3)


def test_a_run_of_which_nothing_is_kept_ends_as_it_was_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for windows, keeps in [(0, True), (4, False)]:
        for end in (KeyboardInterrupt(), GONE):
            monkeypatch.setattr("siamcorr_load.controller.measure", Scripted(windows, end).measure)
            with pytest.raises(type(end)):
                run(LOAD, keeps_what_it_has=keeps)


def test_a_run_whose_headroom_is_not_known_because_of_a_ctrl_c_is_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: Load) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr("siamcorr_load.controller.measure", Scripted(9, GONE).measure)
    monkeypatch.setattr("siamcorr_load.controller.measure_headroom", interrupted)
    found = run(Load(server="a:1"), keeps_what_it_has=True)
    assert (len(found.windows), found.headroom) == (3, None)
    assert found.verdict.reasons == ("it was interrupted before its end",)


@pytest.mark.parametrize("end", [KeyboardInterrupt(), GONE])
def test_a_search_that_is_cut_short_keeps_its_trials(end: BaseException) -> None:
    def trial(targets: int) -> Run:
        if targets > 40:
            raise end
        return a_run(targets)

    found = find_capacity(trial)
    assert [point.targets for point in found.points] == [8, 16, 32]
    assert found.answer == 32
    assert not found.verdict.is_valid
    assert len(found.verdict.reasons) == 1


@pytest.mark.parametrize("end", [KeyboardInterrupt(), GONE])
def test_a_search_without_a_trial_ends_as_it_was_ended(end: BaseException) -> None:
    def trial(_: int) -> Run:
        raise end

    with pytest.raises(type(end)):
        find_capacity(trial)


def test_a_search_whose_last_trial_nobody_answered_does_not_trust_itself() -> None:
    silent = Tally(sent=1000)

    def trial(targets: int) -> Run:
        gone = summary(LOAD, [Measured((silent,) * 3, (silent.window(1.0),) * 3)], started="")
        return a_run(targets) if targets <= 20 else gone

    found = find_capacity(trial)
    assert not found.points[-1].run.ok
    assert any("nothing was answered at the end" in reason for reason in found.verdict.reasons)


@pytest.mark.parametrize(
    ("windows", "of_each"), [(4, (3, 1)), (6, (3, 3)), (7, (3, 4)), (10, (4, 6)), (17, (9, 8))]
)
@pytest.mark.parametrize("end", [KeyboardInterrupt(), GONE])
def test_servers_in_turns_keep_each_window_that_has_closed(
    windows: int, of_each: tuple[int, int], end: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "measure", Scripted(windows, end).measure)
    a, b = run_in_turns(LOAD, "b:1", keeps_what_it_has=True)
    assert (len(a.windows), len(b.windows)) == of_each
    assert (a.settings["server"], b.settings["server"]) == ("a:1", "b:1")
    assert was_cut(a)
    assert was_cut(b)
    assert compare(a, b).verdict == "invalid"


@pytest.mark.parametrize(("windows", "keeps"), [(0, True), (1, True), (3, True), (8, False)])
@pytest.mark.parametrize("end", [KeyboardInterrupt(), GONE])
def test_turns_of_which_nothing_is_kept_end_as_they_were_ended(
    windows: int, keeps: bool, end: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "measure", Scripted(windows, end).measure)
    with pytest.raises(type(end)):
        run_in_turns(LOAD, "b:1", keeps_what_it_has=keeps)


@contextmanager
def ctrl_c_at(step: int, *modules: ModuleType) -> Iterator[None]:
    """Interrupt before the line that is the ``step``th to run of the modules."""
    files, left = {module.__file__ for module in modules}, step

    def trace(frame: FrameType, event: str, _: object) -> TraceFunction | None:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        left -= event == "line"
        if left < 0:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("in_turns", [False, True])
def test_at_whatever_line_a_ctrl_c_comes_each_window_counts_once(
    in_turns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = set()
    for step in range(1000):
        closed: list[Window] = []
        for module in (controller, turns):
            monkeypatch.setattr(module, "measure", Scripted(18, GONE).measure)
        try:
            with ctrl_c_at(step, controller, kept, turns):
                found = (
                    run_in_turns(LOAD, "b:1", closed.append, keeps_what_it_has=True)
                    if in_turns
                    else (run(LOAD, closed.append, keeps_what_it_has=True),)
                )
        except KeyboardInterrupt:
            assert len(closed) <= (3 if in_turns else 0)
            continue
        assert sum(len(one.windows) for one in found) == len(closed)
        counts.add(len(closed))
        if not was_cut(found[0]):
            break
    assert counts == ({6, 9, 12, 15, 18} if in_turns else {3, 6, 9})
