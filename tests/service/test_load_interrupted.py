"""A server that goes away in the middle of a load test, and signals: what was measured is reported."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from servers import ServerProcess, process, serving
from siamcorr_client import Client
from siamcorr_load.__main__ import main
from siamcorr_load.capacity import is_enough
from siamcorr_load.live import Live
from siamcorr_load.result_json import from_json
from siamcorr_load.results import Capacity, Run, Window
from siamcorr_load.settings import Load
from siamcorr_load.worker import work

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


def test_a_server_that_dies_in_its_turn_leaves_both_runs(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Callable[[Live, Window], None] = Live.window
    out = [tmp_path / "a.json", tmp_path / "b.json"]
    with process() as other:
        windows: list[Window] = []

        def dying(live: Live, window: Window) -> None:
            told(live, window)
            windows.append(window)
            if len(windows) == 4 and other.popen.poll() is None:
                other.stop(signal.SIGKILL)

        monkeypatch.setattr(Live, "window", dying)
        command = ["--server", server.address, "--against", other.address, *SHORT, "--timeout", "0.2"]
        assert main([*command, "--runs", *map(str, out)]) == 1
    a, b = (from_json(path.read_bytes(), Run) for path in out)
    assert a.turns == b.turns
    assert (len(a.windows), len(b.windows)) == (3, 3)
    assert a.ok > 0
    assert b.windows[0].ok > 0
    for run in (a, b):
        assert run.verdict.reasons[0].startswith("it could not go on: ")
        assert other.address in run.verdict.reasons[0]
    assert main(["--compare", *map(str, out)]) == 1


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


def test_sigterm_to_all_of_the_group_twice_reports_the_trials_and_leaves_no_template(
    search: subprocess.Popen[str], server: ServerProcess, tmp_path: Path
) -> None:
    for _ in range(2):  # as ``timeout`` does
        os.killpg(search.pid, signal.SIGTERM)
    out, errors = search.communicate(timeout=PATIENCE_S)
    assert search.returncode == 128 + signal.SIGTERM
    found = from_json((tmp_path / "capacity.json").read_bytes(), Capacity)
    assert found.verdict.reasons == ("it was interrupted before its end",)
    assert "invalid\n  it was interrupted before its end" in out
    assert "Traceback" not in errors
    with Client(server.address) as client:
        assert list(client.list_templates()) == []


def test_a_second_ctrl_c_ends_at_once(search: subprocess.Popen[str], server: ServerProcess) -> None:
    server.popen.send_signal(signal.SIGSTOP)  # so that the generators have something to wait for
    os.killpg(search.pid, signal.SIGINT)
    assert search.stderr is not None
    assert any("the next Ctrl-C ends at once" in line for line in search.stderr)
    os.killpg(search.pid, signal.SIGINT)
    assert search.wait(PATIENCE_S) == -signal.SIGINT


class Deserted:
    """A generator's end of a pipe, which breaks after so many messages."""

    def __init__(self, pipe: Connection, after: int) -> None:
        self.left, self.fileno, self.recv = after, pipe.fileno, pipe.recv

    def send(self, _: Any) -> None:
        if not self.left:
            raise BrokenPipeError
        self.left -= 1


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_generator_whose_controller_is_gone_drops_its_templates(after: int) -> None:
    here, there = multiprocessing.Pipe()
    shapes: dict[str, Any] = {"template_shape": (8, 3, 3), "search_shape": (8, 9, 9)}
    with serving() as server, here, there:
        here.send(("start", time.monotonic()))
        work(Load(server=server.address, warm_up_s=0.0, window_s=0.1, **shapes), 0, Deserted(there, after))  # type: ignore[arg-type]
        with Client(server.address) as client:
            assert list(client.list_templates()) == []
        assert server.engine.stats().device.served > 0
    gc.unfreeze()
