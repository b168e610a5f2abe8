"""Which targets are followed, and what is known of where they truly are.

Rules:

- Boxes come from the command line, else from the truth's first row, else they are drawn.
- Truth files name the targets in order. With boxes of the user's own, only truth that the user names is
  taken: what lies beside the frames may be of something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr.geometry import as_boxes, check_inside
from siamcorr_demo.sources import Source
from siamcorr_eval.truth import stack_truth

__all__ = ["Targets", "choose_targets"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """``boxes`` (N, 4) in the first frame; ``truth`` (rows, up to N, 4), or None where nothing is known."""

    boxes: Boxes
    truth: Boxes | None

    def truth_at(self, index: int) -> Boxes:
        """Return the true boxes of a frame: (N, 4), NaN where a target is hidden or nothing is known."""
        known = np.full((len(self.boxes), 4), np.nan)
        if self.truth is not None and index < len(self.truth):
            known[: self.truth.shape[1]] = self.truth[index]
        return known


def choose_targets(
    source: Source,
    image: Pixels,
    *,
    init: Sequence[Sequence[float]] = (),
    truth_files: Sequence[Path] = (),
    draw: Callable[[Pixels], Boxes] | None = None,
) -> Targets:
    """Find the targets of a source.

    Args:
        source: where the frames come from.
        image: its first frame, (H, W, 3) BGR.
        init: the user's boxes, x, y, w, h each.
        truth_files: the user's truth, a file for each target.
        draw: lets the user draw boxes on the first frame; None where there is no screen.

    Raises:
        InvalidArgument: there is no box, or one that is not in the first frame, or more truth than targets.
    """
    truth = stack_truth(truth_files) if truth_files else None if init else source.truth()
    if init:
        boxes = as_boxes(init, "--init")
    elif truth is not None:
        boxes = _first_row(truth)
    elif draw is not None:
        boxes = as_boxes(_drawn(draw(image)), "box")
    else:
        raise InvalidArgument.found("--init", "no box to follow", "--init X,Y,W,H or --truth FILE")
    check_inside(boxes, width=image.shape[1], height=image.shape[0])
    if truth is not None and truth.shape[1] > len(boxes):
        raise InvalidArgument.found(
            "--truth", f"{truth.shape[1]} files", f"at most {len(boxes)}, one a target"
        )
    return Targets(boxes, truth)


def _first_row(truth: Boxes) -> Boxes:
    if np.isnan(truth[0]).any():
        raise InvalidArgument.found("truth", "a hidden target in the first row", "--init X,Y,W,H instead")
    return as_boxes(truth[0], "truth")


def _drawn(boxes: Boxes) -> Boxes:
    if not len(boxes):
        raise InvalidArgument.found("--init", "no box drawn", "at least one")
    return boxes
