"""Silence for the libraries under OpenCV: they tell the terminal about each container that they try."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["silence"]


@contextmanager
def silence() -> Iterator[None]:
    """Within the block OpenCV opens and reads videos without a word; what went wrong, its results tell."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when FFmpeg is first used
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
