"""Frames: decoded once, then cut into the square crops that embedders take.

Rules:

- A frame is (H, W, 3) uint8 BGR. Files are JPEG or PNG and nothing else: every further format is one more
  decoder for a stranger's bytes to meet. Grey, palette, CMYK, 16-bit and alpha files become BGR; alpha is
  dropped.
- An orientation in the file's metadata is ignored: boxes are in the pixels as they are stored.
- A file's structure is walked before anything is decoded. It gives the size, so that what is too large is
  refused before memory is taken, and the end, so that what is cut short is refused: decoders fill the missing
  half with grey, and say so to nobody. Bytes behind the end are allowed; cameras append to their files.
- Damage that keeps the structure of a JPEG is not seen: it has no checksums. PNG has, and they are checked.
- What a crop has outside the frame is filled with the frame's channel mean, rounded down to uint8 (as pysot's
  is when it is stored). Of the frame only the part inside the crop is touched.
- Resizing is OpenCV's INTER_LINEAR: bilinear between pixel middles, without smoothing when it shrinks.
- JPEG is decoded by simplejpeg, where it is installed: the same bits as OpenCV's, 1.1 to 1.7 times as fast
  (1280x720, into memory just used, or new). It stops at all that is not as it should be: else it gives away
  memory that it has not written, where a file is worse further on. What it refuses OpenCV may still read.

Ways rejected:

- Pillow as the decoder: strict about a missing end, silent, and 1.4 to 1.9 times slower.
- Pillow for the size alone: it finds no missing end either, and warns about large images process-wide.
- Padding the frame and cutting the crop out of it: copies the whole frame for every target.
"""

from __future__ import annotations

import re
import zlib
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr.geometry import Crop

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

__all__ = ["Pixels", "channel_mean", "cut", "cut_into", "decode", "file_size"]

Pixels: TypeAlias = npt.NDArray[np.uint8]

_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

_MAX_SEGMENTS = 65_536
"""The most segments or chunks that are walked: millions of empty ones would keep a thread busy for long."""

_JPEG_START = b"\xff\xd8\xff"
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # those left out stand alone, amid coded data
_JPEG_END = 0xD9
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are tables, not frame headers

_PNG_START = b"\x89PNG\r\n\x1a\n"


def decode(image: bytes | Pixels, max_pixels: int) -> Pixels:
    """Return an image as (H, W, 3) uint8 BGR, C-contiguous.

    Args:
        image: a JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR, which is returned as it is, or as a copy if
            it is not contiguous.
        max_pixels: what H * W may be at most. It is checked before anything is decoded.

    Raises:
        InvalidArgument: names ``image``: another type, shape or format, too many pixels, or a broken file.

    >>> decode(np.zeros((48, 64, 3), np.uint8), max_pixels=4096).shape
    (48, 64, 3)
    """
    if isinstance(image, bytes):
        return _decode_file(image, max_pixels)
    if not isinstance(image, np.ndarray):
        raise _invalid(type(image).__name__, "bytes of a JPEG or PNG file, or an array (H, W, 3) uint8 BGR")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise _invalid(f"{image.dtype} {image.shape}", "uint8 (H, W, 3) BGR")
    _check_size(image.shape[1], image.shape[0], max_pixels)
    return np.ascontiguousarray(image)


