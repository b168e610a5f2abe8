"""Sequences on the disk: frames and ground truth, in the layouts of OTB, GOT-10k, LaSOT and VOT.

Rules:

- A folder with ground truth is a sequence: ``groundtruth.txt``, ``groundtruth_rect.txt``, or one
  ``groundtruth_rect.N.txt`` for each target. Every other folder is a data set: its sub-folders with ground
  truth are its sequences.
- Frames lie in ``img`` (OTB, LaSOT), ``imgs``, ``color`` (VOT), ``frames``, or in the folder itself
  (GOT-10k), sorted as people count: 2.jpg comes before 10.jpg.
- Several targets are as many sequences, NAME.1, NAME.2 and so on; empty truth files do not count (as the
  got10k toolkit has it).
- A target is absent where its row says so (:mod:`siamcorr_eval.truth`), where ``absence.label`` is 1 or
  ``cover.label`` is 0 (GOT-10k), or ``full_occlusion.txt`` or ``out_of_view.txt`` is 1 (LaSOT).
- Frames behind the last row are left out, and so are rows behind the last frame; both are told. A truth of
  one row (GOT-10k's test sequences) gives the box alone: all frames are followed, and nothing can be
  measured.
- OTB's truth of David begins at frame 300.
- All of this is found out before anything is followed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr_eval.layouts import FRAME_FOLDERS, as_counted, images_in, truths_in
from siamcorr_eval.truth import read_truth

__all__ = ["TrackedSequence", "find_sequences"]

Boxes = npt.NDArray[np.float64]

_ABSENT_WHERE = (
    ("absence.label", 1),
    ("cover.label", 0),
    ("full_occlusion.txt", 1),
    ("full_occlusion.label", 1),
    ("out_of_view.txt", 1),
)
_FIRST_FRAMES = {"David": 300}


@dataclass(frozen=True, slots=True, eq=False)
class TrackedSequence:
    """One target's way through a video.

    ``truth`` is (frames, 4) float64 x, y, w, h, with NaN where the target is absent or nothing is known; its
    first row is the box to follow. ``notes`` say what was left out.
    """

    name: str
    frames: tuple[Path, ...]
    truth: Boxes
    notes: tuple[str, ...] = ()


def find_sequences(folders: Iterable[Path], *, frames: int | None = None) -> list[TrackedSequence]:
    """Find the sequences of folders.

    Args:
        folders: sequences and data sets.
        frames: how many of each sequence's first frames to take; None takes all.

    Raises:
        InvalidArgument: names what is wrong: no such folder, no sequence or no frames in it, truth that
            cannot be read or does not show the target in the first frame, two sequences of one name.
    """
    found = list(chain.from_iterable(map(_sequences_in, folders)))
    names = Counter(sequence.name for sequence in found)
    if twice := [name for name, times in names.items() if times > 1]:
        raise InvalidArgument.found(
            "sequences", f"{twice[0]!r} twice", "a name for each: results go by their names"
        )
    return [_cut(sequence, frames) for sequence in found]


def _sequences_in(folder: Path) -> Iterator[TrackedSequence]:
    folder = Path(os.path.abspath(folder))  # a link keeps its name
    if not folder.is_dir():
        raise InvalidArgument.found(
            "sequences", f"no folder {str(folder)!r:.200}", "a sequence or a data set"
        )
    homes = [folder] if truths_in(folder) else _sequence_folders(folder)
    if not homes:
        raise InvalidArgument.found(
            "sequences", f"no ground truth in {folder}", "groundtruth*.txt there or in its sub-folders"
        )
    for home in homes:
        truths = truths_in(home)
        for number, path in enumerate(truths, start=1):
            yield _sequence(home, path, home.name if len(truths) == 1 else f"{home.name}.{number}")


def _sequence_folders(data_set: Path) -> list[Path]:
    inside = sorted((path for path in data_set.iterdir() if path.is_dir()), key=as_counted)
    return [path for path in inside if truths_in(path)]


def _sequence(home: Path, truth_path: Path, name: str) -> TrackedSequence:
    frames = _frames_in(home)
    truth = read_truth(truth_path)
    if np.isnan(truth[0]).any():
        raise InvalidArgument.found(f"{truth_path}", "an absent target in the first row", "a box to follow")
    if len(truth) == 1:
        return TrackedSequence(name, frames, np.concatenate([truth, np.full((len(frames) - 1, 4), np.nan)]))
    first = _FIRST_FRAMES.get(home.name, 1) - 1
    if first and len(frames) > first + len(truth) - 1:
        frames = frames[first:]
    known = min(len(frames), len(truth))
    notes = []
    if known < len(frames):
        notes.append(f"{name}: {len(frames)} frames, {len(truth)} rows of truth: the rest is left out")
    if known < len(truth):
        notes.append(f"{name}: ends after {len(frames)} frames; there are {len(truth)} rows of truth")
    truth = truth[:known].copy()
    truth[1:][_absent(home, len(truth))[1:]] = np.nan
    return TrackedSequence(name, frames[:known], truth, tuple(notes))


def _frames_in(home: Path) -> tuple[Path, ...]:
    for name in (*FRAME_FOLDERS, "."):
        if found := images_in(home / name):
            return tuple(found)
    raise InvalidArgument.found("sequences", f"no frames in {home}", "images there or in img/")


def _absent(home: Path, rows: int) -> npt.NDArray[np.bool_]:
    """Return where the files beside the truth say that the target is not to be seen, (rows,)."""
    absent = np.zeros(rows, np.bool_)
    for name, value in _ABSENT_WHERE:
        path = home / name
        if path.is_file():
            labels = re.findall(r"\d+", path.read_text(encoding="utf-8", errors="replace"))
            if len(labels) < rows:
                raise InvalidArgument.found(f"{path}", f"{len(labels)} labels", f"{rows}, one a frame")
            absent |= np.array(labels[:rows], np.int64) == value
    return absent


def _cut(sequence: TrackedSequence, frames: int | None) -> TrackedSequence:
    return replace(sequence, frames=sequence.frames[:frames], truth=sequence.truth[:frames])
