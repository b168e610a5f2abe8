"""A server that goes away in the middle of a load test, and a Ctrl-C: what was measured is reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers import ServerProcess, process
from siamcorr_load.__main__ import main
from siamcorr_load.capacity import is_enough
from siamcorr_load.live import Live
from siamcorr_load.result_json import from_json
from siamcorr_load.results import Capacity, Run, Window

SHORT = ("--warm-up", "0.1", "--window", "0.2", "--timeout", "2", "--template", "8,3,3", "--search", "8,9,9")

PATIENCE_S = 30.0


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with process() as running:
        yield running


def test_a_server_that_dies_in_mid_search_leaves_a_report_of_the_trials(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []

    def dying(windows: list[Window], period_s: float) -> bool:
        begun.append(len(windows) == 1)
        if sum(begun) == 2 and server.popen.poll() is None:
            server.stop(signal.SIGKILL)
        return is_enough(windows, period_s)

    monkeypatch.setattr("siamcorr_load.__main__.is_enough", dying)
    out, shown = tmp_path / "capacity.json", tmp_path / "capacity.html"
    command = [
        "--server",
        server.address,
        "--find-capacity",
        *SHORT,
        "--json",
        str(out),
        "--html",
        str(shown),
    ]
    assert main(command) == 1
    found = from_json(out.read_bytes(), Capacity)
    assert len(found.points) >= 2
    assert found.points[0].run.ok > 0
    (reason,) = found.verdict.reasons
    assert reason.startswith("it could not go on: ")
    assert server.address in reason
    assert "<h1>Not to be believed: " in shown.read_text(encoding="utf-8")


def test_a_server_that_dies_in_mid_run_leaves_a_report_of_the_windows(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Callable[[Live, Window], None] = Live.window

    def dying(live: Live, window: Window) -> None:
        told(live, window)
        if server.popen.poll() is None:
            server.stop(signal.SIGKILL)

    monkeypatch.setattr(Live, "window", dying)
    out = tmp_path / "run.json"
    command = ["--server", server.address, *SHORT, "--repeats", "2", "--no-headroom", "--json", str(out)]
    assert main(command) == 1
    run = from_json(out.read_bytes(), Run)
    assert run.verdict.reasons[0].startswith("it could not go on: ")
    assert run.windows[0].ok > 0


@pytest.fixture
def search(server: ServerProcess, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a search as from a shell, with generators in its group, and wait for its first trial."""
    command = [sys.executable, "-m", "siamcorr_load", "--server", server.address, "--find-capacity", *SHORT]
    with subprocess.Popen(
        [*command, "--processes", "2", "--json", str(tmp_path / "capacity.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as popen:
        try:
            assert popen.stderr is not None
            assert popen.stderr.readline().startswith("8 targets: ")
            yield popen
        finally:
            os.killpg(popen.pid, signal.SIGKILL)


def test_ctrl_c_reports_the_trials_until_then(search: subprocess.Popen[str], tmp_path: Path) -> None:
    os.killpg(search.pid, signal.SIGINT)
    out, errors = search.communicate(timeout=PATIENCE_S)
    assert search.returncode == 128 + signal.SIGINT
    found = from_json((tmp_path / "capacity.json").read_bytes(), Capacity)
    assert found.points[0].targets == 8
    assert found.verdict.reasons == ("it was interrupted before its end",)
    assert "invalid\n  it was interrupted before its end" in out
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "siamcorr-load: interrupted"


def test_a_second_ctrl_c_ends_at_once(search: subprocess.Popen[str], server: ServerProcess) -> None:
    server.popen.send_signal(signal.SIGSTOP)  # so that the generators have something to wait for
    os.killpg(search.pid, signal.SIGINT)
    assert search.stderr is not None
    assert any("Ctrl-C again ends at once" in line for line in search.stderr)
    os.killpg(search.pid, signal.SIGINT)
    assert search.wait(PATIENCE_S) == -signal.SIGINT
