"""Single marks on a picture: outlines, labels, crosses, each in its target's colour. Outside is cut off."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr_demo.text import put_text, text_width

__all__ = ["GREY", "GROUND", "WHITE", "Colour", "colour_of", "cross", "curve", "label", "note", "outline"]

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE, GREY, INK, GROUND = (255, 255, 255), (176, 170, 164), (28, 22, 20), (30, 24, 22)

_COLOURS: tuple[Colour, ...] = (
    (240, 201, 76),  # sky
    (102, 209, 255),  # gold
    (166, 112, 255),  # rose
    (160, 214, 6),  # mint
    (28, 159, 255),  # orange
    (255, 136, 179),  # violet
    (31, 249, 198),  # lime
    (255, 229, 180),  # ice
)
_LETTERS_PX = 13
_LABEL_PX = 18
_SHIFT = 4


def colour_of(target: int) -> Colour:
    """Return the BGR colour of a target, counted from 0; there are eight, then they come again."""
    return _COLOURS[target % len(_COLOURS)]


def outline(canvas: Pixels, corners: tuple[float, float, float, float], colour: Colour, width: int) -> None:
    """Draw a rectangle, left, top, right and bottom in pixels, with a dark rim against bright grounds."""
    left, top, right, bottom = corners
    points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) * (1 << _SHIFT)
    lines = [np.round(points.clip(-(1 << 20), 1 << 20)).astype(np.int32)]
    cv2.polylines(canvas, lines, True, INK, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(canvas, lines, True, colour, width, cv2.LINE_AA, _SHIFT)


def label(canvas: Pixels, corner: tuple[float, float], text: str, colour: Colour) -> None:
    """Write ``text`` on a ground of ``colour``, above the ``corner`` (x, y) or as near to that as fits."""
    width = text_width(text, _LETTERS_PX) + 10
    left = round(min(max(corner[0] - 1, 0), max(0, canvas.shape[1] - width)))
    top = round(min(max(corner[1] - _LABEL_PX, 0), max(0, canvas.shape[0] - _LABEL_PX)))
    canvas[top : top + _LABEL_PX, left : left + width] = colour
    put_text(canvas, (left + 5, top + _LABEL_PX - 5), text, _LETTERS_PX, INK)


def note(canvas: Pixels, at: tuple[float, float], text: str) -> None:
    """Write white text with a shadow, legible on any ground; ``at`` is where its base line begins."""
    for x, y in ((1, 0), (0, 1), (1, 1)):
        put_text(canvas, (at[0] + x, at[1] + y), text, _LETTERS_PX, INK)
    put_text(canvas, at, text, _LETTERS_PX, WHITE)


def curve(canvas: Pixels, points: npt.NDArray[np.float64], colour: Colour) -> None:
    """Draw a line through points, (N, 2) x and y in pixels."""
    line = np.round(points * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [line], False, colour, 1, cv2.LINE_AA, _SHIFT)


def cross(canvas: Pixels, at: tuple[float, float], colour: Colour) -> None:
    """Mark a point."""
    points = [round(value * (1 << _SHIFT)) for value in at]
    arm = 6 << _SHIFT
    for rim, drawn in ((2, INK), (0, colour)):
        for x, y in ((arm, 0), (0, arm)):
            start, end = (points[0] - x, points[1] - y), (points[0] + x, points[1] + y)
            cv2.line(canvas, start, end, drawn, 1 + rim, cv2.LINE_AA, _SHIFT)
