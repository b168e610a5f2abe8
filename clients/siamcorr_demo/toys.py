"""The toys that wander through the clip: polygons on a unit square, painted in two colours each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr_demo.brush import Colour, Pixels, Points, ellipse, fill, line, polygon_mask

__all__ = ["MOST_TOYS", "TOY_PX", "Toy", "beach_ball", "toys"]

TOY_PX = 192
"""Side of a toy's drawing in pixels: twice that of the largest in a frame, so that edges come out smooth."""

_RED, _BLACK, _WHITE = (44, 48, 210), (30, 28, 26), (238, 244, 246)
_BLUE, _YELLOW, _ORANGE, _TEAL = (196, 110, 32), (64, 204, 248), (32, 124, 244), (150, 148, 16)
_VIOLET, _PINK = (180, 70, 130), (180, 130, 250)


@dataclass(frozen=True, slots=True, eq=False)
class Toy:
    """A drawing of TOY_PX by TOY_PX pixels.

    ``colour`` (H, W, 3) float32 BGR; ``alpha`` and ``shadow`` (H, W) float32 from 0 to 1; ``outline`` (N, 2)
    float64, x and y on the unit square.
    """

    colour: npt.NDArray[np.float32]
    alpha: npt.NDArray[np.float32]
    shadow: npt.NDArray[np.float32]
    outline: Points


def toys(count: int) -> tuple[Toy, ...]:
    """Return the first ``count`` toys, of sixteen: eight kinds, then the same kinds in other colours.

    >>> [toy.alpha.shape for toy in toys(2)]
    [(192, 192), (192, 192)]
    """
    return tuple(draw(first, second) for draw, first, second in _TOYS[:count])


def beach_ball(first: Colour, second: Colour) -> Toy:
    """Return a ball with sectors of both colours."""
    drawing = _blank(_WHITE)
    hub = np.array((0.44, 0.42))
    for sector, colour in enumerate((first, _WHITE, second, _WHITE, _YELLOW, _WHITE)):
        angles = np.linspace(sector, sector + 1, 12) * np.pi / 3
        rim = hub + np.column_stack([np.cos(angles), np.sin(angles)])
        _paint(drawing, np.vstack([hub, rim]), colour)
    _paint(drawing, ellipse(0.075, 0.075, hub), second)
    return _finish(drawing, ellipse(0.46, 0.46, (0.5, 0.5)))


def _ladybird(first: Colour, second: Colour) -> Toy:
    drawing = _blank(first)
    _paint(drawing, ellipse(0.40, 0.20, (0.5, 0.125)), second)
    line(drawing, np.array([(0.5, 0.2), (0.5, 1.0)]) * TOY_PX, second, 5)
    for x, y, radius in ((0.30, 0.40, 0.085), (0.26, 0.66, 0.07), (0.40, 0.84, 0.055), (0.40, 0.56, 0.05)):
        for mirrored in (x, 1 - x):
            _paint(drawing, ellipse(radius, radius, (mirrored, y)), second)
    for x in (0.36, 0.64):
        _paint(drawing, ellipse(0.06, 0.045, (x, 0.13)), _WHITE)
    return _finish(drawing, ellipse(0.40, 0.46, (0.5, 0.5)))


def _kite(first: Colour, second: Colour) -> Toy:
    drawing = _blank(_YELLOW)
    points = np.array([(0.5, 0.02), (0.90, 0.40), (0.5, 0.98), (0.10, 0.40)])
    middle = np.array((0.5, 0.40))
    for index, colour in enumerate((first, _WHITE, second, _BLACK)):
        part = np.array([middle, points[index], points[(index + 1) % 4]])
        _paint(drawing, part, colour)
        _paint(drawing, part.mean(axis=0) + (part - part.mean(axis=0)) * 0.42, _YELLOW)
    return _finish(drawing, points)


def _clownfish(first: Colour, second: Colour) -> Toy:
    drawing = _blank(first)
    for x, width in ((0.26, 0.09), (0.47, 0.11), (0.68, 0.07)):
        for grow, colour in ((0.035, _BLACK), (0.0, second)):
            _paint(drawing, ellipse(width / 2 + grow, 0.4, (x, 0.5)), colour)
    line(drawing, np.array([(0.93, 0.2), (0.87, 0.5), (0.93, 0.8)]) * TOY_PX, _BLACK, 5)
    _eye(drawing, (0.155, 0.45), 0.05)
    tail = np.array([(0.70, 0.50), (0.97, 0.28), (0.91, 0.50), (0.97, 0.72)])
    return _finish(drawing, ellipse(0.36, 0.25, (0.42, 0.5)), tail)


def _butterfly(first: Colour, second: Colour) -> Toy:
    drawing = _blank(first)
    parts = [ellipse(0.05, 0.36, (0.5, 0.52))]
    for side in (-1, 1):
        upper, lower = (0.5 + side * 0.25, 0.33), (0.5 + side * 0.20, 0.70)
        parts += [ellipse(0.27, 0.19, upper, side * 0.5), ellipse(0.20, 0.16, lower, -side * 0.6)]
        _paint(drawing, ellipse(0.15, 0.10, upper, side * 0.5), second)
        _paint(drawing, ellipse(0.06, 0.06, upper), _BLACK)
        _paint(drawing, ellipse(0.11, 0.08, lower, -side * 0.6), _WHITE)
        _paint(drawing, ellipse(0.05, 0.05, lower), second)
    _paint(drawing, parts[0], _BLACK)
    return _finish(drawing, *parts)


