"""A frame's size, without decoding it: the client has no image library."""

from __future__ import annotations

import numpy as np

from siamcorr.calls import Image
from siamcorr.errors import InvalidArgument

__all__ = ["frame_size"]

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are tables, not frame headers


def frame_size(image: Image) -> tuple[int, int] | None:
    """Return (width, height) of an (H, W, 3) array, or as a JPEG or PNG file states it; None where it does
    not.

    An orientation in the file's metadata does not count, as it does not for the server.

    Raises:
        InvalidArgument: names ``image``: neither a file's bytes nor colour pixels of 8 bits. Grey and 16-bit
            arrays are for the caller to convert, who knows what their range stands for.

    >>> frame_size(b"\\x89PNG\\r\\n\\x1a\\n" + b"\\0\\0\\0\\rIHDR" + b"\\0\\0\\2\\x80" + b"\\0\\0\\1\\xe0")
    (640, 480)
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise _invalid(f"{image.dtype} {image.shape}")
        return image.shape[1], image.shape[0]
    if not isinstance(image, bytes):
        raise _invalid(type(image).__name__)
    if image.startswith(_PNG_START) and len(image) >= 24:
        return int.from_bytes(image[16:20]), int.from_bytes(image[20:24])
    return _jpeg_size(image) if image.startswith(_JPEG_START) else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = len(_JPEG_START)
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 <= len(data):
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        is_segment = 0xC0 <= marker <= 0xFE and not 0xD0 <= marker <= 0xD9
        at += 2 + int.from_bytes(data[at + 2 : at + 4]) if is_segment else 1
    return None


def _invalid(found: str) -> InvalidArgument:
    expected = "a JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR, not empty"
    return InvalidArgument.found("image", found, expected)
