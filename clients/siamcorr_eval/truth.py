"""Ground truth files: one row a frame, from the first frame on.

Rules:

- A row is a box, four numbers x, y, w, h, or a polygon, eight: x and y of its four corners. Commas, tabs,
  semicolons or blanks part them. So OTB, VOT up to 2019, GOT-10k and LaSOT are read as they are.
- Numbers are taken as they are written: files that count pixels from 1 stay a pixel to the right, as in the
  trackers that are compared on them.
- A row with a NaN, or without a positive width and height, says that the target is not to be seen: it becomes
  four NaNs. Every other row that cannot be read is an error that names its line.
- A polygon becomes the box of the same centre and area with the proportions of its bounding box, as pysot's
  trackers are given VOT's polygons.
- Frames without a row have no truth, and rows without a frame are not used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument

__all__ = ["polygon_box", "read_truth", "stack_truth"]

Boxes = npt.NDArray[np.float64]

_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")


def read_truth(path: Path) -> Boxes:
    """Return a ground truth file as (rows, 4) float64 x, y, w, h; NaN where the target is not to be seen.

    Raises:
        InvalidArgument: names the file, and the line that cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path}: cannot be read: {_reason(error)}", field="truth") from error
    if not lines:
        raise InvalidArgument.found(f"{path}", "no rows", "one a frame")
    return np.array([_row(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)])


def stack_truth(paths: Sequence[Path]) -> Boxes | None:
    """Return the truth of several targets, a file each, as (rows, targets, 4); None without files.

    Shorter files are filled up with NaN.
    """
    if not paths:
        return None
    tracks = [read_truth(path) for path in paths]
    truth = np.full((max(map(len, tracks)), len(tracks), 4), np.nan)
    for target, track in enumerate(tracks):
        truth[: len(track), target] = track
    return truth


def polygon_box(polygon: npt.ArrayLike) -> Boxes:
    """Return the box (4,) that stands for a polygon of four corners, (8,) or (4, 2).

    Its area is that of the rectangle along the first two sides, s = sqrt(A1 / A2) of the bounding box's.

    >>> polygon_box([2, 0, 4, 2, 2, 4, 0, 2]).round(3)
    array([0.086, 0.086, 3.828, 3.828])
    """
    corners = np.asarray(polygon, np.float64).reshape(4, 2)
    sides = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    extent = corners.max(axis=0) - corners.min(axis=0)
    if not extent.all():
        return np.full(4, np.nan)
    size = extent * np.sqrt(sides[0] * sides[1] / extent.prod()) + 1
    return np.concatenate([corners.mean(axis=0) - size / 2, size])


def _row(line: str, place: str) -> Boxes:
    fields = _BETWEEN.split(line.strip())
    try:
        numbers = np.array([float(field) for field in fields])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) not in {4, 8}:
        raise InvalidArgument.found(place, repr(line)[:80], "4 numbers x,y,w,h or the 8 of a polygon")
    if np.isinf(numbers).any():
        raise InvalidArgument.found(place, repr(line)[:80], "finite numbers, or NaN for a hidden target")
    box = numbers if len(numbers) == 4 else polygon_box(numbers)
    return box if (box[2:] > 0).all() and not np.isnan(box).any() else np.full(4, np.nan)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not a text file"
