"""Drawing with polygons whose corners lie between pixels, with smooth edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Colour", "Pixels", "Points", "ellipse", "fill", "line", "polygon_mask"]

Pixels: TypeAlias = npt.NDArray[np.uint8]
Points: TypeAlias = npt.NDArray[np.float64]
Colour: TypeAlias = tuple[int, int, int]
"""Blue, green and red."""

_SHIFT = 4
"""OpenCV draws points that are integers of 1 / 2**_SHIFT of a pixel."""


def ellipse(a: float, b: float, at: Sequence[float] | Points, turn: float = 0.0) -> Points:
    """Return an ellipse as a polygon, (48, 2) x and y: half axes a and b, turned by an angle in radians.

    >>> ellipse(2.0, 1.0, (5.0, 5.0)).max(axis=0).tolist()
    [7.0, 6.0]
    """
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = a * np.cos(angles), b * np.sin(angles)
    return at + np.column_stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])


def fill(canvas: Pixels, points: Points, colour: Colour | Points) -> None:
    """Fill a polygon, (N, 2) x and y in pixels."""
    cv2.fillPoly(canvas, _fixed(points), [float(value) for value in colour], cv2.LINE_AA, _SHIFT)


def line(canvas: Pixels, points: Points, colour: Colour | Points, width: int) -> None:
    """Draw a line through points, (N, 2) x and y in pixels."""
    shades = [float(value) for value in colour]
    cv2.polylines(canvas, _fixed(points), False, shades, width, cv2.LINE_AA, _SHIFT)


def polygon_mask(side: int, parts: Sequence[Points]) -> npt.NDArray[np.float32]:
    """Return what polygons cover of each pixel of a square, (side, side) from 0 to 1.

    >>> polygon_mask(8, [np.array([(0.0, 0), (7, 0), (7, 3), (0, 3)])])[:, 4].round().tolist()
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    mask = np.zeros((side, side), np.uint8)
    for part in parts:
        cv2.fillPoly(mask, _fixed(part), (255,), cv2.LINE_AA, _SHIFT)
    return np.asarray(mask / 255, np.float32)


def _fixed(points: Points) -> list[npt.NDArray[np.int32]]:
    return [np.round(points * (1 << _SHIFT)).astype(np.int32)]
