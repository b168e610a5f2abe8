"""A clip of its own: a meadow on which four toys wander, with their true boxes.

It is there so that the demo runs without any data, and so that its mean IoU says something: the targets cross
a textured and cluttered ground, grow and shrink by a seventh, tilt, come close to each other and to a
look-alike, while the view pans, the light changes and the camera adds noise.

Rules:

- A frame is a function of the seed and its index alone, so frames can be drawn in any order and again.
- A true box is the bounding box of the toy's tilted outline, in the convention of :mod:`siamcorr.geometry`,
  and lies within the frame. A toy's shadow is not part of it.
- The outline is a polygon on a unit square, so the drawing and its box come from the same points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr_demo.toys import TOY_PX, Toy, meadow, toys

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


@dataclass(frozen=True, slots=True)
class _Path:
    """Where a toy is: Lissajous curves, in cycles a clip and parts of the frame (``side`` of its height)."""

    side: float
    middle: tuple[float, float]
    reach: tuple[float, float]
    cycles: tuple[float, float]
    phase: tuple[float, float]
    tilt: float

    def placement(self, time: float, size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Return the (2, 3) matrix from the toy's unit square to the frame at ``time`` from 0 to 1."""
        turn = 2 * np.pi * time
        middle = [
            (self.middle[axis] + self.reach[axis] * np.sin(self.cycles[axis] * turn + self.phase[axis]))
            * size[axis]
            for axis in (0, 1)
        ]
        angle = self.tilt * np.sin(1.5 * turn + self.phase[1])
        side = self.side * size[1] * (1 + np.sin(2 * turn + self.phase[0]) / 7)
        rotation = side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = np.array(middle) - rotation @ (0.5, 0.5)
        return np.column_stack([rotation, offset])


_PATHS = (
    _Path(0.16, (0.50, 0.36), (0.36, 0.20), (1.0, 2.0), (0.0, 0.3), 0.14),
    _Path(0.15, (0.50, 0.62), (0.34, 0.18), (1.0, 1.0), (2.6, 1.2), 0.18),
    _Path(0.18, (0.44, 0.52), (0.28, 0.30), (1.5, 1.0), (4.4, 3.6), 0.12),
    _Path(0.20, (0.54, 0.50), (0.32, 0.32), (1.0, 1.5), (1.2, 5.0), 0.10),
)


class Clip:
    """The clip: ``len(clip)`` frames, each with the true boxes of its targets.

    Args:
        frames: how many frames; the motion comes round after 120, and fewer show its beginning.
        size: width and height in pixels.
        seed: of the ground, its clutter and the noise.

    >>> clip = Clip(frames=3, size=(320, 240))
    >>> len(clip), clip.image(0).shape, clip.boxes(0).shape
    (3, (240, 320, 3), (4, 4))
    """

    fps = 30.0

    def __init__(self, frames: int = 120, size: tuple[int, int] = (640, 480), seed: int = 7) -> None:
        """Draw the ground and the toys; frames are drawn when they are asked for."""
        self.frames, self.size, self.seed = frames, size, seed
        self._toys = toys()
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
        return [path.placement(index / _PERIOD, self.size) for path in _PATHS]

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
