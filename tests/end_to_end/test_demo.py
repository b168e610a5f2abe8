"""The demo as a user runs it: with a server in a process of its own, that never outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from siamcorr.geometry import iou
from siamcorr_demo.clip import Clip

FRAMES, SIZE = 5, (320, 240)
PROGRAM = [sys.executable, "-m", "siamcorr_demo"]


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """A data set's folder: frames, and the truth of each target."""
    clip = Clip(frames=FRAMES, size=SIZE)
    folder = tmp_path / "toys"
    (folder / "img").mkdir(parents=True)
    for index in range(FRAMES):
        cv2.imwrite(str(folder / "img" / f"{index + 1:04}.png"), clip.image(index))
    tracks = np.stack([clip.boxes(index) for index in range(FRAMES)], axis=1)
    for number, track in enumerate(tracks, start=1):
        np.savetxt(folder / f"groundtruth_rect.{number}.txt", track, delimiter=",")
    return folder


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def open_once_ended(process: subprocess.Popen[str], pipe: Path) -> None:
    """Let who waits for a reader of the pipe go on, should the process end without reading."""
    process.wait()
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_follows_every_target_and_writes_what_it_found(sequence: Path, tmp_path: Path) -> None:
    out = {name: tmp_path / "out" / name for name in ("video.mp4", "numbers.json", "last.png")}
    options = [
        item for pair in zip(("--out", "--json", "--snapshot"), out.values(), strict=True) for item in pair
    ]
    ended = subprocess.run(
        [*PROGRAM, sequence, "--headless", *options], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert f"video: {out['video.mp4']}" in ended.stdout

    numbers = json.loads(out["numbers.json"].read_text())
    assert (numbers["source"], numbers["model"]) == ("toys", "hog")
    assert (numbers["frames"], numbers["targets"]) == (FRAMES, 8)
    clip = Clip(frames=FRAMES, size=SIZE)
    for index, frame in enumerate(numbers["per_frame"]):
        assert frame["ious"] == pytest.approx(iou(frame["boxes"], clip.boxes(index)), abs=1e-3)
    assert numbers["mean_iou"] == pytest.approx(
        np.mean([frame["ious"] for frame in numbers["per_frame"][1:]])
    )
    assert min(numbers["mean_ious"]) >= 0.6
    assert numbers["per_frame"][-1]["states"] == ["tracking"] * 8
    assert 0 < numbers["latency_ms"]["p50"] <= numbers["latency_ms"]["p95"]

    capture, read = cv2.VideoCapture(str(out["video.mp4"])), 0
    while capture.read()[0]:
        read += 1
    assert read == FRAMES
    last = cv2.imread(str(out["last.png"]))
    assert last is not None
    assert last.shape[0] == capture.get(cv2.CAP_PROP_FRAME_HEIGHT)


def test_a_source_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """In a process of its own: FFmpeg learns only once whether it may talk."""
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 400)
    for source, said in ((broken, f"'{broken}'"), ("99", "99")):
        ended = subprocess.run([*PROGRAM, source], capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"siamcorr-demo: error: source: found {said}"[:80])
        assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads the processes' children from /proc")
def test_a_signal_ends_the_server_too(sequence: Path, tmp_path: Path) -> None:
    """The third frame is a pipe: once the demo opens it, two frames are followed and the server works."""
    frame = sequence / "img" / "0003.png"
    frame.unlink()
    os.mkfifo(frame)
    demo = subprocess.Popen([*PROGRAM, sequence, "--headless", "--out", tmp_path / "video.mp4"], text=True)
    threading.Thread(target=open_once_ended, args=(demo, frame), daemon=True).start()
    with frame.open("wb"):
        servers = children(demo.pid)
        assert len(servers) == 1
        assert is_alive(servers[0])
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=60) == 128 + signal.SIGTERM
    assert not is_alive(servers[0])
    assert cv2.VideoCapture(str(tmp_path / "video.mp4")).read()[0]
