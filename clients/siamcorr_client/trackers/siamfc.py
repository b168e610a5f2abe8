"""The SiamFC kind: a response map for each of several scales, upsampled, and a window.

L. Bertinetto et al., Fully-Convolutional Siamese Networks for Object Tracking, arXiv:1606.09549.

Rules:

- A scale is tried by scaling the box about its centre: the server cuts the search region around the scaled
  box. The template stays that of the first frame.
- A box keeps its first proportions. Its sides stay between a fifth and five times the first ones, as in the
  authors' code, and do not shrink below ``min_side_px`` nor grow beyond the frame.
- A box's centre stays inside the frame. A target that leaves is waited for at the edge.
- An even map decides nothing: the target stays where it is, as large as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InternalError
from siamcorr_client.trackers.kinds import Found, Maps, Views
from siamcorr_client.trackers.places import Floats, Places
from siamcorr_client.trackers.settings import SiamFCSettings
from siamcorr_client.trackers.upsample import upsample

__all__ = ["SiamFC"]

_SCALE_LIMITS = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class SiamFC:
    """Reads ``response`` (1, H, W), one for each scale."""

    settings: SiamFCSettings
    has_likelihoods: ClassVar[bool] = False

    @property
    def question(self) -> Mapping[str, Any]:
        """The keywords of ``correlate`` that say what is to be computed."""
        return {"kind": "naive", "gain": self.settings.gain, "sum_channels": True}

    @property
    def searches(self) -> int:
        """How many boxes are searched for each place: one a scale."""
        return self.settings.scales

    def search_sides(self, places: Places) -> Floats:
        """Return the side of each place's search region, (N,) in frame pixels."""
        settings = self.settings
        margins = settings.context * places.sizes.sum(axis=1, keepdims=True)
        sides = np.sqrt((places.sizes + margins).prod(axis=1))
        return np.asarray(sides * (settings.search_px / settings.template_px), np.float64)

    def search(self, places: Places) -> Floats:
        """Return the boxes to search around, (M * scales, 4), place by place."""
        factors = _factors(self.settings)
        scaled = places.take(np.repeat(np.arange(len(places)), len(factors)))
        return replace(scaled, sizes=scaled.sizes * np.tile(factors, len(places))[:, None]).boxes()

    def find(self, places: Places, maps: Maps, views: Views, frame: Floats, window: Floats) -> Found:
        """Move each target to the best point of its best scale."""
        settings, scales = self.settings, self.settings.scales
        factors, responses = _factors(settings), maps["response"][:, 0]
        found = []
        for n in range(len(places)):
            rows = slice(n * scales, (n + 1) * scales)
            scale, row, col, score = _look(responses[rows], settings, float(window[n]))
            if (view := views[n * scales + scale]) is None:
                raise InternalError("a response to a frame came without its place in the frame")
            point = view.point(row, col)
            found.append((scale, *point, score, view.x0, view.y0, view.step_x, view.step_y))
        table = np.array(found)
        best = table[:, 0].astype(np.intp)
        moved = replace(
            places,
            centres=np.clip(table[:, 1:3], 0.0, frame - 1),
            sizes=_grown(places, factors[best][:, None], settings, frame),
        )
        chosen = responses[np.arange(len(places)) * scales + best].astype(np.float32)
        return Found(places=moved, scores=table[:, 3], maps=chosen, views=table[:, 4:])

    def boxes(self, places: Places) -> Floats:
        """Return the boxes (N, 4) to tell the caller."""
        return places.boxes()


def _factors(settings: SiamFCSettings) -> Floats:
    steps = np.arange(settings.scales, dtype=np.float64) - settings.scales // 2
    return np.asarray(settings.scale_step**steps, np.float64)


def _look(
    responses: npt.NDArray[np.floating], settings: SiamFCSettings, window: float
) -> tuple[int, float, float, float]:
    """Return the best of ``responses`` (S, H, W), its best point's row and column in cells, and the score."""
    fine = upsample(responses, settings.upsampling)
    best = _best_scale(fine.max(axis=(1, 2)), settings.scale_penalty)
    row, col = _best_point(fine[best], settings.window_influence * window)
    return best, row / settings.upsampling, col / settings.upsampling, float(fine[best, row, col])


def _grown(places: Places, factors: Floats, settings: SiamFCSettings, frame: Floats) -> Floats:
    """Return the sizes once the winning ``factors`` (N, 1) are taken over in part, within the bounds."""
    first = places.first_sizes
    least = np.maximum(_SCALE_LIMITS[0], np.minimum(1.0, settings.min_side_px / first.min(axis=1)))
    most = np.minimum(_SCALE_LIMITS[1], np.maximum(1.0, (frame / first).min(axis=1)))
    scales = places.sizes[:, :1] / first[:, :1] * (1 + settings.scale_rate * (factors - 1))
    bounded = np.clip(scales, least[:, None], most[:, None])
    rests = (factors == 1) & (scales == bounded)
    return np.where(rests, places.sizes, first * bounded)


def _best_scale(peaks: Floats, penalty: float) -> int:
    """Return which of the scales' ``peaks`` (S,) wins. The penalty lowers a peak below 0 as well."""
    middle = len(peaks) // 2
    penalised = peaks - (1 - penalty) * np.abs(peaks)
    penalised[middle] = peaks[middle]
    best = int(penalised.argmax())
    return best if penalised[best] > penalised[middle] else middle


def _best_point(response: Floats, window_influence: float) -> tuple[int, int]:
    """Return the row and column of the largest response once the window has its say."""
    response = response - response.min()
    total = response.sum()
    share = response / total if total > 0 else response
    blended = (1 - window_influence) * share + window_influence * _window(*response.shape)
    row, col = divmod(int(blended.argmax()), response.shape[1])
    return row, col


@lru_cache(maxsize=32)
def _window(rows: int, cols: int) -> Floats:
    """Return the Hann window (rows, cols) that sums to 1; its zeros are just outside the map."""
    window: Floats = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(cols + 2)[1:-1])
    window /= window.sum()
    window.flags.writeable = False
    return window
