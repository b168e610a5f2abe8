"""The panel beside the frame: a card for each target, with its template, its response and its score.

Rules:

- A card's tiles are the template's crop as it was taken, and the response map over the part of the frame that
  it covers, with a cross at its peak. The line above them has the score, and how the confidence went.
- The card of a lost target is grey, but for its number and its template, and says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame
from siamcorr.geometry import CropSettings, template_crop
from siamcorr.images import channel_mean, cut
from siamcorr.peaks import find_peaks
from siamcorr_demo.heat import extent, lay_heat
from siamcorr_demo.layout import GAP_PX, Cards
from siamcorr_demo.marks import GREY, GROUND, WHITE, colour_of, cross, label, note, outline, strokes
from siamcorr_demo.sight import Sight
from siamcorr_demo.text import put_text, text_width

__all__ = ["Panel"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]

_HISTORY_FRAMES = 60
_COVER, _VEIL = 0.85, 0.6
"""How much of the frame is covered where the response is hottest, and where it is cold."""

_LOST_GAIN = 0.55


class Panel:
    """A panel for the targets at ``boxes`` of the first frame, (H, W, 3) BGR, laid out as ``cards``."""

    def __init__(self, image: Pixels, boxes: Sequence[Boxes], cards: Cards) -> None:
        """Cut the templates."""
        self._cards, self._targets = cards, len(boxes)
        crops = [template_crop(box, CropSettings()) for box in boxes[: cards.count]]
        self._templates = [cut(image, crop, cards.tile, channel_mean(image)) for crop in crops]
        self._histories: list[deque[tuple[float, bool]]] = [deque(maxlen=_HISTORY_FRAMES) for _ in crops]

    def draw(self, panel: Pixels, plain: Pixels, sights: Sequence[Sight]) -> None:
        """Draw the next frame's panel on ``panel``, (height, width, 3) BGR.

        ``plain`` is the frame as it is shown, without marks; ``sights`` are in its pixels.
        """
        self._head(panel)
        for target, sight in enumerate(sights[: self._cards.count]):
            if sight.confidence is not None:
                self._histories[target].append((sight.confidence, sight.is_lost))
            left, top = self._cards.corner(target)
            card = panel[top : top + self._cards.height_of_card, left : left + self._cards.width_of_card]
            self._line(card[: self._cards.line], target, sight)
            self._tiles(card[self._cards.line :], target, sight, plain)

    def _head(self, panel: Pixels) -> None:
        cards, letters = self._cards, self._cards.letters - 1
        base = cards.heading - 7
        hidden = self._targets - cards.count
        for column in range(cards.columns):
            left, _ = cards.corner(column)
            put_text(panel, (left, base), "template", letters, GREY)
            if not hidden or column < cards.columns - 1:
                put_text(panel, (left + cards.width_of_card / 2 + 2, base), "response", letters, GREY)
        if hidden:
            put_text(panel, (panel.shape[1] - GAP_PX, base), f"{hidden} more", letters, WHITE, right=True)

    def _line(self, line: Pixels, target: int, sight: Sight) -> None:
        letters = self._cards.letters
        right = label(line, (1.0, 0.0), str(target + 1), colour_of(target), letters)
        if sight.score is not None:
            colour = GREY if sight.is_lost else WHITE
            put_text(line, (right + 6, letters + 1), score_text(sight.score), letters + 1, colour)
        room = line[2:-4, line.shape[1] // 2 + 2 :]
        if len(self._histories[target]) > 1:
            _draw_history(room, self._histories[target], colour_of(target))

    def _tiles(self, tiles: Pixels, target: int, sight: Sight, plain: Pixels) -> None:
        side, letters = self._cards.tile, self._cards.letters
        colour = GREY if sight.is_lost else colour_of(target)
        x, y = self._cards.response_at
        template, response = tiles[:side, :side], tiles[y : y + side, x : x + side]
        template[:], response[:] = self._templates[target], _response(plain, sight, side)
        for tile in (template, response):
            outline(tile, (0, 0, side - 1, side - 1), colour, 1, dashed=sight.is_lost)
        if sight.iou is not None:
            text = f"IoU {sight.iou:.2f}"
            has_room = text_width(text, letters) + 8 <= side
            note(template, (5, side - 7), text if has_room else text.removeprefix("IoU "), letters)
        if sight.is_lost:
            note(response, (5, side - 7), "lost", letters)


def score_text(score: float) -> str:
    """Return a score in as few letters as say enough.

    >>> score_text(0.614), score_text(-3.0), score_text(12345.6)
    ('0.61', '-3.00', '1.2e+04')
    """
    return f"{score:.2f}" if abs(score) < 1000 else f"{score:.1e}"


def _draw_history(room: Pixels, history: Sequence[tuple[float, bool]], colour: tuple[int, int, int]) -> None:
    """Draw confidences from 0 to 1, the last one at the right, grey where the target was lost."""
    height, width = room.shape[:2]
    parts = np.array([confidence for confidence, _ in history])
    x = width - 2 - (len(parts) - 1 - np.arange(len(parts))) * (width - 3) / (_HISTORY_FRAMES - 1)
    points = np.column_stack([x, 1 + (1 - parts) * (height - 3)])
    room[-1] = room[-1] // 2 + np.array(GREY, np.uint8) // 4
    pieces, is_lost = np.stack([points[:-1], points[1:]], axis=1), np.array([lost for _, lost in history][1:])
    strokes(room, pieces[is_lost], GREY)
    strokes(room, pieces[~is_lost], colour)


def _response(plain: Pixels, sight: Sight, side: int) -> Pixels:
    """Return a tile with the map over what it covers of the frame, which is grey: colour is for heat."""
    tile = np.full((side, side, 3), GROUND, np.uint8)
    if sight.map is None or sight.map_to_frame is None:
        return tile
    view = sight.map_to_frame
    left, top, right, bottom = extent(sight.map.shape, view)
    zoom = side / max(right - left, bottom - top)
    matrix = np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]])
    cv2.warpAffine(plain, matrix, (side, side), dst=tile, borderMode=cv2.BORDER_TRANSPARENT)
    tile[:] = _grey(tile)
    x, y = zoom * (view.x0 - left), zoom * (view.y0 - top)
    inner = MapToFrame(x, y, zoom * view.step_x, zoom * view.step_y)
    lay_heat(tile, sight.map, inner, cover=_COVER, veil=_VEIL)
    if sight.is_lost:
        tile[:] = _grey(tile) * _LOST_GAIN
    else:
        peak = find_peaks(sight.map[None])[0]
        cross(tile, inner.point(peak.row, peak.col), WHITE)
    return tile


def _grey(tile: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(tile, cv2.COLOR_BGR2GRAY)[..., None], np.uint8)
