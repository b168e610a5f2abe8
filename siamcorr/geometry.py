"""Boxes, the crops around them, and the way back from a response map: one definition of every rounding.

A box is (x, y, w, h) in pixels, x and y of its top left corner; x = 0 is the first column. It covers the
pixels x .. x + w - 1, so that its centre is (x + (w - 1) / 2, y + (h - 1) / 2) in coordinates in which a
pixel's own middle is a whole number.

Rules, as published with SiamFC (arXiv:1606.09549) and rounded as pysot rounds:

- A crop is a square of whole pixels. With the context c it has the area of (w + c (w + h)) x (h + c (w + h)),
  whose root is s. The template's side is s, the search region's s * search_px / template_px (of the s that
  is not yet rounded). Halves are rounded up, and no side is below 1.
- A crop of ``side`` pixels starts at floor(centre - (side + 1) / 2 + 0.5), in x and in y. So its middle lies
  half a pixel to one and a half pixels left of and above the box's centre. The template's crop and the
  search region's lean alike, and only the difference, less than one pixel, is left in an answer.
- A crop may reach outside the frame; :mod:`siamcorr.images` fills what is missing.
- Everything is float64, and the limits below keep every value far from where that would round to no effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, resolve

__all__ = [
    "MAX_COORDINATE_PX",
    "MAX_CROP_SIDE_PX",
    "MAX_INPUT_PX",
    "Crop",
    "CropSettings",
    "as_boxes",
    "check_inside",
    "iou",
    "maps_to_frame",
    "network_maps_to_frame",
    "search_crop",
    "search_crops",
    "template_crop",
    "template_crops",
]

MAX_COORDINATE_PX = 1e6
"""Upper bound of a box's width and height, and of its corner's distance from the frame's, in pixels."""

MAX_CROP_SIDE_PX = 8192
"""Upper bound of a crop's side in the frame, in pixels. One that leaves the frame takes 3 bytes a pixel."""

MAX_INPUT_PX = 2048
"""Upper bound of the side that crops are resized to, in pixels."""

_MAX_CONTEXT = 16.0


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How much is cut around a box, and what it is resized to.

    ``context`` is the margin added to the width and to the height, as a part of (w + h); ``template_px`` and
    ``search_px`` are the sides of the resized template and search region.

    Raises:
        InvalidArgument: names the setting.

    >>> CropSettings(search_px=287)
    CropSettings(context=0.5, template_px=127, search_px=287)
    """

    context: float = 0.5
    template_px: int = 127
    search_px: int = 255

    def __post_init__(self) -> None:
        """Refuse what no crop can be made with."""
        context: object = self.context
        if (
            isinstance(context, bool)
            or not isinstance(context, int | float)
            or not 0 <= context <= _MAX_CONTEXT
        ):
            raise InvalidArgument.found("context", repr(context)[:80], f"a number from 0 to {_MAX_CONTEXT:g}")
        for field, size in (("template_px", self.template_px), ("search_px", self.search_px)):
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_INPUT_PX:
                raise InvalidArgument.found(
                    field, repr(size)[:80], f"an integer from 1 to {MAX_INPUT_PX} pixels"
                )


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of ``side`` by ``side`` frame pixels from (left, top); it may reach outside the frame."""

    left: int
    top: int
    side: int


def as_boxes(box: npt.ArrayLike, field: str = "box") -> npt.NDArray[np.float64]:
    """Return boxes as a new (N, 4) float64 array, from (4,) or (N, 4) numbers.

    Raises:
        InvalidArgument: names ``field``: not numbers, another shape, no box, a value that is not finite or
            beyond :data:`MAX_COORDINATE_PX`, or a width or height that is not above 0.

    >>> as_boxes((10, 20, 30, 40))
    array([[10., 20., 30., 40.]])
    >>> as_boxes((10, 20, 0, 40))
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: box: found [10.0, 20.0, 0.0, 40.0], expected a width and height above 0
    """
    numbers = _numbers(box, field)
    if numbers.shape[-1:] != (4,) or numbers.ndim > 2 or numbers.size == 0:
        raise InvalidArgument.found(field, f"shape {numbers.shape}", "(4,) or (N, 4): x, y, w, h of each box")
    boxes = numbers.reshape(-1, 4)
    far = ~(np.abs(boxes) <= MAX_COORDINATE_PX)  # true for NaN as well
    if far.any():
        row = boxes[far.any(axis=1)][0]
        raise InvalidArgument.found(field, row.tolist(), f"pixels between -/+{MAX_COORDINATE_PX:g}")
    empty = (boxes[:, 2:] <= 0).any(axis=1)
    if empty.any():
        raise InvalidArgument.found(field, boxes[empty][0].tolist(), "a width and height above 0")
    return boxes


