"""The video and the picture that the demo writes.

MPEG-4 Part 2 (``mp4v``) is the one codec that every OpenCV package can write: those on PyPI have no H.264
encoder, and their VP9 takes a hundred times as long.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from siamcorr.errors import InvalidArgument
from siamcorr_demo.quiet import silence

__all__ = ["Video", "write_picture"]

Pixels = npt.NDArray[np.uint8]


class Video:
    """An mp4 file that grows by a picture at each :meth:`write`, and is whole when the ``with`` block ends.

    Its folder is made. A file that is there already is overwritten at the first picture, not before.

    Args:
        path: where it goes.
        fps: pictures a second when it is played.

    Raises:
        InvalidArgument: names ``--out``: it cannot be written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        """Make the folder."""
        _make_folder(path, "--out")
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None

    def write(self, picture: Pixels) -> None:
        """Append a picture, (H, W, 3) BGR; all have one size, and its numbers are even."""
        if self._writer is None:
            size = (picture.shape[1], picture.shape[0])
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            with silence():
                self._writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, fourcc, self._fps, size)
            if not self._writer.isOpened():
                raise InvalidArgument(f"--out: OpenCV cannot write {self._path}", field="--out")
        self._writer.write(picture)

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


def write_picture(path: Path, picture: Pixels) -> None:
    """Write a picture, (H, W, 3) BGR, as its name ends: JPEG, or PNG of 256 colours, a fifth as large.

    Raises:
        InvalidArgument: names ``--snapshot``: it cannot be written.
    """
    image = Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    if path.suffix.lower() == ".png":
        image = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3)
    _make_folder(path, "--snapshot")
    try:
        image.save(path, optimize=True, quality=90)
    except OSError as error:
        raise InvalidArgument(f"--snapshot: {path}: {error.strerror}", field="--snapshot") from error


def _make_folder(path: Path, field: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"{field}: {path.parent}: {error.strerror}", field=field) from error
