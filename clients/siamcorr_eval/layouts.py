"""Where the files of a data set lie: frames and truth, in the order in which people count."""

from __future__ import annotations

import re
from pathlib import Path

from siamcorr_eval.frames import SUFFIXES

__all__ = ["FRAME_FOLDERS", "as_counted", "images_in", "truths_in"]

FRAME_FOLDERS = ("img", "imgs", "color", "frames")
"""What a folder of frames is called where it lies beside the truth."""

_TRUTH_NAMES = tuple(
    re.compile(name)
    for name in (r"groundtruth\.txt", r"groundtruth_rect\.txt", r"groundtruth_rect\.\d+\.txt")
)


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder; none where there is no such folder."""
    if not folder.is_dir():
        return []
    images = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return sorted(images, key=as_counted)


def truths_in(folder: Path) -> list[Path]:
    """Return the one file of a single target, or those of the numbered ones of several that say something."""
    for name in _TRUTH_NAMES:
        if found := [path for path in folder.iterdir() if name.fullmatch(path.name)]:
            written = [path for path in found if len(found) == 1 or path.read_bytes().strip()]
            return sorted(written, key=as_counted)
    return []


def as_counted(path: Path) -> list[tuple[int, str]]:
    """Return a key that compares digits as numbers and the rest as text.

    >>> [path.name for path in sorted(map(Path, ["10.jpg", "9.jpg"]), key=as_counted)]
    ['9.jpg', '10.jpg']
    """
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]