def check_inside(boxes: npt.NDArray[np.float64], width: int, height: int) -> None:
    """Refuse boxes (N, 4) of which no part lies in a frame of ``width`` by ``height`` pixels.

    Raises:
        InvalidArgument: names ``box``.

    >>> check_inside(as_boxes((9, 48, 9, 9)), width=64, height=48)
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: box: found [9.0, 48.0, 9.0, 9.0], outside, expected a box in 64x48 pixels
    """
    ends = boxes[:, :2] + boxes[:, 2:]
    outside = (ends <= 0).any(axis=1) | (boxes[:, :2] >= (width, height)).any(axis=1)
    if outside.any():
        found = f"{boxes[outside][0].tolist()}, outside"
        raise InvalidArgument.found("box", found, f"a box in {width}x{height} pixels")


def template_crops(boxes: npt.ArrayLike, settings: CropSettings) -> list[Crop]:
    """Return for each box, (4,) or (N, 4), the square of the frame that a template is made from.

    Raises:
        InvalidArgument: names ``box``: not valid boxes, or a crop larger than :data:`MAX_CROP_SIDE_PX`.

    >>> template_crops([(100, 100, 60, 60)], CropSettings())
    [Crop(left=69, top=69, side=120)]
    """
    return [_crop(box, settings.context, scale=1.0) for box in as_boxes(boxes).tolist()]


def search_crops(boxes: npt.ArrayLike, settings: CropSettings) -> list[Crop]:
    """Return for each box the square that is searched for a target last seen there; see template_crops.

    >>> search_crops([(100, 100, 60, 60)], CropSettings())
    [Crop(left=9, top=9, side=241)]
    """
    scale = settings.search_px / settings.template_px
    return [_crop(box, settings.context, scale) for box in as_boxes(boxes).tolist()]


def template_crop(box: npt.ArrayLike, settings: CropSettings) -> Crop:
    """Return the one of :func:`template_crops` of one box, (4,)."""
    return template_crops(_one(box), settings)[0]


def search_crop(box: npt.ArrayLike, settings: CropSettings) -> Crop:
    """Return the one of :func:`search_crops` of one box, (4,)."""
    return search_crops(_one(box), settings)[0]


def maps_to_frame(
    boxes: npt.ArrayLike,
    settings: CropSettings,
    *,
    stride: int,
    correlation: Correlation,
    template_shape: Sequence[int],
    search_shape: Sequence[int],
) -> list[MapToFrame]:
    """Return where the response map of each box's search region lies in the frame.

    The target is at the box's centre when the template lies in the middle of the search features, symmetric
    padding included: at row ((H - h') / 2 + padding) / step, with h' the template's dilated height and step
    the correlation's own stride. One row is ``stride`` * step pixels of the resized crop. Both feature maps
    must begin at the same distance from their crop's border, as those of one embedder do.

    Args:
        boxes: (4,) or (N, 4): those that the search regions were cut around.
        settings: the crops' settings.
        stride: pixels of the resized crop a feature cell.
        correlation: how the template was slid over the search region.
        template_shape: of the template's features, as :func:`siamcorr.shapes.resolve` takes it.
        search_shape: (C, H, W) of the search features.

    Raises:
        InvalidArgument: as :func:`template_crops` and :func:`siamcorr.shapes.resolve`.

    >>> shapes = {"template_shape": (256, 6, 6), "search_shape": (256, 22, 22)}
    >>> how = {"stride": 8, "correlation": Correlation(), **shapes}
    >>> maps_to_frame((100, 100, 60, 60), CropSettings(), **how)[0].point(row=8, col=8)
    (129.5, 129.5)
    """
    weight = resolve(correlation, template_shape, search_shape).weight
    middles = []
    for axis in (0, 1):
        reach = correlation.dilation[axis] * (weight[2 + axis] - 1) + 1
        middle = (search_shape[1 + axis] - reach) / 2 + correlation.padding[axis]
        middles.append(middle / correlation.stride[axis])
    steps = [stride * step for step in correlation.stride]
    return _maps_around(boxes, settings, steps, middles)


