"""The anchor-free kind: each cell says how likely it lies in the target, and how far its box reaches.

NanoTrack (github.com/HonglinChu/SiamTrackers), after SiamBAN (Z. Chen et al., Siamese Box Adaptive Network
for Visual Tracking, CVPR 2020) and LightTrack (B. Yan et al., CVPR 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from siamcorr_client.trackers.kinds import Found, Maps, Rows, Views
from siamcorr_client.trackers.places import Floats, Places
from siamcorr_client.trackers.proposals import (
    Proposals,
    choose,
    likelihood,
    points,
    reported_boxes,
    search_sides,
)
from siamcorr_client.trackers.settings import AnchorFreeSettings

__all__ = ["AnchorFree"]


@dataclass(frozen=True, slots=True)
class AnchorFree:
    """Reads ``cls`` (2, n, n), background and target, and ``loc`` (4, n, n): left, top, right and bottom.

    Those are distances in pixels of the resized search region, from a cell's point to the box's sides.
    """

    settings: AnchorFreeSettings
    question: ClassVar[Mapping[str, Any]] = MappingProxyType({"kind": "network"})
    searches: ClassVar[int] = 1
    has_likelihoods: ClassVar[bool] = True

    def search_sides(self, places: Places) -> Floats:
        """Return the side of each place's search region, (N,) in frame pixels."""
        return search_sides(places, self.settings)

    def search(self, places: Places) -> Floats:
        """Return the boxes to search around, (N, 4)."""
        return places.boxes()

    def find(self, places: Places, maps: Maps, views: Views, frame: Floats, window: Floats) -> Found:
        """Move each target to its best cell's box."""
        del views
        count, cells = len(places), maps["cls"].shape[-1]
        classes = maps["cls"].reshape(count, 2, -1)
        distances = maps["loc"].reshape(count, 4, -1)
        x, y = points(cells, self.settings.stride)

        def decode(regions: Rows, chosen: Rows) -> tuple[Floats, Floats, Floats, Floats]:
            reach = distances[regions, :, chosen].astype(np.float64)
            left, top = x[chosen] - reach[:, 0], y[chosen] - reach[:, 1]
            right, bottom = x[chosen] + reach[:, 2], y[chosen] + reach[:, 3]
            return (left + right) * 0.5, (top + bottom) * 0.5, right - left, bottom - top

        proposals = Proposals(likelihood(classes[:, 0], classes[:, 1]), decode, cells)
        return choose(places, proposals, self.settings, frame, window)

    def boxes(self, places: Places) -> Floats:
        """Return the boxes (N, 4) to tell the caller."""
        return reported_boxes(places)
