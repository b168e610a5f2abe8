"""What the clip is made of: four toys, and the meadow that they wander on.

Everything is drawn with polygons and noise, from the seed alone. Coordinates of toys are on a unit square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["TOY_PX", "Toy", "meadow", "toys"]

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

TOY_PX = 192
"""Side of a toy's drawing in pixels: twice that of the largest in a frame, so that edges come out smooth."""

_SHIFT = 4
"""OpenCV draws points that are integers of 1 / 2**_SHIFT of a pixel."""

_RED, _BLACK, _WHITE = (48, 44, 214), (34, 28, 26), (238, 244, 246)
_BLUE, _YELLOW, _ORANGE, _TEAL = (196, 110, 32), (64, 204, 248), (32, 124, 244), (150, 148, 16)


_GRASS = (70, 118, 92)
_GRASS_OCTAVES = ((90, 0.28), (24, 0.17), (7, 0.19), (3, 0.17))
"""Cell sizes in pixels of the noise, and how much each lightens or darkens."""


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


def toys() -> tuple[Toy, ...]:
    """Return a ladybird, a beach ball, a kite and a clownfish.

    >>> [toy.alpha.shape for toy in toys()]
    [(192, 192), (192, 192), (192, 192), (192, 192)]
    """
    return _ladybird(), _ball(_RED, _BLUE), _kite(), _clownfish()


