"""Where the cells of a response map lie in the picture of the search region that it is drawn over.

Pixels are counted as everywhere here: a pixel's middle is a whole number, the first one's is 0. A cell is put
where the middle of the target is when the response peaks there.
"""

from __future__ import annotations

from dataclasses import dataclass

from siamcorr.answers import MapToFrame
from siamcorr.geometry import Crop
from siamcorr.shapes import Correlation, Shape, resolve
from siamcorr.tasks import CorrelateKey, CorrelateTask

__all__ = ["Placing", "in_crop", "in_features", "placing_of"]


@dataclass(frozen=True, slots=True)
class Placing:
    """Cell (row, col) is at (``x0 + col * step_x``, ``y0 + row * step_y``), in pixels of the picture."""

    x0: float
    y0: float
    step_x: float
    step_y: float


def placing_of(task: CorrelateTask, search: int) -> Placing | None:
    """Return where the maps of a task's search region lie; None where there is no saying."""
    if task.places and task.cuts:
        return in_crop(task.places[search], task.cuts[search], task.regions[search].shape[0])
    if isinstance(task.key, CorrelateKey):
        return in_features(task.key.correlation, task.key.template.shape, task.key.search)
    return None


def in_crop(place: MapToFrame, cut: Crop, size_px: int) -> Placing:
    """Return it for a crop: ``cut`` of the frame, resized to ``size_px``.

    >>> place = MapToFrame(x0=100.0, y0=50.0, step_x=4.0, step_y=4.0)
    >>> in_crop(place, Crop(left=80, top=30, side=100), size_px=200)
    Placing(x0=40.5, y0=40.5, step_x=8.0, step_y=8.0)
    """
    scale = size_px / cut.side  # a resized picture keeps its outer border, half a pixel outside of 0
    return Placing(
        x0=(place.x0 - cut.left + 0.5) * scale - 0.5,
        y0=(place.y0 - cut.top + 0.5) * scale - 0.5,
        step_x=place.step_x * scale,
        step_y=place.step_y * scale,
    )


def in_features(correlation: Correlation, template: Shape, search: Shape) -> Placing:
    """Return it for features of which each cell is drawn as a pixel: at the middle of the slid template.

    >>> in_features(Correlation("naive"), (8, 6, 6), (8, 22, 22))
    Placing(x0=2.5, y0=2.5, step_x=1.0, step_y=1.0)
    """
    weight = resolve(correlation, template, search).weight
    middles = [
        correlation.dilation[axis] * (weight[2 + axis] - 1) / 2 - correlation.padding[axis] for axis in (0, 1)
    ]
    step_y, step_x = map(float, correlation.stride)
    return Placing(x0=middles[1], y0=middles[0], step_x=step_x, step_y=step_y)
