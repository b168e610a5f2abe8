"""Response maps as heat: coloured by a perceptual colour map, and laid where they belong in the frame.

A map's own values differ from one network to the next, so heat is relative: the median is cold, the maximum
hot. Cold parts are left clear, so that the frame is seen through them.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame

__all__ = ["extent", "lay_heat", "strength"]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_COLOURS = np.asarray(
    cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO), np.float32
)[:, 0]


def strength(response_map: npt.NDArray[np.floating]) -> Floats:
    """Return how hot each cell of a map (H, W) is: 0 up to its median, 1 at its maximum.

    Cells that are not finite are cold, and so is a map without any rise.

    >>> strength(np.array([[1.0, 2.0, 4.0]])).tolist()
    [[0.0, 0.0, 1.0]]
    """
    finite = np.isfinite(response_map)
    if not finite.any():
        return np.zeros(response_map.shape, np.float32)
    low, high = np.median(response_map[finite]), response_map[finite].max()
    rise = np.where(finite, response_map, low) - low
    return np.asarray((rise / (high - low) if high > low else rise).clip(0, 1), np.float32)


def extent(shape: tuple[int, ...], view: MapToFrame) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of what a map's cells cover in the frame, in pixels.

    >>> extent((17, 17), MapToFrame(100, 50, 4, 4))
    (98.0, 48.0, 166.0, 116.0)
    """
    left, top = view.point(-0.5, -0.5)
    right, bottom = view.point(shape[0] - 0.5, shape[1] - 0.5)
    return left, top, right, bottom


def lay_heat(
    canvas: Pixels,
    response_map: npt.NDArray[np.floating],
    view: MapToFrame,
    *,
    cover: float,
    veil: float = 0.0,
) -> None:
    """Lay a map (H, W) over ``canvas`` (H, W, 3) BGR, in place.

    ``view`` leads from the map's cells to the canvas's pixels; the map may reach outside. ``cover`` and
    ``veil``, from 0 to 1, are how much of the hottest and of the coldest parts is covered. Without a veil the
    heat fades out around the map, so that no edge is seen.
    """
    left, top, right, bottom = extent(response_map.shape, view)
    fade_x, fade_y = view.step_x / 2, view.step_y / 2
    first_col, first_row = max(0, math.floor(left - fade_x)), max(0, math.floor(top - fade_y))
    part = canvas[
        first_row : max(0, math.ceil(bottom + fade_y)), first_col : max(0, math.ceil(right + fade_x))
    ]
    if not part.size:
        return
    matrix = np.array([[view.step_x, 0, view.x0 - first_col], [0, view.step_y, view.y0 - first_row]])
    size = (part.shape[1], part.shape[0])
    border = cv2.BORDER_REPLICATE if veil else cv2.BORDER_CONSTANT
    hot = cv2.warpAffine(strength(response_map), matrix, size, flags=cv2.INTER_CUBIC, borderMode=border)
    hot = hot.clip(0, 1)
    alpha = (veil + (cover - veil) * hot)[..., None]
    colour = _COLOURS[(hot * 255).astype(np.uint8)]
    part[:] = (part + alpha * (colour - part)).astype(np.uint8)