def meadow(size: tuple[int, int], seed: int) -> Pixels:
    """Return the ground, (H, W, 3) uint8 BGR: grass, leaves, pebbles and a faded ball. ``size`` is (W, H).

    >>> meadow((64, 48), seed=7).shape
    (48, 64, 3)
    """
    width, height = size
    rng = np.random.default_rng(seed)
    octaves = [weight * _noise(rng, size, cell) for cell, weight in _GRASS_OCTAVES]
    grass = _GRASS * (1 + np.sum(octaves, axis=0)[..., None])
    canvas = np.asarray(grass.clip(0, 255), np.uint8)
    for _ in range(width * height // 5000):
        at = rng.uniform((0, 0), size)
        length, turn, hue = rng.uniform(10, 30), rng.uniform(0, 2 * np.pi), rng.uniform(-26, 26, 3)
        if rng.random() < 0.6:
            _leaf(canvas, at, length, turn, np.array((46, 120, 128)) + hue)
        else:
            _pebble(canvas, at, length * 0.55, turn, np.array((138, 146, 150)) + hue)
    _lay(canvas, _ball((112, 104, 148), (140, 122, 104)), at=(0.62 * width, 0.30 * height), side=58.0)
    return canvas


def _noise(rng: np.random.Generator, size: tuple[int, int], cell: int) -> npt.NDArray[np.float32]:
    coarse = rng.uniform(-1, 1, (size[1] // cell + 2, size[0] // cell + 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def _leaf(canvas: Pixels, at: Points, length: float, turn: float, colour: Points) -> None:
    along = np.linspace(-1, 1, 16)
    side = 0.34 * np.cos(along * np.pi / 2)
    shape = np.concatenate([np.column_stack([along, side]), np.column_stack([along[::-1], -side[::-1]])])
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * length
    _fill(canvas, (shape @ turned) + at, colour)
    vein = np.array([(-1.15, 0.0), (0.9, 0.0)]) @ turned + at
    _line(canvas, vein, colour * 0.6, 1)


def _pebble(canvas: Pixels, at: Points, radius: float, turn: float, colour: Points) -> None:
    for size, shift, gain in ((1.0, 1.6, 0.35), (1.0, 0.0, 0.8), (0.68, -0.16 * radius, 1.05)):
        _fill(canvas, _ellipse(radius * size, 0.74 * radius * size, at + shift, turn), colour * gain)


def _ladybird() -> Toy:
    body = _ellipse(0.40, 0.46, (0.5, 0.5))
    drawing = _blank(_RED)
    _fill(drawing, _ellipse(0.40, 0.20, (0.5, 0.125)) * TOY_PX, _BLACK)
    _line(drawing, np.array([(0.5, 0.2), (0.5, 1.0)]) * TOY_PX, _BLACK, 5)
    for x, y, radius in ((0.30, 0.40, 0.085), (0.26, 0.66, 0.07), (0.40, 0.84, 0.055), (0.40, 0.56, 0.05)):
        for mirrored in (x, 1 - x):
            _fill(drawing, _ellipse(radius, radius, (mirrored, y)) * TOY_PX, _BLACK)
    for x in (0.36, 0.64):
        _fill(drawing, _ellipse(0.06, 0.045, (x, 0.13)) * TOY_PX, _WHITE)
    return _finish(drawing, body)


def _ball(first: Colour, second: Colour) -> Toy:
    drawing = _blank(_WHITE)
    hub = np.array((0.44, 0.42))
    for sector, colour in enumerate((first, _WHITE, second, _WHITE, _YELLOW, _WHITE)):
        angles = np.linspace(sector, sector + 1, 12) * np.pi / 3
        rim = hub + np.column_stack([np.cos(angles), np.sin(angles)])
        _fill(drawing, np.vstack([hub, rim]) * TOY_PX, colour)
    _fill(drawing, _ellipse(0.075, 0.075, hub) * TOY_PX, second)
    return _finish(drawing, _ellipse(0.46, 0.46, (0.5, 0.5)))


def _kite() -> Toy:
    drawing = _blank(_YELLOW)
    points = np.array([(0.5, 0.02), (0.90, 0.40), (0.5, 0.98), (0.10, 0.40)])
    middle = np.array((0.5, 0.40))
    for index, colour in enumerate((_TEAL, _WHITE, _ORANGE, _BLACK)):
        part = np.array([middle, points[index], points[(index + 1) % 4]])
        _fill(drawing, part * TOY_PX, colour)
        inner = part.mean(axis=0) + (part - part.mean(axis=0)) * 0.42
        _fill(drawing, inner * TOY_PX, _YELLOW)
    return _finish(drawing, points)


def _clownfish() -> Toy:
    drawing = _blank(_ORANGE)
    body = _ellipse(0.36, 0.25, (0.42, 0.5))
    tail = np.array([(0.70, 0.50), (0.97, 0.28), (0.91, 0.50), (0.97, 0.72)])
    for x, width in ((0.26, 0.09), (0.47, 0.11), (0.68, 0.07)):
        for grow, colour in ((0.035, _BLACK), (0.0, _WHITE)):
            _fill(drawing, _ellipse(width / 2 + grow, 0.4, (x, 0.5)) * TOY_PX, colour)
    _line(drawing, np.array([(0.93, 0.2), (0.87, 0.5), (0.93, 0.8)]) * TOY_PX, _BLACK, 5)
    for radius, colour in ((0.05, _WHITE), (0.032, _BLACK)):
        _fill(drawing, _ellipse(radius, radius, (0.155, 0.45)) * TOY_PX, colour)
    return _finish(drawing, body, tail)


def _finish(drawing: Pixels, *parts: Points) -> Toy:
    """Cut the outline out of the drawing and give it a rim, a shine and a shadow."""
    mask = np.zeros(drawing.shape[:2], np.uint8)
    for part in parts:
        cv2.fillPoly(mask, _fixed(part * TOY_PX), (255,), cv2.LINE_AA, _SHIFT)
    alpha = np.asarray(mask / 255, np.float32)
    depth = cv2.GaussianBlur(alpha, (0, 0), TOY_PX / 22)
    x, y = np.meshgrid(np.linspace(-1, 1, TOY_PX), np.linspace(-1, 1, TOY_PX))
    shine = 1 - 0.16 * (x + y)
    colour = drawing * (shine * (0.45 + 0.55 * depth.clip(0.5, 1) ** 0.8))[..., None]
    shadow = cv2.GaussianBlur(alpha, (0, 0), TOY_PX / 40)
    outline = np.concatenate(parts)
    return Toy(colour.clip(0, 255).astype(np.float32), alpha, np.asarray(shadow, np.float32), outline)


def _lay(canvas: Pixels, toy: Toy, at: Sequence[float], side: float) -> None:
    """Lay a toy on the ground for good."""
    scale = side / TOY_PX
    matrix = np.array([[scale, 0, at[0] - side / 2], [0, scale, at[1] - side / 2]])
    size = (canvas.shape[1], canvas.shape[0])
    alpha = cv2.warpAffine(toy.alpha, matrix, size)[..., None]
    canvas[:] = (canvas + alpha * (cv2.warpAffine(toy.colour, matrix, size) - canvas)).astype(np.uint8)


def _blank(colour: Colour) -> Pixels:
    return np.full((TOY_PX, TOY_PX, 3), colour, np.uint8)


def _ellipse(a: float, b: float, at: Sequence[float] | Points, turn: float = 0.0) -> Points:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = a * np.cos(angles), b * np.sin(angles)
    return at + np.column_stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])


def _fixed(points: Points) -> list[npt.NDArray[np.int32]]:
    return [np.round(points * (1 << _SHIFT)).astype(np.int32)]


def _fill(canvas: Pixels, points: Points, colour: Colour | Points) -> None:
    cv2.fillPoly(canvas, _fixed(points), [float(value) for value in colour], cv2.LINE_AA, _SHIFT)


def _line(canvas: Pixels, points: Points, colour: Colour | Points, width: int) -> None:
    cv2.polylines(
        canvas, _fixed(points), False, [float(value) for value in colour], width, cv2.LINE_AA, _SHIFT
    )
