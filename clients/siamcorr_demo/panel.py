"""The panel beside the frame: each target's template and response, and how its score went.

Rules:

- A row shows the template's crop as it was taken, and the response map over the part of the frame that it
  covers, with a cross at its peak. Of many targets the first have rows.
- Where rows leave room, the scores of the last frames are drawn below, each in parts of the highest that its
  target had: scores of networks have no bounds.
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
from siamcorr_demo.marks import GREY, GROUND, WHITE, colour_of, cross, curve, label, note, outline
from siamcorr_demo.sight import Sight
from siamcorr_demo.text import put_text

__all__ = ["Panel"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]

_GAP_PX = 8
_HEADING_PX = 22
_MOST_ROWS = 6
_MOST_TILE = 0.36
"""Side of the largest tile, in parts of the panel's height."""

_LEAST_PLOT_PX, _MOST_PLOT_PX = 50, 140
_PLOT_FRAMES = 150
_VEIL = 0.6
"""How much of the frame is covered where the response is cold."""


class Panel:
    """A panel of ``height`` pixels for the targets at ``boxes`` of the first frame, (H, W, 3) BGR.

    ``width`` is what it takes, in pixels.
    """

    def __init__(self, image: Pixels, boxes: Sequence[Boxes], height: int) -> None:
        """Cut the templates."""
        rows = min(len(boxes), _MOST_ROWS)
        self._tile = min((height - _HEADING_PX) // rows - _GAP_PX, round(_MOST_TILE * height))
        self.width = 2 * self._tile + 3 * _GAP_PX
        crops = [template_crop(box, CropSettings()) for box in boxes[:rows]]
        self._templates = [cut(image, crop, self._tile, channel_mean(image)) for crop in crops]
        self._scores: deque[list[float]] = deque(maxlen=_PLOT_FRAMES)
        self._highest = np.full(len(self._templates), 1e-9)

    def draw(self, panel: Pixels, plain: Pixels, sights: Sequence[Sight]) -> None:
        """Draw the next frame's panel on ``panel``, (height, width, 3) BGR.

        ``plain`` is the frame as it is shown, without marks; ``sights`` are in its pixels.
        """
        second = 2 * _GAP_PX + self._tile
        put_text(panel, (_GAP_PX, _HEADING_PX - 6), "template", 13, GREY)
        put_text(panel, (second, _HEADING_PX - 6), "response", 13, GREY)
        for target, (template, sight) in enumerate(zip(self._templates, sights, strict=False)):
            top = self._top(target)
            for left, tile in ((_GAP_PX, template), (second, self._response(plain, sight))):
                place = panel[top : top + self._tile, left : left + self._tile]
                place[:] = tile
                outline(place, (0, 0, self._tile - 1, self._tile - 1), colour_of(target), 1)
            label(panel[top:], (_GAP_PX + 1, 0), str(target + 1), colour_of(target))
            if sight.iou is not None:
                note(panel, (_GAP_PX + 6, top + self._tile - 7), f"IoU {sight.iou:.2f}")
        self._plot(panel[self._top(len(self._templates)) :, _GAP_PX:-_GAP_PX], sights)

    def _top(self, row: int) -> int:
        return _HEADING_PX + row * (self._tile + _GAP_PX)

    def _response(self, plain: Pixels, sight: Sight) -> Pixels:
        """Return a tile with the map over what it covers of the frame, which is grey: colour is for heat."""
        tile = np.full((self._tile, self._tile, 3), GROUND, np.uint8)
        if sight.map is None or sight.map_to_frame is None:
            return tile
        view = sight.map_to_frame
        left, top, right, bottom = extent(sight.map.shape, view)
        zoom = self._tile / max(right - left, bottom - top)
        matrix = np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]])
        cv2.warpAffine(plain, matrix, (self._tile, self._tile), dst=tile, borderMode=cv2.BORDER_TRANSPARENT)
        tile[:] = cv2.cvtColor(tile, cv2.COLOR_BGR2GRAY)[..., None]
        x, y = zoom * (view.x0 - left), zoom * (view.y0 - top)
        inner = MapToFrame(x, y, zoom * view.step_x, zoom * view.step_y)
        lay_heat(tile, sight.map, inner, veil=_VEIL)
        peak = find_peaks(sight.map[None])[0]
        cross(tile, inner.point(peak.row, peak.col), WHITE)
        return tile

    def _plot(self, room: Pixels, sights: Sequence[Sight]) -> None:
        """Take the scores in, and draw them where there is room."""
        scores = [sight.score for sight in sights[: len(self._templates)]]
        known = [score for score in scores if score is not None]
        if len(known) == len(self._templates):
            self._scores.append(known)
            self._highest = np.maximum(self._highest, known)
        if room.shape[0] < _HEADING_PX + _LEAST_PLOT_PX or len(self._scores) < 2:
            return
        put_text(room, (0, _HEADING_PX - 6), "score", 13, GREY)
        plot = room[_HEADING_PX:-_GAP_PX][:_MOST_PLOT_PX]
        parts = (np.array(self._scores) / self._highest).clip(0, 1)
        x = np.arange(len(parts)) * (plot.shape[1] - 1) / (_PLOT_FRAMES - 1)
        outline(plot, (0, 0, plot.shape[1] - 1, plot.shape[0] - 1), GREY, 1)
        for target, heights in enumerate(parts.T):
            y = 3 + (1 - heights) * (plot.shape[0] - 7)
            curve(plot, np.column_stack([x, y]), colour_of(target))
