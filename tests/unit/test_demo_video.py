"""The video that the demo writes: it reads back, and it is whole whatever ends the demo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from siamcorr.errors import InvalidArgument
from siamcorr_demo.video import Video

PICTURE = np.zeros((48, 64, 3), np.uint8)


def frames_in(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def test_it_reads_back_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "made" / "by the demo" / "video.mp4"
    with Video(path, fps=30.0) as video:
        for level in range(5):
            video.write(PICTURE + np.uint8(level))
    assert frames_in(path) == 5


def test_it_is_whole_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"

    def interrupted() -> None:
        with Video(path, fps=30.0) as video:
            video.write(PICTURE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert frames_in(path) == 1


def test_nothing_is_overwritten_before_there_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"an older one")
    with Video(path, fps=30.0):
        pass
    assert path.read_bytes() == b"an older one"


def test_what_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InvalidArgument, match=r"--out: .*file"):
        Video(tmp_path / "file" / "video.mp4", fps=30.0)
    with Video(tmp_path / "folder.mp4", fps=30.0) as video, pytest.raises(InvalidArgument, match="--out: "):
        video.write(PICTURE)