def _duck(first: Colour, second: Colour) -> Toy:
    drawing = _blank(first)
    beak = np.array([(0.62, 0.22), (0.97, 0.30), (0.93, 0.38), (0.62, 0.42)])
    _paint(drawing, beak, second)
    _paint(drawing, ellipse(0.22, 0.22, (0.55, 0.28)), first)
    _paint(drawing, ellipse(0.24, 0.15, (0.36, 0.66), -0.35), second)
    _paint(drawing, ellipse(0.19, 0.10, (0.35, 0.64), -0.35), first)
    line(drawing, np.array([(0.34, 0.47), (0.5, 0.52), (0.74, 0.47)]) * TOY_PX, _WHITE, 11)
    _eye(drawing, (0.62, 0.23), 0.065)
    tail = np.array([(0.14, 0.62), (0.03, 0.40), (0.34, 0.52)])
    body = ellipse(0.42, 0.25, (0.47, 0.69))
    return _finish(drawing, body, ellipse(0.22, 0.22, (0.55, 0.28)), beak, tail)


def _car(first: Colour, second: Colour) -> Toy:
    """Return a car from above."""
    drawing = _blank(first)
    for y in (0.43, 0.57):
        line(drawing, np.array([(0.0, y), (1.0, y)]) * TOY_PX, second, 13)
    _paint(drawing, _box(0.60, 0.30, 0.74, 0.70), _BLACK)
    _paint(drawing, _box(0.20, 0.32, 0.30, 0.68), _BLACK)
    for y in (0.29, 0.67):
        _paint(drawing, _box(0.34, y, 0.56, y + 0.04), _BLACK)
        _paint(drawing, ellipse(0.05, 0.055, (0.95, 0.33 if y < 0.5 else 0.67)), _YELLOW)
    wheels = [_box(x, y, x + 0.17, y + 0.12) for x in (0.14, 0.68) for y in (0.18, 0.70)]
    for wheel in wheels:
        _paint(drawing, wheel, _BLACK)
    body = np.array([(0.08, 0.25), (0.88, 0.25), (0.97, 0.36), (0.97, 0.64), (0.88, 0.75), (0.08, 0.75)])
    _paint(drawing, _box(0.10, 0.26, 0.88, 0.29), first)
    _paint(drawing, _box(0.10, 0.71, 0.88, 0.74), first)
    return _finish(drawing, *wheels, body)


def _toadstool(first: Colour, second: Colour) -> Toy:
    drawing = _blank(_WHITE)
    cap = np.vstack([ellipse(0.46, 0.48, (0.5, 0.54))[24:], [(0.96, 0.56), (0.04, 0.56)]])
    _paint(drawing, cap, first)
    for x, y, a, b in ((0.5, 0.2, 0.09, 0.07), (0.25, 0.38, 0.08, 0.08), (0.52, 0.42, 0.08, 0.07)):
        _paint(drawing, ellipse(a, b, (x, y)), _WHITE)
    _paint(drawing, ellipse(0.08, 0.08, (0.78, 0.38)), _WHITE)
    stem = np.array([(0.36, 0.5), (0.64, 0.5), (0.70, 0.94), (0.30, 0.94)])
    line(drawing, np.array([(0.34, 0.66), (0.5, 0.71), (0.66, 0.66)]) * TOY_PX, second, 9)
    line(drawing, np.array([(0.05, 0.56), (0.95, 0.56)]) * TOY_PX, second, 7)
    return _finish(drawing, cap, stem)


def _finish(drawing: Pixels, *parts: Points) -> Toy:
    """Cut the outline out of the drawing and give it a rim, a shine and a shadow."""
    alpha = polygon_mask(TOY_PX, [part * TOY_PX for part in parts])
    depth = cv2.GaussianBlur(alpha, (0, 0), TOY_PX / 22)
    x, y = np.meshgrid(np.linspace(-1, 1, TOY_PX), np.linspace(-1, 1, TOY_PX))
    shine = 1 - 0.16 * (x + y)
    colour = drawing * (shine * (0.45 + 0.55 * depth.clip(0.5, 1) ** 0.8))[..., None]
    shadow = cv2.GaussianBlur(alpha, (0, 0), TOY_PX / 40)
    outline = np.concatenate(parts)
    return Toy(colour.clip(0, 255).astype(np.float32), alpha, np.asarray(shadow, np.float32), outline)


def _blank(colour: Colour) -> Pixels:
    return np.full((TOY_PX, TOY_PX, 3), colour, np.uint8)


def _paint(drawing: Pixels, part: Points, colour: Colour) -> None:
    fill(drawing, part * TOY_PX, colour)


def _eye(drawing: Pixels, at: tuple[float, float], radius: float) -> None:
    _paint(drawing, ellipse(radius, radius, at), _WHITE)
    _paint(drawing, ellipse(0.64 * radius, 0.64 * radius, at), _BLACK)


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


_TOYS: tuple[tuple[Callable[[Colour, Colour], Toy], Colour, Colour], ...] = (
    (_ladybird, _RED, _BLACK),
    (beach_ball, _RED, _BLUE),
    (_kite, _TEAL, _ORANGE),
    (_clownfish, _ORANGE, _WHITE),
    (_butterfly, _BLUE, _YELLOW),
    (_duck, _YELLOW, _ORANGE),
    (_car, _RED, _WHITE),
    (_toadstool, _VIOLET, _PINK),
    (_ladybird, _YELLOW, _BLACK),
    (beach_ball, _TEAL, _VIOLET),
    (_kite, _RED, _BLUE),
    (_clownfish, _BLUE, _YELLOW),
    (_butterfly, _ORANGE, _RED),
    (_duck, _WHITE, _RED),
    (_car, _BLUE, _YELLOW),
    (_toadstool, _RED, _PINK),
)

MOST_TOYS = len(_TOYS)
