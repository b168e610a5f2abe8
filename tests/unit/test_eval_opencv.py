"""OpenCV's trackers behind the evaluation's interface: those that are installed run, the others are named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from drawn import BOX, draw_frame, write_sequence
from siamcorr.errors import InvalidArgument
from siamcorr_eval.follow import follow
from siamcorr_eval.measures import measure
from siamcorr_eval.opencv import OpenCVTracker, opencv_trackers
from siamcorr_eval.sequences import find_sequences

MISSING = [name for name in ("KCF", "CSRT") if not hasattr(cv2, f"Tracker{name}")]


class Recorded:
    """Stands for a cv2 tracker."""

    def __init__(self, *answers: tuple[bool, tuple[int, int, int, int]]) -> None:
        self.answers = list(answers)
        self.first: Any = None

    def init(self, image: np.ndarray[Any, Any], box: Any) -> None:
        self.first = (image, box)

    def update(self, _: np.ndarray[Any, Any]) -> tuple[bool, tuple[int, int, int, int]]:
        if not self.answers:
            raise cv2.error("no more")
        return self.answers.pop(0)


def png(index: int) -> bytes:
    return bytes(cv2.imencode(".png", draw_frame(index))[1])


def test_it_is_given_pixels_and_a_rounded_box() -> None:
    recorded = Recorded()
    OpenCVTracker(recorded).init(png(0), np.array([1.5, 2.5, 29.6, 40.2]))
    image, box = recorded.first
    assert np.array_equal(image, draw_frame(0))
    assert box == [2, 2, 30, 40]
    assert all(type(number) is int for number in box)


def test_a_lost_target_has_no_box_whatever_was_written_into_it() -> None:
    tracker = OpenCVTracker(Recorded((True, (1, 2, 3, 4)), (False, (1, 2, 3, 4))))
    tracker.init(png(0), np.array(BOX, np.float64))
    seen = [tracker.update(png(1)) for _ in range(2)]
    assert [(one.box.tolist(), one.score) for one in seen] == [([1, 2, 3, 4], 1), ([0, 0, 0, 0], 0)]


def test_what_opencv_cannot_do_is_an_error_of_ours() -> None:
    with pytest.raises(InvalidArgument, match="image: OpenCV cannot search it"):
        OpenCVTracker(Recorded()).update(png(0))


def test_mil_follows_a_drawn_sequence_the_same_each_time(tmp_path: Path) -> None:
    (sequence,) = find_sequences([write_sequence(tmp_path / "square", 8)])
    tracks = []
    for _ in range(2):
        with opencv_trackers("MIL")() as tracker:
            tracks.append(follow(tracker, sequence))
    assert tracks[0].boxes.tolist() == tracks[1].boxes.tolist()
    assert measure(tracks[0].boxes, sequence.truth, tracks[0].size).ao > 0.2


@pytest.mark.parametrize("name", MISSING)
def test_one_that_is_not_installed_is_named(name: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"no {name} in OpenCV .*opencv-contrib-python<5 has all"):
        opencv_trackers(name)


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("MOSSE", None, "found 'MOSSE', expected one of KCF, MIL, CSRT, NANO"),
        ("MIL", "weights.onnx", "found files for MIL, expected none: it has no weights"),
        ("NANO", None, "found NANO with 0 files, expected NANO=BACKBONE.onnx,HEAD.onnx"),
        ("NANO", "one.onnx", "found NANO with 1 files, expected NANO=BACKBONE.onnx,HEAD.onnx"),
        ("NANO", "none.onnx,head.onnx", "found no file 'none.onnx', expected the weights of NANO"),
    ],
)
def test_what_cannot_be_made_is_told(name: str, files: str | None, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opencv_trackers(name, files)
    assert str(caught.value) == f"--opencv: {message}"


def test_weights_that_are_none_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("no network")
    with pytest.raises(InvalidArgument, match="--opencv: NANO: "):
        opencv_trackers("NANO", f"{path},{path}")


@pytest.mark.skipif("SIAMCORR_SHARED" not in os.environ, reason="needs SIAMCORR_SHARED: OpenCV's weights")
def test_nano_follows_with_its_weights_and_says_how_sure_it_is() -> None:
    shared = Path(os.environ["SIAMCORR_SHARED"])
    weights = shared / "weights/nanotrackv2"
    files = f"{weights / 'nanotrack_backbone_sim.onnx'},{weights / 'nanotrack_head_sim.onnx'}"
    (sequence,) = find_sequences([shared / "sequences/Crossing"], frames=12)
    with opencv_trackers("NANO", files)() as tracker:
        track = follow(tracker, sequence)
    assert measure(track.boxes, sequence.truth, track.size).ao > 0.7
    assert all(0 < score <= 1 for score in track.scores)
