"""A clip of its own: a meadow on which toys wander, with their true boxes.

It is there so that the demo runs without any data, and so that its mean IoU says something: the targets cross
a textured and cluttered ground, grow and shrink by a seventh, tilt, come close to each other and to a
look-alike, while the view pans, the light changes and the camera adds noise.

Rules:

- A frame is a function of the seed and its index alone, so frames can be drawn in any order and again.
- A true box is the bounding box of the toy's tilted outline, in the convention of :mod:`siamcorr.geometry`,
  and lies within the frame. A toy's shadow is not part of it.
- The outline is a polygon on a unit square, so the drawing and its box come from the same points.
- Up to five toys go round in a ring. Of more, three eighths go the other way round, in a ring within: they
  pass close to each other, and do not cover each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr_demo.meadow import meadow
from siamcorr_demo.toys import MOST_TOYS, TOY_PX, Toy, toys

__all__ = ["Clip"]

Boxes = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

_MARGIN_PX = 80
"""How far the meadow reaches beyond the frame on each side; the view never pans further."""

_PERIOD = 120
"""Frames in which the motion comes round, whatever the number of frames."""

_SHADOW_PX = 6
"""How far a shadow lies below and to the right of its toy."""

_NOISE = 3.0
"""Standard deviation of the camera's noise, in grey levels."""


_GROWTH = 1 / 7
_LARGEST_TILT = 0.18


@dataclass(frozen=True, slots=True)
class _Orbit:
    """Where a toy is: on an ellipse that takes ``reach``, 0 to 1, of the room that a frame has for it.

    ``side`` is in parts of the frame's height, ``phase`` and ``tilt`` are in radians; ``turns`` are round the
    frame in a period, to the right below 0.
    """

    side: float
    reach: float
    turns: int
    phase: float
    tilt: float

    def placement(self, time: float, size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Return the (2, 3) matrix from the toy's unit square to the frame at ``time`` from 0 to 1."""
        turn = 2 * np.pi * time
        largest = self.side * size[1] * (1 + _GROWTH) * (np.cos(_LARGEST_TILT) + np.sin(_LARGEST_TILT))
        room = np.maximum(np.array(size, np.float64) - largest - 2, 0.0) / 2
        reach = self.reach * (0.91 + 0.09 * np.sin(3 * turn + 2 * self.phase))
        along = self.turns * turn + self.phase
        middle = np.array(size) / 2 + reach * room * (np.cos(along), np.sin(along))
        angle = self.tilt * np.sin(2 * turn + 3 * self.phase)
        side = self.side * size[1] * (1 + _GROWTH * np.sin(2 * turn + self.phase))
        rotation = side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.column_stack([rotation, middle - rotation @ (0.5, 0.5)])


def _orbits(count: int) -> list[_Orbit]:
    inner = count * 3 // 8 if count > 5 else 0
    side = 0.18 * min(1.0, (8 / count) ** 0.5)
    orbits = []
    for ring, reach, turns in ((count - inner, 1.0, 1), (inner, 0.45, -1)):
        for place in range(ring):
            phase = 2 * np.pi * (place / ring + 0.04 * turns)
            tilt = _LARGEST_TILT * (1.0 if place % 2 else 0.6)
            orbits.append(_Orbit(side, reach, turns, phase, tilt))
    return orbits


class Clip:
    """The clip: ``len(clip)`` frames, each with the true boxes of its targets.

    Args:
        frames: how many frames; the motion comes round after 120, and fewer show its beginning.
        size: width and height in pixels.
        seed: of the ground, its clutter and the noise.
        targets: how many toys, from 1 to 16.

    Raises:
        InvalidArgument: names ``targets``.

    >>> clip = Clip(frames=3, size=(320, 240))
    >>> len(clip), clip.image(0).shape, clip.boxes(0).shape
    (3, (240, 320, 3), (8, 4))
    """

    fps = 30.0

    def __init__(
        self, frames: int = 120, size: tuple[int, int] = (640, 480), seed: int = 7, targets: int = 8
    ) -> None:
        """Draw the ground and the toys; frames are drawn when they are asked for."""
        if not 1 <= targets <= MOST_TOYS:
            raise InvalidArgument.found("targets", targets, f"1 to {MOST_TOYS}")
        self.frames, self.size, self.seed = frames, size, seed
        self._toys, self._orbits = toys(targets), _orbits(targets)
        self._ground = meadow((size[0] + 2 * _MARGIN_PX, size[1] + 2 * _MARGIN_PX), seed)
        self._light = _light(size)

    def __len__(self) -> int:
        """How many frames."""
        return self.frames

    def boxes(self, index: int) -> Boxes:
        """Return the true boxes of a frame: (targets, 4) x, y, w, h in pixels."""
        placed = zip(self._toys, self._placements(index), strict=True)
        return np.array([_box(toy.outline, placement) for toy, placement in placed])

    def image(self, index: int) -> Pixels:
        """Return a frame: (H, W, 3) uint8 BGR."""
        time = index / _PERIOD
        frame = self._view(time)
        for toy, placement in zip(self._toys, self._placements(index), strict=True):
            _paint(frame, toy, placement)
        gain = 0.93 + 0.13 * np.sin(2 * np.pi * 1.25 * time)
        tilt = 0.16 * np.sin(2 * np.pi * time)
        frame *= gain + tilt * self._light[..., None]
        noise = np.random.default_rng((self.seed, index)).standard_normal(frame.shape, np.float32)
        frame += _NOISE * noise
        return frame.clip(0, 255).astype(np.uint8)

    def _placements(self, index: int) -> list[npt.NDArray[np.float64]]:
        return [orbit.placement(index / _PERIOD, self.size) for orbit in self._orbits]

    def _view(self, time: float) -> npt.NDArray[np.float32]:
        turn = 2 * np.pi * time
        left = _MARGIN_PX * (1 + 0.9 * np.sin(turn))
        top = _MARGIN_PX * (1 + 0.9 * np.sin(2 * turn + 1))
        shift = np.array([[1, 0, -left], [0, 1, -top]])
        return np.asarray(cv2.warpAffine(self._ground, shift, self.size), np.float32)


def _box(outline: npt.NDArray[np.float64], placement: npt.NDArray[np.float64]) -> list[float]:
    points = outline @ placement[:, :2].T + placement[:, 2]
    first, last = points.min(axis=0), points.max(axis=0)
    return [*first.tolist(), *(last - first + 1).tolist()]


def _light(size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a ramp from -1 at the top left to 1 at the bottom right."""
    x, y = np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1])
    return ((x[None] + y[:, None]) / 2).astype(np.float32)


def _paint(frame: npt.NDArray[np.float32], toy: Toy, placement: npt.NDArray[np.float64]) -> None:
    """Lay a toy and its shadow over the frame, in place."""
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) @ placement[:, :2].T + placement[:, 2]
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + _SHADOW_PX
    part = frame[top:bottom, left:right]
    matrix = np.column_stack([placement[:, :2] / TOY_PX, placement[:, 2] - (left, top)])
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] + _SHADOW_PX])
    part *= 1 - 0.55 * _placed(toy.shadow, shifted, part)[..., None]
    alpha = _placed(toy.alpha, matrix, part)[..., None]
    part += alpha * (_placed(toy.colour, matrix, part) - part)


def _placed(
    drawing: npt.NDArray[np.float32], matrix: npt.NDArray[np.float64], part: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.warpAffine(drawing, matrix, part.shape[1::-1]), np.float32)
