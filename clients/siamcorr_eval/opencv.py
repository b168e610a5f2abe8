"""OpenCV's own trackers, so that they are evaluated as ours are.

Rules:

- Which trackers there are depends on the package: KCF and CSRT are in opencv-contrib-python 4.x, and no
  longer in OpenCV 5. One that is missing is an error that says so.
- The first box is rounded to whole pixels, half to even: OpenCV takes no other.
- When one says that it has lost its target there is no box, whatever it wrote into it.
- Random numbers begin anew with each sequence, at :data:`SEED`, OpenCV's own and those of the C library: MIL
  uses both, and would give a sequence other boxes after another sequence. It gives others for another seed
  too.
- A score is the tracker's own where it has one (NANO); else 1, or 0 without a box.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr_eval.frames import as_pixels
from siamcorr_eval.trackers import NO_BOX, Image, MakeTracker, Tracker

__all__ = ["NAMES", "SEED", "OpenCVTracker", "opencv_trackers"]

Box = npt.NDArray[np.float64]

NAMES = ("KCF", "MIL", "CSRT", "NANO")
"""What can be asked for."""

SEED = 0

_CLASSES = {"KCF": "TrackerKCF", "MIL": "TrackerMIL", "CSRT": "TrackerCSRT", "NANO": "TrackerNano"}


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    box: Box
    score: float


class OpenCVTracker:
    """One of ``cv2``'s trackers, as :class:`siamcorr_eval.trackers.Tracker`."""

    def __init__(self, tracker: Any) -> None:
        """Take over a cv2 tracker that was just made."""
        self._tracker = tracker

    def init(self, image: Image, box: Box) -> None:
        """Take the target to follow.

        Raises:
            InvalidArgument: names ``image`` or ``box``: OpenCV cannot follow it.
        """
        rectangle = [int(number) for number in np.rint(box)]
        try:
            _seed()
            self._tracker.init(as_pixels(image), rectangle)
        except cv2.error as error:
            raise InvalidArgument(
                f"box: OpenCV cannot follow {rectangle}: {error.err}", field="box"
            ) from error

    def update(self, image: Image) -> _Seen:
        """Find it in the next frame.

        Raises:
            InvalidArgument: names ``image``: OpenCV cannot search it.
        """
        try:
            is_found, box = self._tracker.update(as_pixels(image))
        except cv2.error as error:
            raise InvalidArgument(f"image: OpenCV cannot search it: {error.err}", field="image") from error
        if not is_found:
            return _Seen(NO_BOX, 0.0)
        score = self._tracker.getTrackingScore() if hasattr(self._tracker, "getTrackingScore") else 1.0
        return _Seen(np.array(box, np.float64), float(score))


def opencv_trackers(name: str, files: str | None = None) -> MakeTracker:
    """Return what makes a tracker of OpenCV's.

    Args:
        name: one of :data:`NAMES`.
        files: for NANO the ONNX files of its backbone and its head, parted by a comma.

    Raises:
        InvalidArgument: names ``--opencv``: no such tracker, not in the OpenCV that is installed, or its
            files are missing or not readable.
    """
    if name not in NAMES:
        raise InvalidArgument.found("--opencv", repr(name)[:80], f"one of {', '.join(NAMES)}")
    made_by = getattr(cv2, _CLASSES[name], None)
    if made_by is None:
        found = f"no {name} in OpenCV {cv2.__version__}"
        raise InvalidArgument.found("--opencv", found, "one that is in it; opencv-contrib-python<5 has all")
    if files and name != "NANO":
        raise InvalidArgument.found("--opencv", f"files for {name}", "none: it has no weights")
    if name != "NANO":
        return lambda: _made(made_by.create)
    parameters = _nano_parameters(files)
    try:
        with _made(lambda: made_by.create(parameters)):
            pass  # unreadable files are found now, not after the first sequences
    except cv2.error as error:
        raise InvalidArgument(f"--opencv: NANO: {error.err}", field="--opencv") from error
    return lambda: _made(lambda: made_by.create(parameters))


def _seed() -> None:
    cv2.setRNGSeed(SEED)
    if os.name == "posix":  # elsewhere an extension module may have a C library of its own
        ctypes.CDLL(None).srand(SEED)


def _nano_parameters(files: str | None) -> Any:
    paths = [Path(part) for part in (files or "").split(",") if part]
    if len(paths) != 2:
        raise InvalidArgument.found(
            "--opencv", f"NANO with {len(paths)} files", "NANO=BACKBONE.onnx,HEAD.onnx"
        )
    if missing := [path for path in paths if not path.is_file()]:
        raise InvalidArgument.found("--opencv", f"no file {str(missing[0])!r:.200}", "the weights of NANO")
    parameters: Any = getattr(cv2, "TrackerNano_Params")()  # noqa: B009 - OpenCV's types lack it
    parameters.backbone, parameters.neckhead = map(str, paths)
    return parameters


@contextmanager
def _made(create: Callable[[], Any]) -> Iterator[Tracker]:
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_ERROR
    )  # OpenCV 5 warns at each network it reads
    try:
        yield OpenCVTracker(create())
    finally:
        cv2.utils.logging.setLogLevel(before)
