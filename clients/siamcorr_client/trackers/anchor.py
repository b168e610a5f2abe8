"""The anchor kind: each cell has k boxes of fixed shapes, and says how likely and how far off each is.

SiamRPN (B. Li et al., CVPR 2018) and SiamRPN++ (B. Li et al., CVPR 2019), with pysot's anchors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
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
from siamcorr_client.trackers.settings import AnchorSettings

__all__ = ["Anchor", "anchor_sizes"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """Reads ``cls`` (2k, n, n), the k of the background before the target's, and ``loc`` (4k, n, n).

    ``loc`` has the k of dx, then those of dy, dw and dh: how far the box's centre is from the cell's point,
    in the anchor's sides, and the logarithms of the box's sides over the anchor's.
    """

    settings: AnchorSettings
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
        """Move each target to its best anchor's box."""
        del views
        count, cells = len(places), maps["cls"].shape[-1]
        classes = maps["cls"].reshape(count, 2, -1)
        offsets = maps["loc"].reshape(count, 4, -1)
        anchors = anchor_sizes(self.settings.stride, self.settings.ratios, self.settings.scales)
        x, y = points(cells, self.settings.stride)

        def decode(regions: Rows, chosen: Rows) -> tuple[Floats, Floats, Floats, Floats]:
            anchor, cell = np.divmod(chosen, cells * cells)
            width, height = anchors[anchor].T
            dx, dy, dw, dh = offsets[regions, :, chosen].astype(np.float64).T.copy()
            return dx * width + x[cell], dy * height + y[cell], np.exp(dw) * width, np.exp(dh) * height

        proposals = Proposals(likelihood(classes[:, 0], classes[:, 1]), decode, cells)
        return choose(places, proposals, self.settings, frame, window)

    def boxes(self, places: Places) -> Floats:
        """Return the boxes (N, 4) to tell the caller."""
        return reported_boxes(places)


@lru_cache(maxsize=32)
def anchor_sizes(stride: int, ratios: tuple[float, ...], scales: tuple[float, ...]) -> Floats:
    """Return width and height of the anchors, (k, 2), in pixels of the resized search region.

    A ratio is height over width. Sides are cut to whole pixels before they are scaled, as pysot does.

    >>> anchor_sizes(8, (0.33, 0.5, 1.0, 2.0, 3.0), (8.0,)).tolist()
    [[104.0, 32.0], [88.0, 40.0], [64.0, 64.0], [40.0, 80.0], [32.0, 96.0]]
    """
    sizes = []
    for ratio in ratios:
        width = int(math.sqrt(stride * stride / ratio))
        sizes += [(width * scale, int(width * ratio) * scale) for scale in scales]
    anchors = np.array(sizes, np.float64)
    anchors.flags.writeable = False
    return anchors
