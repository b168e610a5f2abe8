"""From proposals to the next place: what the anchor and the anchor-free kinds share.

B. Li et al., High Performance Visual Tracking with Siamese Region Proposal Network, CVPR 2018, as pysot and
NanoTrack have it.

Rules:

- Proposals are in pixels of the resized search region, from its middle. They are divided by the template's
  side in such pixels over its side in the frame, that one before it is rounded, to be in frame pixels.
- A proposal's score is lowered by exp(-(r * s - 1) * penalty_k), where r and s are by how much its
  proportions and its size differ from the target's: ratios, turned so that they are 1 or more.
- A window is blended with the result, and the highest proposal wins, the first of equals. NaN never wins.
- The centre is taken over whole, of the size the part rate * score * penalty.
- A centre stays in 0 .. width and 0 .. height of the frame (which is one pixel more than the frame has), a
  side in ``min_side_px`` .. width or height; the former where both cannot be.
- A box that comes out is centre - size / 2, while one that goes in has its centre at x + (w - 1) / 2. That is
  half a pixel apart, and what these trackers' published results were measured with.
- A penalty only lowers a score. So boxes are decoded and weighed only where the score, without a penalty,
  reaches what the best such proposal has with its own: seldom more than a few in a hundred.
- Where no proposal has a score that is a number, the target stays where it is, with a score of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from siamcorr_client.trackers.kinds import Found, Rows, best_of_each
from siamcorr_client.trackers.places import Floats, Places
from siamcorr_client.trackers.settings import ProposalSettings

__all__ = ["Proposals", "choose", "likelihood", "points", "reported_boxes", "search_sides"]


Decode: TypeAlias = Callable[[Rows, Rows], tuple[Floats, Floats, Floats, Floats]]


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """K proposals in each of M regions, k anchors for each cell of an (n, n) map: K = k * n * n.

    ``scores`` is (M, K), anchor by anchor and row by row. ``decode`` takes which regions and which proposals
    are asked for, (C,) each, and returns x, y, w and h of their boxes, (C,) float64 each.
    """

    scores: Floats
    decode: Decode
    cells: int


@lru_cache(maxsize=32)
def points(cells: int, stride: int) -> tuple[Floats, Floats]:
    """Return x and y of the map's cells, each (n * n,), read-only, in pixels of the resized search region.

    >>> points(3, 16)[0].tolist()
    [-16.0, 0.0, 16.0, -16.0, 0.0, 16.0, -16.0, 0.0, 16.0]
    """
    along = stride * (np.arange(cells, dtype=np.float64) - cells // 2)
    x, y = np.tile(along, cells), np.repeat(along, cells)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def likelihood(background: npt.NDArray[np.floating], target: npt.NDArray[np.floating]) -> Floats:
    """Return the softmax of two classes: the target's part, in float64.

    >>> likelihood(np.array([0.0, 1000.0]), np.array([0.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(np.subtract(background, target, dtype=np.float64))))


def search_sides(places: Places, settings: ProposalSettings) -> Floats:
    """Return the sides of the search regions, (N,) in frame pixels, not rounded."""
    return _context_sides(places, settings) * (settings.search_px / settings.template_px)


def reported_boxes(places: Places) -> Floats:
    """Return the boxes (N, 4) that pysot and NanoTrack report."""
    return np.concatenate([places.centres - places.sizes / 2, places.sizes], axis=1)


def choose(
    places: Places, proposals: Proposals, settings: ProposalSettings, frame: Floats, window: Floats
) -> Found:
    """Choose the best proposal of each region, and say where that puts the target."""
    scale = settings.template_px / _context_sides(places, settings)
    part = settings.window_influence * window
    hann = _hann(proposals.cells, proposals.scores.shape[1])

    def weighed(regions: Rows, chosen: Rows) -> tuple[Floats, Floats]:
        """Return boxes (C, 4) and penalties (C,) of some proposals."""
        x, y, w, h = proposals.decode(regions, chosen)
        sizes, shares = places.sizes[regions], scale[regions]
        widths, heights = sizes[:, 0], sizes[:, 1]
        size_change = _side(w, h) / _side(widths * shares, heights * shares)
        shape_change = (widths / heights) / (w / h)
        penalty = np.exp((1.0 - _ratio(shape_change) * _ratio(size_change)) * settings.penalty_k)
        return np.stack([x, y, w, h], axis=1), penalty

    def ranked(regions: Rows, chosen: Rows, penalty: Floats) -> Floats:
        scores, shares = proposals.scores[regions, chosen], part[regions]
        rank = penalty * scores * (1 - shares) + hann[chosen] * shares
        return np.where(np.isfinite(rank), rank, -np.inf)

    with np.errstate(all="ignore"):  # proposals may be as wrong as a network can be; NaN never wins
        bound = proposals.scores * (1 - part)[:, None] + hann * part[:, None]
        bound = np.fmax(bound, -np.inf)
        every, first = np.arange(len(places)), bound.argmax(axis=1)
        least = ranked(every, first, weighed(every, first)[1])
        regions, chosen = np.divmod(np.flatnonzero(bound >= least[:, None]), len(hann))
        boxes, penalty = weighed(regions, chosen)
        rank = ranked(regions, chosen, penalty)
        best = best_of_each(regions, rank)
        is_known = np.isfinite(rank[best]) & np.isfinite(boxes[best]).all(axis=1)
        scores = np.where(is_known, proposals.scores[every, chosen[best]], 0.0)
        moved = _moved(places, boxes[best] / scale[:, None], penalty[best] * scores, settings, frame)
    return Found(
        places=moved.where(is_known, places),
        scores=scores,
        maps=_score_maps(proposals),
        views=_views(places, proposals.cells, settings.stride / scale[:, None]),
    )


def _moved(
    places: Places, boxes: Floats, sureness: Floats, settings: ProposalSettings, frame: Floats
) -> Places:
    """Return the places once ``boxes`` (M, 4), as seen from the old centres, are taken over."""
    rate = (sureness * settings.rate)[:, None]
    centres = places.centres + boxes[:, :2]
    sizes = places.sizes * (1 - rate) + boxes[:, 2:] * rate
    return replace(
        places,
        centres=np.maximum(0.0, np.minimum(centres, frame)),
        sizes=np.maximum(settings.min_side_px, np.minimum(sizes, frame)),
    )


def _context_sides(places: Places, settings: ProposalSettings) -> Floats:
    widths, heights = places.sizes[:, 0], places.sizes[:, 1]
    margins = settings.context * (widths + heights)
    return np.asarray(np.sqrt((widths + margins) * (heights + margins)), np.float64)


def _side(widths: Floats, heights: Floats) -> Floats:
    pad = (widths + heights) * 0.5
    return np.asarray(np.sqrt((widths + pad) * (heights + pad)), np.float64)


def _ratio(change: Floats) -> Floats:
    return np.asarray(np.maximum(change, 1.0 / change), np.float64)


def _score_maps(proposals: Proposals) -> npt.NDArray[np.float32]:
    """Return each cell's best score, (M, n, n)."""
    cells = proposals.cells
    by_anchor = proposals.scores.reshape(len(proposals.scores), -1, cells, cells)
    return np.asarray(by_anchor.max(axis=1), np.float32)


def _views(places: Places, cells: int, step_px: Floats) -> Floats:
    first = places.centres - (cells // 2) * step_px
    return np.concatenate([first, step_px, step_px], axis=1)


@lru_cache(maxsize=32)
def _hann(cells: int, count: int) -> Floats:
    """Return the window for ``count`` proposals: the same for all anchors, 0 at the map's edge, 1 amid."""
    along = np.hanning(cells)
    window: Floats = np.tile(np.outer(along, along).ravel(), count // (cells * cells))
    window.flags.writeable = False
    return window
