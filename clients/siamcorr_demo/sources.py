"""Where frames come from: a video file, a folder of frames, a camera, or the demo's own clip.

Rules:

- A source is read once, from the first frame on, and gives BGR frames of one size.
- What cannot be opened or read is the user's mistake and named: the file, what was found, what was expected.
  A folder's broken frame is an error, not a gap: later frames would be compared with the wrong truth.
- A folder's frames are sorted as people count: 2.jpg comes before 10.jpg.
- Data sets are known by their folders: frames in ``img`` (OTB), ``imgs`` or ``color`` (VOT), or in the folder
  itself (GOT-10k), and beside them ``groundtruth.txt``, ``groundtruth_rect.txt``, or one
  ``groundtruth_rect.N.txt`` for each target.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr.images import decode
from siamcorr_demo.clip import Clip
from siamcorr_demo.quiet import silence
from siamcorr_demo.truth import stack_truth

__all__ = ["Source", "clip_source", "open_source"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]

_FRAME_FOLDERS = ("img", "imgs", "color")
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
_TRUTH_NAMES = tuple(
    re.compile(name)
    for name in (r"groundtruth\.txt", r"groundtruth_rect\.txt", r"groundtruth_rect\.\d+\.txt")
)
_MAX_PIXELS = 64_000_000
_USUAL_FPS = 30.0


@dataclass(frozen=True, slots=True)
class Source:
    """Frames to come, once.

    ``count`` is None when nobody knows it. ``truth`` reads what lies beside the frames, (rows, targets, 4)
    with NaN where a target is hidden, or gives None.
    """

    name: str
    frames: Iterator[Pixels]
    count: int | None
    fps: float
    truth: Callable[[], Boxes | None] = lambda: None


def open_source(text: str) -> Source:
    """Open what the user named: a folder, a video file or a camera's number.

    Raises:
        InvalidArgument: it is none of them, or cannot be opened. Frames that cannot be read raise it later.
    """
    path = Path(text)
    if path.is_dir():
        return _folder_source(path)
    if path.exists():
        return _captured_source(path.name, str(path), "a video file that OpenCV can read")
    if text.isdecimal():
        return _captured_source(f"camera {text}", int(text), "a camera of this number")
    raise InvalidArgument.found(
        "source", repr(text)[:80], "a video file, a folder of frames or a camera's number"
    )


def clip_source() -> Source:
    """Return the demo's own clip and its truth."""
    clip = Clip()
    truth = np.stack([clip.boxes(index) for index in range(len(clip))])
    frames = (clip.image(index) for index in range(len(clip)))
    return Source("own clip", frames, len(clip), clip.fps, lambda: truth)


def _folder_source(folder: Path) -> Source:
    places = [folder, *(folder / name for name in _FRAME_FOLDERS)]
    paths = next((found for place in places if (found := _images_in(place))), [])
    if not paths:
        raise InvalidArgument.found("source", f"no frames in {folder}", "JPEG or PNG files there or in img/")
    root = folder.resolve()
    homes = [root, root.parent] if root.name in _FRAME_FOLDERS else [root]
    truths = next((found for home in homes if (found := _truths_in(home))), [])
    name = homes[-1].name
    return Source(name, _same_size(_decoded(paths)), len(paths), _USUAL_FPS, lambda: stack_truth(truths))


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    images = (path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    return sorted(images, key=_as_counted)


def _truths_in(folder: Path) -> list[Path]:
    """Return the one file of a single target, or the numbered ones of several."""
    for name in _TRUTH_NAMES:
        if found := [path for path in folder.iterdir() if name.fullmatch(path.name)]:
            return sorted(found, key=_as_counted)
    return []


def _as_counted(path: Path) -> list[tuple[int, str]]:
    """Return a key that compares digits as numbers and the rest as text."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _decoded(paths: list[Path]) -> Iterator[tuple[str, Pixels]]:
    for path in paths:
        try:
            yield str(path), decode(path.read_bytes(), _MAX_PIXELS)
        except InvalidArgument as error:
            reason = error.message.removeprefix("image: ")
            raise InvalidArgument(f"{path}: {reason}", field="source") from error


def _captured_source(name: str, where: str | int, expected: str) -> Source:
    with silence():
        capture = cv2.VideoCapture(where)
    if not capture.isOpened():
        raise InvalidArgument.found("source", repr(where)[:80], expected)
    fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return Source(
        name=name,
        frames=_same_size(_captured(capture, name)),
        count=count if count > 0 else None,
        fps=fps if 1 <= fps <= 240 else _USUAL_FPS,
    )


def _captured(capture: cv2.VideoCapture, name: str) -> Iterator[tuple[str, Pixels]]:
    index = 0
    try:
        while True:
            with silence():
                is_read, frame = capture.read()
            if not is_read:
                break
            yield f"{name}, frame {index}", np.asarray(frame, np.uint8)
            index += 1
    finally:
        capture.release()
    if index == 0:
        raise InvalidArgument.found("source", f"no frames in {name}", "at least one")


def _same_size(frames: Iterator[tuple[str, Pixels]]) -> Iterator[Pixels]:
    first: tuple[int, ...] | None = None
    for place, frame in frames:
        first = first or frame.shape
        if frame.shape != first:
            found, expected = (f"{shape[1]}x{shape[0]} pixels" for shape in (frame.shape, first))
            raise InvalidArgument.found(place, found, f"{expected}, as in the first frame")
        yield frame