def network_maps_to_frame(
    boxes: npt.ArrayLike, settings: CropSettings, *, stride: int, rows: int, cols: int
) -> list[MapToFrame]:
    """Return where a network's map of ``rows`` by ``cols`` cells lies in the frame, for each box.

    Cell (rows // 2, cols // 2) is at the box's centre, and a cell is ``stride`` pixels of the resized crop.
    Boxes and errors are as :func:`template_crops` has them.

    >>> [view] = network_maps_to_frame((100, 100, 60, 60), CropSettings(), stride=16, rows=15, cols=15)
    >>> view.point(row=7, col=7)
    (129.5, 129.5)
    """
    return _maps_around(boxes, settings, (stride, stride), (rows // 2, cols // 2))


def iou(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the intersection over the union of boxes ``a`` (N, 4) and ``b`` (N, 4), pair by pair: (N,).

    Raises:
        InvalidArgument: names ``a`` or ``b``: not boxes, or not as many.

    >>> iou([(0, 0, 2, 2), (0, 0, 2, 2)], [(1, 0, 2, 2), (5, 5, 2, 2)])
    array([0.33333333, 0.        ])
    """
    first, second = as_boxes(a, "a"), as_boxes(b, "b")
    if len(first) != len(second):
        raise InvalidArgument.found("b", f"{len(second)} boxes", f"{len(first)}, as in a")
    starts = np.maximum(first[:, :2], second[:, :2])
    ends = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    common = np.maximum(ends - starts, 0.0).prod(axis=1)
    areas = first[:, 2:].prod(axis=1) + second[:, 2:].prod(axis=1)
    return np.asarray(common / (areas - common), np.float64)


def _numbers(box: npt.ArrayLike, field: str) -> npt.NDArray[np.float64]:
    try:
        numbers = np.asarray(box)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidArgument.found(field, repr(box)[:80], "numbers: x, y, w, h") from error
    if numbers.dtype.kind not in "iuf":
        raise InvalidArgument.found(field, repr(box)[:80], "numbers: x, y, w, h")
    return numbers.astype(np.float64)


def _one(box: npt.ArrayLike) -> npt.NDArray[np.float64]:
    boxes = as_boxes(box)
    if len(boxes) != 1:
        raise InvalidArgument.found("box", f"{len(boxes)} boxes", "one")
    return boxes


def _crop(box: Sequence[float], context: float, scale: float) -> Crop:
    x, y, w, h = box
    margin = context * (w + h)
    side = max(1, math.floor(math.sqrt((w + margin) * (h + margin)) * scale + 0.5))
    if side > MAX_CROP_SIDE_PX:
        found = f"{box}, whose crop has a side of {side} pixels"
        raise InvalidArgument.found("box", found, f"at most {MAX_CROP_SIDE_PX}")
    return Crop(left=_start(_centre(x, w), side), top=_start(_centre(y, h), side), side=side)


def _maps_around(
    boxes: npt.ArrayLike, settings: CropSettings, steps: Sequence[float], middles: Sequence[float]
) -> list[MapToFrame]:
    """Return the maps whose cell ``middles`` is at a box's centre; ``steps`` are in pixels of the crop."""
    checked, views = as_boxes(boxes), []
    for (x, y, w, h), crop in zip(checked.tolist(), search_crops(checked, settings), strict=True):
        step_y, step_x = (step * crop.side / settings.search_px for step in steps)
        x0, y0 = _centre(x, w) - middles[1] * step_x, _centre(y, h) - middles[0] * step_y
        views.append(MapToFrame(x0=x0, y0=y0, step_x=step_x, step_y=step_y))
    return views


def _centre(start: float, extent: float) -> float:
    return start + (extent - 1) / 2


def _start(centre: float, side: int) -> int:
    return math.floor(centre - (side + 1) / 2 + 0.5)
