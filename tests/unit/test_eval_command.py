"""siamcorr-eval's command: what is wrong is one line and code 2, before any server is started."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn import BOX, draw_frame, write_sequence
from followers import Scripted
from siamcorr.errors import ModelNotFound, ServerUnavailable
from siamcorr_client import server_process
from siamcorr_eval import __main__ as program
from siamcorr_eval.__main__ import main
from siamcorr_eval.trackers import MakeTracker


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two sequences, in which the program runs and must not start a server."""
    write_sequence(tmp_path / "data/first", 3)
    write_sequence(tmp_path / "data/second", 4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server_process, "running_server", lambda _: pytest.fail("a server was started"))
    return tmp_path


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Trackers that need no server; they raise what is put into the list."""
    raised: list[Exception] = []

    @contextmanager
    def served(model: str, weights: str | None, server: str | None) -> Iterator[MakeTracker]:
        yield tracker

    @contextmanager
    def tracker() -> Iterator[Scripted]:
        yield Scripted((lambda: raised[0]) if raised else None)

    monkeypatch.setattr(program, "served_trackers", served)
    return raised


def run(arguments: list[str]) -> int:
    """Run the program; argparse ends the process by itself."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data"], "found no tracker, expected --model NAME[=FILE] or --opencv NAME"),
        (["--model", "hog"], "found no SEQUENCES, expected some for 'hog' to follow"),
        (
            ["data", "--model", "hog", "--opencv", "MIL"],
            "argument --opencv: not allowed with argument -",
        ),
        (
            ["data", "--opencv", "MIL", "--server", "h:1"],
            "argument --opencv: not allowed with ",
        ),
        (["data", "--model", "=x"], "argument --model: expected NAME or NAME=FILE"),
        (
            ["data", "--model", "n=none.pt"],
            "argument --model: found no file 'none.pt'",
        ),
        (
            ["data", "--model", "n=none.pt", "--server", "h:1"],
            "argument --model: expected NAME alone with --server, which has its own weights",
        ),
        (
            ["data", "--model", "hog", "--frames", "0"],
            "argument --frames: found '0', expected",
        ),
        (["none", "--model", "hog"], "sequences: found no folder '"),
        (["data", "--model", "nosuch"], "model: found 'nosuch', expected one of hog, "),
        (["data", "--opencv", "MOSSE"], "--opencv: found 'MOSSE', expected one of KCF, MIL, CSRT, NANO"),
        (
            ["data", "--model", "hog", "--out", "data/first/groundtruth_rect.txt"],
            "--out: data/",
        ),
        (["--out", "data"], "--out: found no reports in data, expected those of earlier runs"),
        (["data", "--mod", "hog"], "unrecognized arguments: --mod"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_wrong_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"siamcorr-eval: error: {message}")
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.usefixtures("scripted")
def test_a_run_leaves_results_a_report_and_plots(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "--model", "hog", "--out", "out", "--frames", "3", "--json", "copies/hog.json"]
    assert run(arguments) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[:5]] == ["hog", "first", "second", "mean", "all"]
    rows = [np.loadtxt(folder / f"out/hog/{name}.csv", delimiter=",") for name in ("first", "second")]
    assert [row.shape for row in rows] == [(3, 5), (3, 5)]
    assert rows[0][0].tolist() == [*BOX, 1]
    content = json.loads((folder / "out/hog/report.json").read_text())
    assert content == json.loads((folder / "copies/hog.json").read_text())
    assert content["limit"] == 3
    assert content["overall"]["frames"] == 6
    assert (folder / "out/success.png").exists()


@pytest.mark.usefixtures("scripted")
def test_a_sequence_that_fails_is_told_and_the_others_are_followed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(folder / "data/first/img/0002.png"), draw_frame(1, (80, 60)))
    assert run(["data", "--model", "hog", "--out", "out"]) == 1
    said = capsys.readouterr().out
    assert "first              failed: " in said
    assert "without 1 of 2 sequences that failed" in said
    assert not (folder / "out/hog/first.csv").exists()
    content = json.loads((folder / "out/hog/report.json").read_text())
    assert (list(content["sequences"]), list(content["failed"])) == (["second"], ["first"])


@pytest.mark.parametrize(
    ("error", "code"), [(ModelNotFound("no such model"), 2), (ServerUnavailable("gone"), 1)]
)
@pytest.mark.usefixtures("folder")
def test_what_no_sequence_is_to_blame_for_ends_the_run(
    scripted: list[Exception], error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.append(error)
    assert run(["data", "--model", "hog", "--out", "out"]) == code
    assert capsys.readouterr().err == f"siamcorr-eval: error: {error}\n"


@pytest.mark.usefixtures("scripted")
def test_what_was_left_out_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "data/first/img/0003.png").unlink()
    assert run(["data", "--model", "hog", "--out", "out"]) == 0
    said = "siamcorr-eval: note: first: ends after 2 frames; there are 3 rows of truth\n"
    assert capsys.readouterr().err == said


@pytest.mark.usefixtures("scripted", "folder")
def test_what_a_folder_holds_is_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("hog", "dcfnet"):
        assert run(["data", "--model", model, "--out", "out"]) == 0
    compared = capsys.readouterr().out.partition("\n\ntracker")[2]
    assert run(["--out", "out"]) == 0
    assert capsys.readouterr().out.partition("\ntracker")[2] == compared
    assert "hog" in compared


@pytest.mark.usefixtures("folder")
def test_opencvs_trackers_need_no_server() -> None:
    assert run(["data", "--opencv", "MIL", "--out", "out", "--frames", "2"]) == 0
