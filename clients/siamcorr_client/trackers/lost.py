"""Lost targets: when one counts as lost, and where it is looked for then.

Rules:

- Two thresholds and some patience, so that one poor frame is not a loss, nor one lucky cell a find.
- The search regions of a lost target are squares as large as its own, in rings around its last place, three
  quarters of a side apart: a target on the border of one is well inside the next.
- Only those whose middle is in the frame are searched; the last place always is.
- Among them the highest score wins, without the window, for a target may be anywhere by now.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siamcorr_client.trackers.kinds import Rows
from siamcorr_client.trackers.places import Floats, Places
from siamcorr_client.trackers.settings import LostSettings

__all__ = ["Regions", "after", "around"]

_STEP = 0.75

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """M search regions of N targets: ``owners`` (M,), in order, and the ``places`` that they are around."""

    owners: Rows
    places: Places


def around(places: Places, sides: Floats, is_lost: Flags, rings: int, frame: Floats) -> Regions:
    """Return one region for each target, and ``rings`` of them around that for each that is lost."""
    if not rings or not is_lost.any():
        return Regions(np.arange(len(places)), places)
    along = np.arange(-rings, rings + 1) * _STEP
    offsets = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    offsets = offsets[np.argsort(np.abs(offsets).max(axis=1), kind="stable")]  # the last place first
    owners, centres = [], []
    for row, centre in enumerate(places.centres):
        candidates = centre + offsets * sides[row] if is_lost[row] else centre[None]
        inside = ((candidates >= 0) & (candidates <= frame - 1)).all(axis=1)
        inside[0] = True
        centres.append(candidates[inside])
        owners += [row] * len(centres[-1])
    chosen = places.take(np.array(owners))
    return Regions(np.array(owners), Places(np.concatenate(centres), chosen.sizes, chosen.first_sizes))


def after(is_lost: Flags, poor: Rows, confidence: Floats, settings: LostSettings) -> tuple[Flags, Rows]:
    """Return which targets are lost after a frame, and for how many frames on end each was poor.

    Args:
        is_lost: (N,) before the frame.
        poor: (N,) before the frame.
        confidence: (N,) in the frame.
        settings: the thresholds.
    """
    poor = np.where(confidence < settings.below, poor + 1, 0)
    return np.where(is_lost, confidence < settings.above, poor >= settings.patience), poor
