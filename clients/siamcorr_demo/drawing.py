"""What the viewer sees: a header, the frame with boxes and heat, and the panel beside it.

Rules:

- Everything is drawn at the size at which it is shown, so that lines and letters stay fine.
- A target has one colour and one number everywhere. The true box is thin and white; that of a lost target is
  dashed.
- Whatever lies outside is cut off; nothing here fails because a target leaves the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr_demo.heat import lay_heat
from siamcorr_demo.layout import GAP_PX, Cards, letters_for, shown_size
from siamcorr_demo.marks import GREY, GROUND, WHITE, Labels, colour_of, outline
from siamcorr_demo.panel import Panel
from siamcorr_demo.sight import Sight
from siamcorr_demo.text import put_text, text_width

__all__ = ["Painter"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]

_DOT = "   ·   "
_COVER = 0.55
"""How much of the frame is covered where a response is hottest: the target below stays in sight."""


class Painter:
    """Draws the frames of one sequence.

    ``size`` is width and height of its pictures in pixels; both are even, as video codecs want them.

    >>> image, box = np.zeros((48, 64, 3), np.uint8), np.array([10.0, 10.0, 20.0, 20.0])
    >>> painter = Painter(image, [box])
    >>> painter.draw(image, [Sight(box)], ["left"], ["right"]).shape == (*painter.size[::-1], 3)
    True
    """

    def __init__(self, image: Pixels, boxes: Sequence[Boxes]) -> None:
        """Take the sizes and the templates' crops from the first frame, (H, W, 3) BGR, and its boxes."""
        self._scale, self._shown, height = shown_size((image.shape[1], image.shape[0]), len(boxes))
        cards = Cards.of(len(boxes), self._shown[0], height)
        self._panel = Panel(image, boxes, cards)
        self._letters = letters_for(height)
        self._header = self._letters + 19
        self._top = self._header + (height - self._shown[1]) // 2
        self.size = _even(self._shown[0] + cards.width), _even(self._header + height)
        self._ground = np.full((*self.size[::-1], 3), GROUND, np.uint8)

    def draw(
        self, image: Pixels, sights: Sequence[Sight], left: Sequence[str], right: Sequence[str]
    ) -> Pixels:
        """Return the picture of a frame.

        Args:
            image: the frame, (H, W, 3) BGR, as large as the first.
            sights: one for each target.
            left: parts of the header's left side.
            right: parts of its right side; the last ones are left out where there is no room.
        """
        canvas = self._ground.copy()
        smooth = cv2.INTER_AREA if self._scale < 1 else cv2.INTER_CUBIC
        plain = np.asarray(cv2.resize(image, self._shown, interpolation=smooth), np.uint8)
        frame = canvas[self._top : self._top + self._shown[1], : self._shown[0]]
        frame[:] = plain
        shown = [sight.scaled(self._scale) for sight in sights]
        _mark(frame, shown, self._letters)
        self._panel.draw(canvas[self._header :, self._shown[0] :], plain, shown)
        _write_header(canvas[: self._header], left, right, self._letters + 2)
        return canvas


def _write_header(header: Pixels, left: Sequence[str], right: Sequence[str], letters: int) -> None:
    said, base = _DOT.join(left), header.shape[0] - 11
    room = header.shape[1] - 4 * GAP_PX - text_width(said, letters)
    parts = list(right)
    while parts and text_width(_DOT.join(parts), letters) > room:
        parts.pop()
    put_text(header, (GAP_PX, base), said, letters, WHITE)
    put_text(header, (header.shape[1] - GAP_PX, base), _DOT.join(parts), letters, GREY, right=True)


def _mark(frame: Pixels, sights: Sequence[Sight], letters: int) -> None:
    """Draw heat, then true boxes, then boxes, then labels: what matters most is never covered."""
    for sight in sights:
        if sight.map is not None and sight.map_to_frame is not None and not sight.is_lost:
            lay_heat(frame, sight.map, sight.map_to_frame, cover=_COVER)
    for sight in sights:
        if sight.truth is not None:
            outline(frame, _corners(sight.truth), WHITE, 1)
    for target, sight in enumerate(sights):
        outline(frame, _corners(sight.box), colour_of(target), 2, dashed=sight.is_lost)
    labels = Labels(frame, letters)
    for target, sight in enumerate(sights):
        text = f"{target + 1}  lost" if sight.is_lost else f"{target + 1}"
        labels.put(_corners(sight.box), text, colour_of(target))


def _corners(box: Boxes) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom: the outer edges of the pixels that a box covers."""
    x, y, w, h = (float(value) for value in box)
    return x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5


def _even(pixels: int) -> int:
    return pixels + pixels % 2
