"""The ground that the toys wander on, drawn with polygons and noise, from a seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr_demo.brush import Pixels, Points, ellipse, fill, line
from siamcorr_demo.toys import TOY_PX, Toy, beach_ball

__all__ = ["meadow"]

_GRASS = (70, 118, 92)
_GRASS_OCTAVES = ((90, 0.28), (24, 0.17), (7, 0.19), (3, 0.17))
"""Cell sizes in pixels of the noise, and how much each lightens or darkens."""


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
    faded = beach_ball((112, 104, 148), (140, 122, 104))
    _lay(canvas, faded, at=(0.62 * width, 0.30 * height), side=58.0)
    return canvas


def _noise(rng: np.random.Generator, size: tuple[int, int], cell: int) -> npt.NDArray[np.float32]:
    coarse = rng.uniform(-1, 1, (size[1] // cell + 2, size[0] // cell + 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def _leaf(canvas: Pixels, at: Points, length: float, turn: float, colour: Points) -> None:
    along = np.linspace(-1, 1, 16)
    side = 0.34 * np.cos(along * np.pi / 2)
    shape = np.concatenate([np.column_stack([along, side]), np.column_stack([along[::-1], -side[::-1]])])
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * length
    fill(canvas, (shape @ turned) + at, colour)
    vein = np.array([(-1.15, 0.0), (0.9, 0.0)]) @ turned + at
    line(canvas, vein, colour * 0.6, 1)


def _pebble(canvas: Pixels, at: Points, radius: float, turn: float, colour: Points) -> None:
    for size, shift, gain in ((1.0, 1.6, 0.35), (1.0, 0.0, 0.8), (0.68, -0.16 * radius, 1.05)):
        fill(canvas, ellipse(radius * size, 0.74 * radius * size, at + shift, turn), colour * gain)


def _lay(canvas: Pixels, toy: Toy, at: Sequence[float], side: float) -> None:
    """Lay a toy on the ground for good."""
    scale = side / TOY_PX
    matrix = np.array([[scale, 0, at[0] - side / 2], [0, scale, at[1] - side / 2]])
    size = (canvas.shape[1], canvas.shape[0])
    alpha = cv2.warpAffine(toy.alpha, matrix, size)[..., None]
    canvas[:] = (canvas + alpha * (cv2.warpAffine(toy.colour, matrix, size) - canvas)).astype(np.uint8)
