"""The demo's command line: what is wrong is said in one line, with code 2, before any server is started."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from siamcorr.errors import ServerUnavailable
from siamcorr_client.server_process import options_for
from siamcorr_client.trackers import SETTINGS
from siamcorr_demo import __main__ as program
from siamcorr_demo.__main__ import main
from siamcorr_demo.options import DEFAULT_VIDEO, read_options
from siamcorr_demo.sources import Source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two frames, in which the demo runs without a screen and must not start a server."""
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((48, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(program, "running_server", lambda _: pytest.fail("a server was started"))
    return tmp_path


def run(arguments: list[str]) -> int:
    """Run the demo; argparse ends the process by itself."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], "--init: found no box to follow, expected --init X,Y,W,H or --truth FILE"),
        ([".", "--init", "1,2,3"], "argument --init: found '1,2,3', expected four numbers: X,Y,W,H"),
        ([".", "--init", "a,b,c,d"], "argument --init: found 'a,b,c,d', expected four numbers: X,Y,W,H"),
        (
            [".", "--init", "1,2,0,9"],
            "--init: found [1.0, 2.0, 0.0, 9.0], expected a width and height above 0",
        ),
        (
            [".", "--init", "1,2,nan,9"],
            "--init: found [1.0, 2.0, nan, 9.0], expected pixels between -/+1e+06",
        ),
        (
            [".", "--init", "70,2,9,9"],
            "box: found [70.0, 2.0, 9.0, 9.0], outside, expected a box in 64x48 pixels",
        ),
        ([".", "--truth", "none.txt"], "none.txt: cannot be read: No such file or directory"),
        (["none"], "source: found 'none', expected a video file, a folder of frames or a camera's number"),
        (
            [".", "--init", "1,2,9,9", "--out", "x.avi"],
            "argument --out: found 'x.avi', expected a name that ends in .mp4",
        ),
        ([".", "--frames", "0"], "argument --frames: found '0', expected a number from 1"),
        ([".", "--frames", "many"], "argument --frames: found 'many', expected a number from 1"),
        ([".", "--model", "=x"], "argument --model: expected NAME[+TRANSFORM][=FILE]"),
        ([".", "--model", "hog="], "argument --model: expected NAME[+TRANSFORM][=FILE]"),
        (
            [".", "--model", "a=b", "--server", "h:1"],
            "argument --model: expected NAME alone with --server, which has its own weights",
        ),
        ([".", "--model", "a=b.pt"], "argument --model: found no file 'b.pt', expected the weights of a"),
        (
            [".", "--init", "1,2,9,9", "--model", "sift"],
            "model: found 'sift', expected one of hog, ",
        ),
        (
            [".", "--init", "1,2,9,9", "--model", "siamfc"],
            "model: found no weights for siamfc, expected siamfc=FILE, or a running server that has it",
        ),
        ([".", "--targets", "4"], "argument --targets: expected 1 to 16, and no source but the clip of its"),
        (["--targets", "17"], "argument --targets: expected 1 to 16, and no source but the clip of its own"),
        ([".", "--inti", "1,2,3,4"], "unrecognized arguments: --inti 1,2,3,4"),
        (
            [".", "--snapshot", "x.bmp"],
            "argument --snapshot: found 'x.bmp', expected a name that ends in .png or .jpg",
        ),
    ],
)
def test_the_users_mistake_is_one_line_and_code_2(
    folder: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"siamcorr-demo: error: {message}")
    assert err.count("\n") == 1


def test_a_server_that_cannot_be_reached_is_code_1(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([".", "--init", "1,2,9,9", "--server", "127.0.0.1:1"]) == 1
    assert capfd.readouterr().err.startswith("siamcorr-demo: error: ")


def test_a_server_that_does_not_start_is_code_1_and_leaves_the_old_video(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise ServerUnavailable("the server did not listen")

    monkeypatch.setattr(program, "running_server", broken)
    (folder / "old.mp4").write_bytes(b"old")
    assert run([".", "--init", "1,2,9,9", "--out", "old.mp4"]) == 1
    assert capfd.readouterr().err == "siamcorr-demo: error: the server did not listen\n"
    assert (folder / "old.mp4").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_unwinds_and_is_told_in_the_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    monkeypatch.setattr(program, "running_server", lambda _: os.kill(os.getpid(), number))
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run([".", "--init", "1,2,9,9"]) == code
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_help_explains_each_option_and_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    for option in (
        "--init",
        "--truth",
        "--server",
        "--model",
        "--out",
        "--headless",
        "--frames",
        "--json",
        "--targets",
    ):
        assert option in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_video_is_written_where_nothing_else_would_be_left_to_see() -> None:
    assert read_options(["race.mp4"], has_screen=True).out is None
    assert read_options(["race.mp4", "--headless"], has_screen=True).out == DEFAULT_VIDEO
    assert read_options(["race.mp4"], has_screen=False).out == DEFAULT_VIDEO
    assert read_options([], has_screen=True).out == DEFAULT_VIDEO
    assert read_options(["race.mp4", "--out", "a.mp4"], has_screen=False).out == Path("a.mp4")


def test_a_models_weights_are_for_the_server_that_is_started(tmp_path: Path) -> None:
    weights = tmp_path / "v=3.pt"
    weights.write_bytes(b"weights")
    options = read_options([".", "--model", f"nanotrackv3={weights}"], has_screen=True)
    assert (options.model, options.weights) == ("nanotrackv3", str(weights))
    assert options_for(options.model, options.weights)[-2:] == ["--model", f"nanotrackv3={weights}"]
    assert options_for(read_options([], has_screen=True).model, None) == ["--template-ttl", "never"]


def test_a_template_transform_is_asked_of_the_server_that_is_started(tmp_path: Path) -> None:
    options = read_options([".", "--model", "hog+ridge"], has_screen=True)
    assert (options.model, options.weights) == ("hog+ridge", None)
    assert options_for(options.model, options.weights)[-2:] == ["--model", "hog+ridge"]
    weights = tmp_path / "param.pth"
    weights.write_bytes(b"weights")
    options = read_options([".", "--model", f"dcfnet+none={weights}"], has_screen=True)
    assert options_for(options.model, options.weights)[-2:] == ["--model", f"dcfnet+none={weights}"]


def test_every_model_that_there_are_settings_for_can_be_asked_for(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    for name in SETTINGS:
        given = name if name == "hog" else f"{name}={weights}"
        options = read_options([".", "--model", given], has_screen=True)
        assert options_for(options.model, options.weights)[:2] == ["--template-ttl", "never"]


@pytest.mark.parametrize(
    ("count", "limit", "frames", "said"),
    [
        (None, None, 57, "siamcorr-demo: race gave no more than 57 frames\n"),
        (120, None, 57, "siamcorr-demo: race gave no more than 57 of 120 frames\n"),
        (120, None, 120, ""),
        (None, 57, 57, ""),
    ],
    ids=["a camera that stops", "a video that is cut short", "a video that ends", "a limit"],
)
def test_an_end_before_its_time_is_told(
    count: int | None, limit: int | None, frames: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["race"] if limit is None else ["race", "--frames", str(limit)]
    options = read_options(arguments, has_screen=True)
    program._tell_end(options, Source("race", iter([]), count, 30.0), frames)
    assert capsys.readouterr().err == said
