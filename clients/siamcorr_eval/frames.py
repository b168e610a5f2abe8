"""A sequence's frames, as the trackers get them.

Rules:

- A JPEG or PNG file is passed on as it lies on the disk; who tracks decodes it. Its structure is walked here,
  so that a file that is cut short is named by its path, whoever tracks.
- Every other format is decoded by OpenCV into (H, W, 3) uint8 BGR: grey becomes BGR, 16 bits become the upper
  8 of them. An orientation in the file's metadata is ignored, as it is by :func:`siamcorr.images.decode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from siamcorr.errors import InvalidArgument
from siamcorr.images import Pixels, decode, file_size

__all__ = ["SUFFIXES", "Frame", "as_pixels", "read_frame"]

Image: TypeAlias = bytes | Pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"})
"""What the names of frames end in."""

_SENT_AS_THEY_ARE = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_MAX_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """``image`` is a JPEG or PNG file's bytes or (H, W, 3) uint8 BGR; ``size`` is (width, height), pixels."""

    image: Image
    size: tuple[int, int]


def read_frame(path: Path) -> Frame:
    """Read a frame's file.

    Raises:
        InvalidArgument: names the file: it cannot be read, or is no whole image.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_SENT_AS_THEY_ARE):
            return Frame(data, file_size(data))
        pixels = _decoded(data)
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be read: {error.strerror}", field="frame") from error
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {error.message.removeprefix('image: ')}", field="frame") from error
    return Frame(pixels, (pixels.shape[1], pixels.shape[0]))


def as_pixels(image: Image) -> Pixels:
    """Return a frame's ``image`` as (H, W, 3) uint8 BGR, decoded as the server decodes it."""
    return decode(image, _MAX_PIXELS)


def _decoded(data: bytes) -> Pixels:
    pixels = None
    if data:
        try:
            pixels = cv2.imdecode(
                np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            )
        except cv2.error:
            pixels = None
    if pixels is None:
        found = f"{len(data)} bytes that begin with {data[:8]!r}"
        raise InvalidArgument.found("image", found, "an image that OpenCV can read")
    return np.asarray(pixels, np.uint8)
