"""What is kept of a load test that is cut short, and when there is nothing to keep."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from siamcorr.errors import ServerUnavailable
from siamcorr_load.__main__ import main
from siamcorr_load.capacity import find_capacity
from siamcorr_load.controller import Enough, OnWindow, run
from siamcorr_load.cut_short import Interrupts
from siamcorr_load.recorder import Tally
from siamcorr_load.result_json import from_json
from siamcorr_load.results import Capacity, Run, Window
from siamcorr_load.settings import Load
from siamcorr_load.summary import Measured, summary

LOAD = Load(server="a:1", headroom=False, repeats=3)
GONE = ServerUnavailable("nobody is there")
SERVER = ["--server", "a:1"]


def a_tally() -> Tally:
    tally = Tally(sent=1000, on_time=1000, checked=9)
    for _ in range(1000):
        tally.latency.record(0.01)
    return tally


def a_run(targets: int) -> Run:
    tally = a_tally()
    return summary(
        Load(server="a:1", cameras=targets), [Measured((tally,) * 3, (tally.window(1.0),) * 3)], started=""
    )


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


@pytest.mark.parametrize("mode", [["--find-capacity"], []])
def test_the_first_ctrl_c_writes_the_report_and_the_exit_code_tells_of_it(
    mode: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ctrl(Scripted):
        def measure(self, *arguments: object) -> Measured:
            if self.left <= 1:
                self.left = 0
                signal.raise_signal(signal.SIGINT)
            return super().measure(*arguments)  # type: ignore[arg-type]

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("siamcorr_load.controller.measure", Ctrl(7, GONE).measure)
    out, shown = tmp_path / "a.json", tmp_path / "a.html"
    repeats = [] if mode else ["--repeats", "3"]
    assert main([*SERVER, *mode, *repeats, "--quiet", "--json", str(out), "--html", str(shown)]) == 130
    kind: type[Capacity] | type[Run] = Capacity if mode else Run
    found = from_json(out.read_bytes(), kind)
    assert found.verdict.reasons == ("it was interrupted before its end",)
    assert "interrupted before its end" in shown.read_text(encoding="utf-8")
    told = capsys.readouterr()
    assert "invalid\n  it was interrupted before its end" in told.out
    assert told.err == "siamcorr-load: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_after_the_first_ctrl_c_the_system_ends_the_process_at_the_second() -> None:
    with Interrupts() as interrupts:
        assert not interrupts.came
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupts.came
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
