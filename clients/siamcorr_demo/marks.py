"""Single marks on a picture: outlines, labels, crosses. What lies outside is cut off."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr_demo.text import put_text, text_width

__all__ = [
    "GREY",
    "GROUND",
    "WHITE",
    "Colour",
    "Labels",
    "colour_of",
    "cross",
    "label",
    "note",
    "outline",
    "strokes",
]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
Corners = tuple[float, float, float, float]

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
_SHIFT = 4
_DASH_PX = 5.0
_FAR_PX = 64
"""How far beyond a canvas lines are drawn: what lies further is not seen, and would be many dashes."""


def colour_of(target: int) -> Colour:
    """Return the BGR colour of a target, counted from 0; there are eight, then they come again."""
    return _COLOURS[target % len(_COLOURS)]


def outline(canvas: Pixels, corners: Corners, colour: Colour, width: int, *, dashed: bool = False) -> None:
    """Draw a rectangle, left, top, right and bottom in pixels, with a dark rim against bright grounds."""
    height, length = canvas.shape[:2]
    least, most = np.array([-_FAR_PX, -_FAR_PX]), np.array([length + _FAR_PX, height + _FAR_PX])
    left, top, right, bottom = corners
    points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]).clip(least, most)
    lines = _dashes(points) if dashed else [points]
    drawn = [np.round(line * (1 << _SHIFT)).astype(np.int32) for line in lines]
    cv2.polylines(canvas, drawn, not dashed, INK, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(canvas, drawn, not dashed, colour, width, cv2.LINE_AA, _SHIFT)


def _dashes(points: Floats) -> list[Floats]:
    """Return pieces of a closed line's sides, so many that each side begins and ends with one."""
    dashes = []
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        count = max(1, round(float(np.linalg.norm(end - start)) / _DASH_PX / 2))
        ends = start + np.linspace(0, 1, 2 * count + 2)[:, None] * (end - start)
        dashes += [ends[place : place + 2] for place in range(0, len(ends), 2)]
    return dashes


def label(canvas: Pixels, corner: tuple[float, float], text: str, colour: Colour, letters: int) -> int:
    """Write ``text`` on a ground of ``colour``, its top left ``corner`` (x, y) there or as near as fits.

    Args:
        canvas: (H, W, 3) BGR, drawn on in place.
        corner: in pixels.
        text: one line.
        colour: BGR.
        letters: their size, in pixels.

    Returns:
        Where it ends, x in pixels.
    """
    width, height = _label_size(text, letters)
    left: int = round(min(max(corner[0], 0), max(0, canvas.shape[1] - width)))
    top = round(min(max(corner[1], 0), max(0, canvas.shape[0] - height)))
    canvas[top : top + height, left : left + width] = colour
    put_text(canvas, (left + 5, top + height - 5), text, letters, INK)
    return left + width


class Labels:
    """The labels of one frame's boxes, each at a corner of its own box where no other label is."""

    def __init__(self, canvas: Pixels, letters: int) -> None:
        """Begin without labels; they will have letters of so many pixels."""
        self._canvas, self._letters = canvas, letters
        self._taken: list[Corners] = []

    def put(self, corners: Corners, text: str, colour: Colour) -> None:
        """Write a box's label: above it, else below, else within.

        ``corners`` are the box's left, top, right and bottom.
        """
        left, top, right, bottom = corners
        width, height = _label_size(text, self._letters)
        sides = left - 1, right - width + 1
        free = [
            (x, y)
            for y in (top - height, bottom, top)
            for x in sides
            if self._is_free((x, y, x + width, y + height))
        ]
        x, y = free[0] if free else (sides[0], top - height)
        self._taken.append((x, y, x + width, y + height))
        label(self._canvas, (x, y), text, colour, self._letters)

    def _is_free(self, place: Corners) -> bool:
        left, top, right, bottom = place
        height, width = self._canvas.shape[:2]
        return (left >= -1 and top >= 0 and right <= width and bottom <= height) and not any(
            left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
            for other in self._taken
        )


def note(canvas: Pixels, at: tuple[float, float], text: str, letters: int) -> None:
    """Write white text with a shadow, legible on any ground; ``at`` is where its base line begins."""
    for x, y in ((1, 0), (0, 1), (1, 1)):
        put_text(canvas, (at[0] + x, at[1] + y), text, letters, INK)
    put_text(canvas, at, text, letters, WHITE)


def strokes(canvas: Pixels, pieces: Floats, colour: Colour) -> None:
    """Draw straight pieces, (N, 2, 2): the x and y of both ends of each, in pixels."""
    lines = np.round(pieces * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, list(lines), False, colour, 1, cv2.LINE_AA, _SHIFT)


def cross(canvas: Pixels, at: tuple[float, float], colour: Colour) -> None:
    """Mark a point."""
    points = [round(value * (1 << _SHIFT)) for value in at]
    arm = 6 << _SHIFT
    for rim, drawn in ((2, INK), (0, colour)):
        for x, y in ((arm, 0), (0, arm)):
            start, end = (points[0] - x, points[1] - y), (points[0] + x, points[1] + y)
            cv2.line(canvas, start, end, drawn, 1 + rim, cv2.LINE_AA, _SHIFT)


def _label_size(text: str, letters: int) -> tuple[int, int]:
    return text_width(text, letters) + 10, letters + 5
