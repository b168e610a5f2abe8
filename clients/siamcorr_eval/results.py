"""The files that a run leaves.

    DIR/NAME/SEQUENCE.csv    a line x,y,w,h,score a frame; the first is the given box with score 1
    DIR/NAME/report.json     what was measured
    DIR/got10k/OTB2015/NAME/SEQUENCE.txt and .../times/SEQUENCE_time.txt             for ExperimentOTB
    DIR/got10k/GOT-10k/NAME/SEQUENCE/SEQUENCE_001.txt and .../SEQUENCE_time.txt      for ExperimentGOT10k

Rules:

- A file of the same name is replaced, and only when the new one is whole. Nothing else in DIR is touched: a
  DIR collects what many trackers gave.
- Numbers are written so that they read back to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr_eval.follow import Track

__all__ = ["REPORT", "make_folder", "write_text", "write_track"]

REPORT = "report.json"

_GOT10K = "got10k"


def write_track(out: Path, tracker: str, sequence: str, track: Track) -> None:
    """Write what a tracker gave for a sequence, in each layout.

    Raises:
        InvalidArgument: names ``--out``: it cannot be written.
    """
    write_text(out / tracker / f"{sequence}.csv", _lines(np.column_stack([track.boxes, track.scores])))
    boxes, times = _lines(track.boxes), _lines(track.times_s[:, None])
    otb = out / _GOT10K / "OTB2015" / tracker
    write_text(otb / f"{sequence}.txt", boxes)
    write_text(otb / "times" / f"{sequence}_time.txt", times)
    got10k = out / _GOT10K / "GOT-10k" / tracker / sequence
    write_text(got10k / f"{sequence}_001.txt", boxes)
    write_text(got10k / f"{sequence}_time.txt", times)


def write_text(path: Path, text: str) -> None:
    """Write a file whole, in place of one that is there.

    Raises:
        InvalidArgument: names ``--out``: it cannot be written.
    """
    make_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise InvalidArgument(f"--out: {path}: {error.strerror}", field="--out") from error


def make_folder(path: Path) -> None:
    """Make a folder, with those around it, where it is not there yet.

    Raises:
        InvalidArgument: names ``--out``: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"--out: {path}: {error.strerror}", field="--out") from error


def _lines(rows: Iterable[npt.NDArray[np.float64]]) -> str:
    return "".join(",".join(map(repr, row.tolist())) + "\n" for row in rows)
