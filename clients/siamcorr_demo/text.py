"""Text on pictures, in pillow's own font: OpenCV's strokes are hard to read at the size of a caption."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["put_text", "text_width"]

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]


def put_text(
    canvas: Pixels, at: tuple[float, float], text: str, size: int, colour: Colour, *, right: bool = False
) -> None:
    """Write one line on ``canvas`` (H, W, 3) BGR, in place; what does not fit is cut off.

    ``at`` is x and y where the base line begins, or ends if ``right``; ``size`` is the font's in pixels.

    >>> canvas = np.zeros((20, 40, 3), np.uint8)
    >>> put_text(canvas, (4, 15), "hi", 12, (255, 255, 255))
    >>> bool(canvas.any())
    True
    """
    mask, shift_x, shift_y = _rendered(text, size)
    left = round(at[0]) + shift_x - (text_width(text, size) if right else 0)
    top = round(at[1]) + shift_y
    inside = mask[max(0, -top) : canvas.shape[0] - top, max(0, -left) : canvas.shape[1] - left]
    if inside.size and left < canvas.shape[1] and top < canvas.shape[0]:
        part = canvas[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]]
        part[:] = part + (np.array(colour) - part) * inside[..., None]


@lru_cache(maxsize=256)
def text_width(text: str, size: int) -> int:
    """Return how many pixels a line takes."""
    return round(_font(size).getlength(text))


@lru_cache(maxsize=256)
def _rendered(text: str, size: int) -> tuple[npt.NDArray[np.float32], int, int]:
    """Return the ink, (h, w) from 0 to 1, and where it begins from the base line's start."""
    left, top, right, bottom = (round(edge) for edge in _font(size).getbbox(text, anchor="ls"))
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=_font(size), anchor="ls")
    return np.asarray(image, np.float32) / np.float32(255), left, top


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
