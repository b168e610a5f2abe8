"""Where the demo's frames come from: folders and videos, and what is wrong with those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from siamcorr.errors import InvalidArgument
from siamcorr_demo.sources import clip_source, open_source
from siamcorr_demo.video import Video


def picture(level: int, size: tuple[int, int] = (64, 48)) -> npt.NDArray[np.uint8]:
    return np.full((size[1], size[0], 3), level, np.uint8)


def write_frames(folder: Path, names: list[str]) -> Path:
    """Write frames whose grey level is ten times their place in ``names``."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture(10 * place))
    return folder


def levels(text: Path) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in open_source(str(text)).frames]


def test_a_folders_frames_are_sorted_as_people_count(tmp_path: Path) -> None:
    write_frames(tmp_path, ["1.png", "2.png", "10.png", "11.PNG", "100.jpg"])
    (tmp_path / "notes.txt").write_text("not a frame")
    source = open_source(str(tmp_path))
    assert source.count == 5
    assert levels(tmp_path) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("images", ["img", "imgs", "color", "frames", "."])
@pytest.mark.parametrize("truth", ["groundtruth.txt", "groundtruth_rect.txt"])
def test_a_data_sets_folder_gives_frames_and_truth(tmp_path: Path, images: str, truth: str) -> None:
    write_frames(tmp_path / images, ["0001.jpg", "0002.jpg"])
    (tmp_path / truth).write_text("1,2,3,4\n5,6,7,8\n")
    for named in (tmp_path, tmp_path / images):
        source = open_source(str(named))
        found = source.truth()
        assert source.name == tmp_path.name
        assert source.count == 2
        assert found is not None
        assert found.tolist() == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_numbered_truth_files_are_of_several_targets(tmp_path: Path) -> None:
    write_frames(tmp_path / "img", ["0001.jpg"])
    for number in (1, 2, 10):
        (tmp_path / f"groundtruth_rect.{number}.txt").write_text(f"{number},0,5,5\n")
    (tmp_path / "groundtruth_rect_ori.txt").write_text("not truth")
    found = open_source(str(tmp_path)).truth()
    assert found is not None
    assert found[0, :, 0].tolist() == [1, 2, 10]


def test_a_folder_without_truth_has_none(tmp_path: Path) -> None:
    assert open_source(str(write_frames(tmp_path, ["1.png"]))).truth() is None


def test_a_video_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with Video(path, fps=25.0) as video:
        for level in (20, 120, 220):
            video.write(picture(level))
    source = open_source(str(path))
    assert (source.name, source.count, source.fps) == ("clip.mp4", 3, 25.0)
    assert levels(path) == pytest.approx([20, 120, 220], abs=8)


def test_the_demos_own_clip_comes_with_its_truth() -> None:
    source = clip_source(targets=3)
    truth = source.truth()
    assert truth is not None
    assert source.count == len(truth)
    assert truth.shape[1] == 3
    assert next(source.frames).shape == (480, 640, 3)


@pytest.mark.parametrize("text", ["no/such/place", "-1", "1.5", ""])
def test_what_is_no_source_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "img", []) if text == "" else None
    with pytest.raises(InvalidArgument, match=r"source: found .*expected"):
        open_source(text)


def test_a_camera_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="source: found 99, expected a camera of this number"):
        open_source("99")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"source: found no frames in .*expected images there"):
        open_source(str(tmp_path))


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all" * 400)
    with pytest.raises(InvalidArgument, match=r"broken\.mp4'.*expected a video file"):
        open_source(str(path))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"text"])
def test_a_broken_frame_is_named(tmp_path: Path, damage: object) -> None:
    write_frames(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    path = tmp_path / "2.jpg"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    frames = open_source(str(tmp_path)).frames
    next(frames)
    with pytest.raises(InvalidArgument, match=r"2\.jpg: found"):
        next(frames)


def test_a_folders_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path, ["1.png"])
    cv2.imwrite(str(tmp_path / "2.png"), picture(0, size=(32, 48)))
    frames = open_source(str(tmp_path)).frames
    next(frames)
    with pytest.raises(InvalidArgument, match=r"2\.png: found 32x48 pixels, expected 64x48 pixels"):
        next(frames)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    "image",
    [
        np.full((48, 64), 130, np.uint8),
        np.full((48, 64), 130 * 256 + 255, np.uint16),
        np.full((48, 64, 3), 130 * 256 + 255, np.uint16),
        np.full((48, 64, 4), 130, np.uint8),
    ],
    ids=["grey", "grey of 16 bits", "colour of 16 bits", "colour and alpha"],
)
def test_every_kind_of_image_becomes_8_bit_bgr(
    tmp_path: Path, image: npt.NDArray[np.uint8 | np.uint16], suffix: str
) -> None:
    cv2.imwrite(str(tmp_path / f"1{suffix}"), image)
    frame = next(open_source(str(tmp_path)).frames)
    assert frame.dtype == np.uint8
    assert frame.shape == (48, 64, 3)
    assert (frame == 130).all()


class FakeCapture:
    """A camera that gives frames of these levels, each as large as said, and then no more."""

    def __init__(self, *frames: tuple[int, tuple[int, int]]) -> None:
        self.frames = iter(frames)
        self.is_released = False

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, _: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]:
        frame = next(self.frames, None)
        return frame is not None, None if frame is None else picture(*frame)

    def release(self) -> None:
        self.is_released = True


def camera(monkeypatch: pytest.MonkeyPatch, *frames: tuple[int, tuple[int, int]]) -> FakeCapture:
    capture = FakeCapture(*frames)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: capture)
    return capture


def test_a_camera_that_stops_is_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = camera(monkeypatch, (10, (64, 48)), (20, (64, 48)))
    source = open_source("0")
    assert source.count is None
    assert [int(frame[0, 0, 0]) for frame in source.frames] == [10, 20]
    assert capture.is_released


def test_a_camera_that_never_starts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    camera(monkeypatch)
    with pytest.raises(InvalidArgument, match="source: found no frames in camera 0, expected at least one"):
        next(open_source("0").frames)


def test_a_cameras_frames_of_another_size_are_scaled_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    camera(monkeypatch, (10, (64, 48)), (20, (128, 96)), (30, (32, 30)))
    frames = list(open_source("0").frames)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert [int(frame[0, 0, 0]) for frame in frames] == [10, 20, 30]


def test_so_are_a_videos(tmp_path: Path) -> None:
    sizes = [(64, 48), (64, 48), (96, 80)]
    pictures = [cv2.imencode(".jpg", picture(50 * place, size))[1] for place, size in enumerate(sizes, 1)]
    path = tmp_path / "changing.mjpeg"
    path.write_bytes(b"".join(jpeg.tobytes() for jpeg in pictures))
    frames = list(open_source(str(path)).frames)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert [int(frame[0, 0, 0]) for frame in frames] == pytest.approx([50, 100, 150], abs=3)
