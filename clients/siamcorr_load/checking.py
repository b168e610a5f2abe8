"""Whether an answer is right: the correlation in numpy and float64, and what may differ from it.

Which template an answer must have used is told by its handle and generation, so that an answer given to the
wrong caller is seen, and a template that was updated too late.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from siamcorr.answers import Response
from siamcorr.errors import InvalidArgument

__all__ = ["Map", "correlate", "is_right", "map_of"]

Map: TypeAlias = npt.NDArray[np.floating]

_TOLERANCE = {np.dtype(np.float32): 1e-3, np.dtype(np.float16): 4e-3}
"""Shares of a map's largest value: far above rounding, far below what another template or region gives."""


def correlate(kind: str, template: Map, search: Map) -> Map:
    """Return the response of ``template`` (C, h, w) on ``search`` (C, H, W), (O, H', W') float64.

    Raises:
        InvalidArgument: names ``kind``.

    >>> correlate("depthwise", np.ones((2, 1, 1)), np.arange(8.0).reshape(2, 2, 2)).tolist()
    [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]
    """
    template, search = template.astype(np.float64), search.astype(np.float64)
    channels = len(search)
    if kind == "pixelwise":
        response: Map = np.einsum("cp,chw->phw", template.reshape(channels, -1), search)
        return response
    seen = np.lib.stride_tricks.sliding_window_view(search, template.shape[1:], axis=(1, 2))
    if kind == "depthwise":
        response = np.einsum("cij,cyxij->cyx", template, seen)
    elif kind in ("naive", "upchannel"):
        weight = template.reshape(-1, channels, *template.shape[1:])
        response = np.stack([np.einsum("cij,cyxij->yx", one, seen, optimize=True) for one in weight])
    else:
        raise InvalidArgument.found("kind", repr(kind)[:80], "naive, depthwise, upchannel or pixelwise")
    return response


def map_of(response: Response) -> Map | None:
    """Return a response's map; of a whole network all its maps, one after the other, as (1, 1, N)."""
    if response.maps:
        return np.concatenate(
            [response.maps[name].reshape(1, 1, -1) for name in sorted(response.maps)], axis=2
        )
    return response.map


def is_right(response: Response, expected: Map) -> bool:
    """Whether a response's map is ``expected``, or its best peak lies where that one's does, as high."""
    found = map_of(response)
    if found is not None:
        tolerance = _TOLERANCE[found.dtype] * np.abs(expected).max()
        return found.shape == expected.shape and bool(
            np.allclose(found.astype(np.float64), expected, rtol=0, atol=tolerance)
        )
    if not response.peaks:
        return False
    peak, high = response.peaks[0], expected.max()
    tolerance = _TOLERANCE[np.dtype(np.float16)] * np.abs(expected).max()
    channel, row, col = peak.channel, round(peak.row), round(peak.col)
    if not (
        0 <= channel < len(expected) and row in range(expected.shape[1]) and col in range(expected.shape[2])
    ):
        return False
    return bool(abs(peak.score - high) <= tolerance and expected[channel, row, col] >= high - tolerance)
