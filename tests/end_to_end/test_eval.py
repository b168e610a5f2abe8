"""siamcorr-eval as a user runs it: with a server in a process of its own, and one that runs already."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drawn import BOX, write_sequence
from siamcorr_client.server_process import running_server

PROGRAM = [sys.executable, "-m", "siamcorr_eval"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_sequence(tmp_path / "data/otb", 5, suffix=".jpg")
    write_sequence(tmp_path / "data/got10k", 4, folder=".", truth="groundtruth.txt")
    write_sequence(tmp_path / "data/vot", 3, folder="color", suffix=".bmp", truth="groundtruth.txt")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_server() as where:
        yield where


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_follows_each_layout_with_a_server_of_its_own(data: Path, tmp_path: Path) -> None:
    ended = run(data, "--model", "hog", "--out", tmp_path / "out")
    assert (ended.returncode, ended.stderr) == (0, "")
    content = json.loads((tmp_path / "out/hog/report.json").read_text())
    frames = {name: one["frames"] for name, one in content["sequences"].items()}
    assert frames == {"got10k": 4, "otb": 5, "vot": 3}
    assert content["overall"]["ao"] > 0.6
    assert content["overall"]["precision_20px"] == 1
    for name, count in frames.items():
        rows = np.loadtxt(tmp_path / f"out/hog/{name}.csv", delimiter=",")
        assert rows.shape == (count, 5)
        assert rows[0].tolist() == [*BOX, 1]


def test_a_server_that_runs_already_gives_the_same_and_goes_on(
    data: Path, tmp_path: Path, address: str
) -> None:
    for out in ("one", "other"):
        ended = run(data, "--model", "hog", "--server", address, "--out", tmp_path / out)
        assert (ended.returncode, ended.stderr) == (0, "")
    for name in ("got10k", "otb", "vot"):
        texts = {(tmp_path / out / f"hog/{name}.csv").read_text() for out in ("one", "other")}
        assert len(texts) == 1


def test_a_model_that_the_server_has_not_is_one_line(data: Path, tmp_path: Path, address: str) -> None:
    ended = run(data, "--model", "dcfnet", "--server", address, "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert ended.stderr.startswith("siamcorr-eval: error: ")
    assert "dcfnet" in ended.stderr
    assert ended.stderr.count("\n") == 1
