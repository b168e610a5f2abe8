"""What the viewer sees: the frame with boxes and heat, the panel beside it, and a caption.

Rules:

- Everything is drawn at the size at which it is shown: small frames are enlarged first, large ones reduced,
  so that lines and letters stay fine.
- A target has one colour everywhere. The true box is thin and white.
- Whatever lies outside is cut off; nothing here fails because a target leaves the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr_demo.heat import lay_heat
from siamcorr_demo.marks import GREY, GROUND, WHITE, colour_of, label, outline
from siamcorr_demo.panel import Panel
from siamcorr_demo.sight import Sight
from siamcorr_demo.text import put_text

__all__ = ["Painter"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]

_LEAST_HEIGHT_PX, _MOST_HEIGHT_PX = 480, 1080
_GAP_PX = 8
_CAPTION_PX = 30


class Painter:
    """Draws the frames of one sequence.

    ``size`` is width and height of its pictures in pixels; both are even, as video codecs want them.

    >>> image, box = np.zeros((48, 64, 3), np.uint8), np.array([10.0, 10.0, 20.0, 20.0])
    >>> painter = Painter(image, [box])
    >>> painter.draw(image, [Sight(box)], "left", "right").shape == (*painter.size[::-1], 3)
    True
    """

    def __init__(self, image: Pixels, boxes: Sequence[Boxes]) -> None:
        """Take the sizes and the templates' crops from the first frame, (H, W, 3) BGR, and its boxes."""
        height, width = image.shape[:2]
        self._scale = min(max(height, _LEAST_HEIGHT_PX), _MOST_HEIGHT_PX) / height
        self._shown = max(1, round(width * self._scale)), round(height * self._scale)
        self._panel = Panel(image, boxes, self._shown[1])
        self.size = _even(self._shown[0] + self._panel.width), _even(self._shown[1] + _CAPTION_PX)

    def draw(self, image: Pixels, sights: Sequence[Sight], left: str, right: str) -> Pixels:
        """Return the picture of a frame (H, W, 3) BGR; a sight for each target, a caption in two parts."""
        canvas = np.full((*self.size[::-1], 3), GROUND, np.uint8)
        smooth = cv2.INTER_AREA if self._scale < 1 else cv2.INTER_CUBIC
        plain = np.asarray(cv2.resize(image, self._shown, interpolation=smooth), np.uint8)
        frame = canvas[: self._shown[1], : self._shown[0]]
        frame[:] = plain
        shown = [sight.scaled(self._scale) for sight in sights]
        _mark(frame, shown)
        self._panel.draw(canvas[: self._shown[1], self._shown[0] :], plain, shown)
        base = self.size[1] - _CAPTION_PX // 2 + 5
        put_text(canvas, (_GAP_PX, base), left, 14, WHITE)
        put_text(canvas, (self.size[0] - _GAP_PX, base), right, 14, GREY, right=True)
        return canvas


def _mark(frame: Pixels, sights: Sequence[Sight]) -> None:
    """Draw heat, then true boxes, then boxes: what matters most is never covered."""
    for sight in sights:
        if sight.map is not None and sight.map_to_frame is not None:
            lay_heat(frame, sight.map, sight.map_to_frame)
    for sight in sights:
        if sight.truth is not None:
            outline(frame, _corners(sight.truth), WHITE, 1)
    for target, sight in enumerate(sights):
        corners = _corners(sight.box)
        text = f"{target + 1}" if sight.score is None else f"{target + 1}  {sight.score:.2f}"
        outline(frame, corners, colour_of(target), 2)
        label(frame, corners[:2], text, colour_of(target))


def _corners(box: Boxes) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom: the outer edges of the pixels that a box covers."""
    x, y, w, h = (float(value) for value in box)
    return x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5


def _even(pixels: int) -> int:
    return pixels + pixels % 2
