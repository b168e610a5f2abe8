"""A Ctrl-C and SIGTERM: what was measured until then is reported, and the exit code tells of them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from load_runs import GONE, Scripted
from siamcorr_load import controller, turns
from siamcorr_load.__main__ import main
from siamcorr_load.cut_short import Interrupts, was_cut
from siamcorr_load.result_json import from_json
from siamcorr_load.results import Capacity, Run
from siamcorr_load.summary import Measured

SERVER = ["--server", "a:1"]


both = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


def signal_before(windows: int, number: int, *, of: int) -> Callable[..., Measured]:
    """Return what measures ``of`` windows, and gets a signal as so many are left."""

    class Signalled(Scripted):
        def measure(self, *arguments: object) -> Measured:
            if self.left <= windows:
                self.left = 0
                signal.raise_signal(number)
            return super().measure(*arguments)  # type: ignore[arg-type]

    return Signalled(of, GONE).measure


@both
@pytest.mark.parametrize("mode", [["--find-capacity"], ["--repeats", "3"]])
def test_the_first_signal_writes_the_report_and_the_exit_code_tells_of_it(
    number: int,
    code: int,
    mode: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(number)
    monkeypatch.setattr(controller, "measure", signal_before(1, number, of=7))
    out, shown = tmp_path / "a.json", tmp_path / "a.html"
    assert main([*SERVER, *mode, "--quiet", "--json", str(out), "--html", str(shown)]) == code
    kind: type[Capacity] | type[Run] = Capacity if "--find-capacity" in mode else Run
    found = from_json(out.read_bytes(), kind)
    assert found.verdict.reasons == ("it was interrupted before its end",)
    assert "interrupted before its end" in shown.read_text(encoding="utf-8")
    told = capsys.readouterr()
    assert "invalid\n  it was interrupted before its end" in told.out
    assert told.err == "siamcorr-load: interrupted\n"
    assert signal.getsignal(number) is before


@both
def test_a_signal_writes_both_runs_of_servers_in_turns_and_a_comparison_that_is_not_to_be_believed(
    number: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(turns, "measure", signal_before(1, number, of=10))
    kept_runs = [str(tmp_path / name) for name in ("a.json", "b.json")]
    shown = tmp_path / "a.html"
    command = [*SERVER, "--against", "b:1", "--quiet", "--html", str(shown), "--runs", *kept_runs]
    assert main(command) == code
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "invalid"
    assert "note: the second run is not valid: it was interrupted before its end" in said
    assert "<h1>Not to be believed: cut short</h1>" in shown.read_text(encoding="utf-8")
    assert main(["--compare", *kept_runs]) == 1
    assert capsys.readouterr().out == said


def test_a_server_that_goes_away_in_turns_fails_the_comparison(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "measure", Scripted(8, GONE).measure)
    assert main([*SERVER, "--against", "b:1", "--quiet"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "invalid"


@both
@pytest.mark.parametrize("mode", [["--find-capacity"], [], ["--against", "b:1"]])
def test_a_signal_before_anything_is_measured_is_told_by_the_exit_code(
    number: int, code: int, mode: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (controller, turns):
        monkeypatch.setattr(module, "measure", signal_before(1, number, of=0))
    assert main([*SERVER, *mode, "--quiet"]) == code


def test_a_signal_while_the_report_is_written_does_not_spoil_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def page_and_signal(_: object) -> str:
        signal.raise_signal(signal.SIGTERM)
        return "the page"

    monkeypatch.setattr(controller, "measure", Scripted(9, GONE).measure)
    monkeypatch.setattr("siamcorr_load.__main__.page", page_and_signal)
    out, shown = tmp_path / "a.json", tmp_path / "a.html"
    command = [*SERVER, "--no-headroom", "--quiet", "--json", str(out), "--html", str(shown)]
    assert main(command) == 143
    assert shown.read_text(encoding="utf-8") == "the page"
    assert not was_cut(from_json(out.read_bytes(), Run))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_the_first_signal_the_system_ends_the_process_at_a_ctrl_c_and_ignores_sigterm(
    number: int,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        assert interrupts.came is None
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert interrupts.came == number
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
