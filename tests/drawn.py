"""Sequences that tests draw: a bright square on noise, one pixel further to the right in each frame."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["BOX", "SIZE", "draw_frame", "write_lines", "write_sequence"]

SIZE = (96, 72)
"""Width and height."""

BOX = (20, 24, 20, 20)


def draw_frame(index: int, size: tuple[int, int] = SIZE) -> npt.NDArray[np.uint8]:
    """Return frame ``index``, in which the square is at BOX, ``index`` pixels further to the right."""
    width, height = size
    image = np.random.default_rng(0).integers(0, 80, (height, width, 3), np.uint8)
    x, y, w, h = BOX
    square = np.random.default_rng(1).integers(150, 256, (h, w, 3), np.uint8)
    image[y : y + h, x + index : x + index + w] = square
    return image


def write_sequence(
    home: Path,
    frames: int = 4,
    *,
    folder: str = "img",
    suffix: str = ".png",
    truth: str = "groundtruth_rect.txt",
    rows: Iterable[object] | None = None,
) -> Path:
    """Write frames and truth of a sequence; return its folder."""
    (home / folder).mkdir(parents=True, exist_ok=True)
    for index in range(frames):
        cv2.imwrite(str(home / folder / f"{index + 1:04}{suffix}"), draw_frame(index))
    x, *rest = BOX
    write_lines(home / truth, rows or [",".join(map(str, (x + index, *rest))) for index in range(frames)])
    return home


def write_lines(path: Path, lines: Iterable[object]) -> None:
    """Write a text file, a line each."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
