"""Where frames come from: a video file, a folder of frames, a camera, or the demo's own clip.

Rules:

- A source is read once, from the first frame on, and gives (H, W, 3) uint8 BGR frames of one size. Grey
  becomes BGR, and 16 bits become the upper 8 of them.
- A video's or a camera's frames of another size are the same view at another resolution: they are scaled to
  the size of the first. A folder's are an error: the truth beside them would not fit.
- A video ends where no frame can be read any more, and so does a camera; who follows it says so.
- What cannot be opened or read is the user's mistake and named: the file, what was found, what was expected.
  A folder's broken frame is an error, not a gap: later frames would be compared with the wrong truth.
- A folder's frames are sorted as people count: 2.jpg comes before 10.jpg.
- Data sets are known by their folders: frames in ``img`` (OTB), ``imgs``, ``color`` (VOT), ``frames``, or in
  the folder itself (GOT-10k), and beside them ``groundtruth.txt``, ``groundtruth_rect.txt``, or one
  ``groundtruth_rect.N.txt`` for each target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr_demo.clip import Clip
from siamcorr_demo.quiet import silence
from siamcorr_eval.frames import as_pixels, read_frame
from siamcorr_eval.layouts import FRAME_FOLDERS, images_in, truths_in
from siamcorr_eval.truth import stack_truth

__all__ = ["Source", "clip_source", "open_source"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]

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


def clip_source(targets: int) -> Source:
    """Return the demo's own clip with this many targets, 1 to 16, and their true boxes."""
    clip = Clip(targets=targets)
    truth = np.stack([clip.boxes(index) for index in range(len(clip))])
    frames = (clip.image(index) for index in range(len(clip)))
    return Source("own clip", frames, len(clip), clip.fps, lambda: truth)


def _folder_source(folder: Path) -> Source:
    places = [folder, *(folder / name for name in FRAME_FOLDERS)]
    paths = next((found for place in places if (found := images_in(place))), [])
    if not paths:
        raise InvalidArgument.found("source", f"no frames in {folder}", "images there or in img/")
    root = folder.resolve()
    homes = [root, root.parent] if root.name in FRAME_FOLDERS else [root]
    truths = next((found for home in homes if (found := truths_in(home))), [])
    name = homes[-1].name
    return Source(name, _decoded(paths), len(paths), _USUAL_FPS, lambda: stack_truth(truths))


def _decoded(paths: list[Path]) -> Iterator[Pixels]:
    first: tuple[int, ...] | None = None
    for path in paths:
        frame = as_pixels(read_frame(path).image)
        first = first or frame.shape
        if frame.shape != first:
            found, expected = (f"{shape[1]}x{shape[0]} pixels" for shape in (frame.shape, first))
            raise InvalidArgument.found(str(path), found, f"{expected}, as in the first frame")
        yield frame


def _captured_source(name: str, where: str | int, expected: str) -> Source:
    with silence():
        capture = cv2.VideoCapture(where)
    if not capture.isOpened():
        raise InvalidArgument.found("source", repr(where)[:80], expected)
    fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return Source(
        name=name,
        frames=_captured(capture, name),
        count=count if count > 0 else None,
        fps=fps if 1 <= fps <= 240 else _USUAL_FPS,
    )


def _captured(capture: cv2.VideoCapture, name: str) -> Iterator[Pixels]:
    size: tuple[int, int] | None = None
    try:
        while True:
            with silence():
                is_read, read = capture.read()
            if not is_read:
                break
            frame = np.asarray(read, np.uint8)
            size = size or (frame.shape[1], frame.shape[0])
            is_first_size = (frame.shape[1], frame.shape[0]) == size
            yield frame if is_first_size else np.asarray(cv2.resize(frame, size), np.uint8)
    finally:
        capture.release()
    if size is None:
        raise InvalidArgument.found("source", f"no frames in {name}", "at least one")
