"""Following a sequence: what a tracker is given, what is kept, and which frames end it."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn import BOX, SIZE, draw_frame, write_sequence
from followers import Scripted
from siamcorr.errors import InvalidArgument, ServerUnavailable
from siamcorr_eval.follow import Track, follow
from siamcorr_eval.frames import as_pixels, read_frame
from siamcorr_eval.sequences import find_sequences


def followed(home: Path, tracker: Scripted) -> Track:
    ticks = itertools.count()
    (sequence,) = find_sequences([home])
    return follow(tracker, sequence, clock=lambda: float(next(ticks)))


def test_the_first_box_is_the_given_one_with_score_1(tmp_path: Path) -> None:
    tracker = Scripted()
    track = followed(write_sequence(tmp_path / "square", 3), tracker)
    assert tracker.box == BOX
    assert track.boxes.tolist() == [list(BOX), [1] * 4, [2] * 4]
    assert track.scores.tolist() == [1, 0.1, 0.2]
    assert track.times_s.tolist() == [1, 1, 1]
    assert track.size == SIZE


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_jpeg_and_png_files_are_passed_on_as_they_are(tmp_path: Path, suffix: str) -> None:
    tracker = Scripted()
    home = write_sequence(tmp_path / "square", 2, suffix=suffix)
    followed(home, tracker)
    assert tracker.given == [path.read_bytes() for path in sorted((home / "img").iterdir())]


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".webp", ".ppm"])
def test_other_formats_are_decoded(tmp_path: Path, suffix: str) -> None:
    tracker = Scripted()
    followed(write_sequence(tmp_path / "square", 2, suffix=suffix), tracker)
    image = tracker.given[1]
    assert isinstance(image, np.ndarray)
    assert np.abs(image.astype(int) - draw_frame(1)).mean() < 15  # webp is lossy


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".tiff", np.uint8), (".tiff", np.uint16)]
)
def test_grey_and_16_bit_frames_become_bgr_of_8(tmp_path: Path, suffix: str, dtype: type[np.generic]) -> None:
    grey = draw_frame(0)[..., 0]
    path = tmp_path / f"grey{suffix}"
    cv2.imwrite(str(path), grey if dtype is np.uint8 else grey.astype(np.uint16) * 257)
    pixels = as_pixels(read_frame(path).image)
    assert (pixels.dtype, pixels.shape) == (np.dtype(np.uint8), (*grey.shape, 3))
    assert np.abs(pixels.astype(int) - grey[..., None]).max() <= 1


def test_a_frame_of_another_size_ends_the_sequence(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 4)
    cv2.imwrite(str(home / "img/0003.png"), draw_frame(2, (80, 60)))
    tracker = Scripted()
    with pytest.raises(InvalidArgument) as caught:
        followed(home, tracker)
    assert str(caught.value).endswith(
        "0003.png: found 80x60 pixels, expected 96x72 pixels, as in the first frame"
    )
    assert len(tracker.given) == 2


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("kept", [0, 20, 400])
def test_a_frame_that_is_cut_short_is_named(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"frame{suffix}"
    cv2.imwrite(str(path), draw_frame(0))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidArgument) as caught:
        read_frame(path)
    assert str(caught.value).startswith(f"{path}: found {kept} bytes")


def test_a_frame_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.jpg: cannot be read: No such file"):
        read_frame(tmp_path / "none.jpg")


def test_what_the_tracker_refuses_is_told_with_the_frame(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 3)
    with pytest.raises(InvalidArgument, match=r"0002\.png: image: too strange"):
        followed(home, Scripted(lambda: InvalidArgument("image: too strange", field="image")))


def test_a_server_that_fails_is_not_the_sequences_fault(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 3)
    with pytest.raises(ServerUnavailable):
        followed(home, Scripted(lambda: ServerUnavailable("gone")))
