"""Image files as cameras and programs write them, and such as nobody should."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from siamcorr.images import Pixels

BGR = (50, 100, 200)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(pixels: npt.NDArray[Any], extension: str) -> bytes:
    return cv2.imencode(extension, pixels)[1].tobytes()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Return an image of one colour, ``BGR``."""
    return Image.new("RGB", size, BGR[::-1]).convert(mode)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG file of these chunks, whatever they are."""
    bodies = (struct.pack(">I", len(body)) + name + body for name, body in chunks)
    checks = (struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body + check for body, check in zip(bodies, checks, strict=True))


def png_header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def baseline() -> bytes:
    return encoded(noise(16, 24), ".jpg")


def progressive() -> bytes:
    return saved(Image.fromarray(noise(16, 24)), "JPEG", progressive=True)


def with_restarts() -> bytes:
    return cv2.imencode(".jpg", noise(16, 24), [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()


def compressed() -> bytes:
    return encoded(noise(16, 24), ".png")


def with_text() -> bytes:
    return png(png_header(1, 1), (b"tEXt", b"a\0b"), (b"IDAT", zlib.compress(b"\0abc")), (b"IEND", b""))