def file_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) as a JPEG or PNG file states it, without decoding it.

    Raises:
        InvalidArgument: names ``image``: another format, or a file that is cut short.

    >>> file_size(cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    (64, 48)
    """
    if data.startswith(_JPEG_START):
        return _walk_jpeg(data)
    if data.startswith(_PNG_START):
        return _walk_png(data)
    raise _invalid(f"{len(data)} bytes that begin with {data[:8]!r}", "a JPEG or PNG file")


def channel_mean(image: Pixels) -> Pixels:
    """Return the mean of each channel of (H, W, 3), rounded down: (3,) uint8, the fill for :func:`cut`.

    >>> channel_mean(np.array([[[1, 2, 250], [2, 2, 255]]], np.uint8))
    array([  1,   2, 252], dtype=uint8)
    """
    pixels = image.shape[0] * image.shape[1]
    return np.array([int(total) // pixels for total in cv2.sumElems(image)[:3]], np.uint8)


def cut(image: Pixels, crop: Crop, size_px: int, fill: Pixels) -> Pixels:
    """Return a crop of an image, resized to (size_px, size_px, 3) uint8 BGR; a new array.

    Args:
        image: (H, W, 3) uint8 BGR.
        crop: the square to cut. It may lie partly or wholly outside the image.
        size_px: the side of the result, in pixels.
        fill: (3,) uint8, the colour of what lies outside: the image's :func:`channel_mean`.

    >>> frame = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    >>> cut(frame, Crop(left=2, top=1, side=2), size_px=2, fill=channel_mean(frame))[..., 0]
    array([[15, 12],
           [24, 12]], dtype=uint8)
    """
    out = np.empty((size_px, size_px, 3), np.uint8)
    cut_into(out, image, crop, fill)
    return out


def cut_into(out: Pixels, image: Pixels, crop: Crop, fill: Pixels) -> None:
    """Do the same into ``out``, (S, S, 3) uint8, C-contiguous."""
    height, width = image.shape[:2]
    left, right = (min(max(edge, 0), width) for edge in (crop.left, crop.left + crop.side))
    top, bottom = (min(max(edge, 0), height) for edge in (crop.top, crop.top + crop.side))
    if left == right or top == bottom:
        out[...] = fill
        return
    patch = image[top:bottom, left:right]
    if patch.shape[:2] != (crop.side, crop.side):
        above, below = top - crop.top, crop.top + crop.side - bottom
        before, after = left - crop.left, crop.left + crop.side - right
        border = (above, below, before, after, cv2.BORDER_CONSTANT)
        patch = np.asarray(cv2.copyMakeBorder(patch, *border, value=fill.tolist()), np.uint8)
    cv2.resize(patch, out.shape[:2], dst=out, interpolation=cv2.INTER_LINEAR)


def _decode_file(data: bytes, max_pixels: int) -> Pixels:
    width, height = file_size(data)
    _check_size(width, height, max_pixels)
    pixels = _read_jpeg(data, width, height) if data.startswith(_JPEG_START) else _read(data)
    if pixels is None or pixels.shape != (height, width, 3):
        raise _invalid("a file that cannot be decoded", "a JPEG or PNG file")
    return pixels


def _read_jpeg(data: bytes, width: int, height: int) -> Pixels | None:
    """Return a JPEG's pixels; None where the decoder reads another size than was checked."""
    if simplejpeg is None:
        return _read(data)
    try:
        if simplejpeg.decode_jpeg_header(data)[:2] != (height, width):
            return None
        pixels = np.empty((height, width, 3), np.uint8)
        return np.asarray(simplejpeg.decode_jpeg(data, "BGR", buffer=pixels), np.uint8)
    except ValueError:
        return _read(data)


def _read(data: bytes) -> Pixels | None:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_STORED)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not 1 <= width * height <= max_pixels:
        raise _invalid(f"{width}x{height} pixels", f"1 to {max_pixels} pixels in all")


def _walk_jpeg(data: bytes) -> tuple[int, int]:
    """Return (width, height) of a JPEG file that has an end marker; libjpeg finds markers in this way."""
    size = None
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            raise _invalid(f"{len(data)} bytes of a JPEG file without an end marker", "a whole file")
        marker, at = found[1][0], found.end()
        if marker == _JPEG_END:
            break
        if marker in _JPEG_FRAMES and size is None:
            size = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 3 : at + 5])
        at += max(2, int.from_bytes(data[at : at + 2]))
    else:
        raise _invalid("more segments in a JPEG file", f"at most {_MAX_SEGMENTS}")
    if size is None:
        raise _invalid("a JPEG file without a frame header", "one")
    return size


def _walk_png(data: bytes) -> tuple[int, int]:
    """Return (width, height) of a PNG file whose chunks are whole, up to the last one."""
    at = len(_PNG_START)
    for _ in range(_MAX_SEGMENTS):
        length, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body_end = at + 8 + length
        checksum = data[body_end : body_end + 4]
        if len(checksum) < 4:
            raise _invalid(f"{len(data)} bytes of a PNG file without an end chunk", "a whole file")
        if zlib.crc32(memoryview(data)[at + 4 : body_end]) != int.from_bytes(checksum):
            raise _invalid(f"a PNG file with a damaged chunk {name!r}", "a file as it was written")
        if name == b"IEND":
            break
        at = body_end + 4
    else:
        raise _invalid("more chunks in a PNG file", f"at most {_MAX_SEGMENTS}")
    first = len(_PNG_START) + 4
    if data[first : first + 4] != b"IHDR":
        raise _invalid(f"a PNG file that begins with chunk {data[first : first + 4]!r}", "IHDR")
    return int.from_bytes(data[first + 4 : first + 8]), int.from_bytes(data[first + 8 : first + 12])


def _invalid(found: str, expected: str) -> InvalidArgument:
    return InvalidArgument.found("image", found, expected)
