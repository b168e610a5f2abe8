"""What every kind of tracker is: which regions to search, and what their maps say.

A kind is plain numpy. It asks nobody, and keeps nothing from frame to frame: places go in and come out. It
computes many regions at once, and each with the same bits as alone. So sums go along the last axis of
contiguous arrays, and exponentials are of contiguous arrays, whatever the number of regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame
from siamcorr_client.trackers.places import Floats, Places

__all__ = ["Found", "Kind", "Maps", "Rows", "Views", "best_of_each"]

Rows: TypeAlias = npt.NDArray[np.intp]
"""Indices: of targets, of regions, or of proposals."""

Maps: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""A server's maps by name, each (P, C, H, W), one row a searched region."""

Views: TypeAlias = list[MapToFrame | None]
"""Where a region's map lies in the frame, for each of P, if the server says so."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found in each of M regions.

    ``places`` is where the target would be, ``scores`` (M,) what speaks for it: raw, before the window and
    the penalty. ``maps`` (M, H, W) float32 are such scores by cell, and ``views`` (M, 4) says where the maps
    lie: x0, y0, step_x, step_y of a MapToFrame.
    """

    places: Places
    scores: Floats
    maps: npt.NDArray[np.float32]
    views: Floats

    def take(self, rows: npt.NDArray[np.intp]) -> Found:
        """Return what was found in some of the regions."""
        return Found(self.places.take(rows), self.scores[rows], self.maps[rows], self.views[rows])


class Kind(Protocol):
    """A kind of tracker, with its settings."""

    @property
    def question(self) -> Mapping[str, Any]:
        """The keywords of ``correlate`` that say what is to be computed."""

    @property
    def searches(self) -> int:
        """How many boxes are searched for each place."""

    @property
    def has_likelihoods(self) -> bool:
        """Whether a score is a likelihood, 0 to 1."""

    def search_sides(self, places: Places) -> Floats:
        """Return the side of each place's search region, (N,) in frame pixels."""

    def search(self, places: Places) -> Floats:
        """Return the boxes to search around, (M * searches, 4), place by place."""

    def find(self, places: Places, maps: Maps, views: Views, frame: Floats, window: Floats) -> Found:
        """Read the maps, ``searches`` rows for each of M places.

        Args:
            places: as they were given to :meth:`search`.
            maps: see :data:`Maps`.
            views: see :data:`Views`.
            frame: (width, height) of the frame in pixels; infinite where it is not known.
            window: (M,) by how much of the published part the window holds a target back: 1, or 0.
        """

    def boxes(self, places: Places) -> Floats:
        """Return the boxes (N, 4) to tell the caller."""


def best_of_each(owners: Rows, scores: Floats) -> Rows:
    """Return, for each owner, which of its entries has the highest score; the first of equals.

    >>> best_of_each(np.array([0, 1, 1, 1, 2]), np.array([0.1, 0.2, 0.9, 0.9, 0.3])).tolist()
    [0, 2, 4]
    """
    is_first = _is_first(owners)
    starts = np.flatnonzero(is_first)
    if len(starts) == len(owners):
        return starts
    highest = np.maximum.reduceat(scores, starts)[np.cumsum(is_first) - 1]
    best = np.flatnonzero((scores == highest) | np.isnan(scores))  # NaN is the highest, as for argmax
    return best[_is_first(owners[best])]


def _is_first(owners: Rows) -> npt.NDArray[np.bool_]:
    """Tell which entries begin with another owner than the one before."""
    is_first = np.ones(len(owners), np.bool_)
    np.not_equal(owners[1:], owners[:-1], out=is_first[1:])
    return is_first
