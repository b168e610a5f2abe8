"""Trackers that tests script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from siamcorr_eval.trackers import Image

__all__ = ["Scripted", "Seen"]


@dataclass
class Seen:
    box: np.ndarray[tuple[int], np.dtype[np.float64]]
    score: float


@dataclass
class Scripted:
    """Says of the Nth frame that the target is at N, N, N, N; refuses what it is told to refuse."""

    refusal: Callable[[], Exception] | None = None
    given: list[Image] = field(default_factory=list)
    box: tuple[float, ...] = ()

    def init(self, image: Image, box: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        self.given.append(image)
        self.box = tuple(box)

    def update(self, image: Image) -> Seen:
        if self.refusal:
            raise self.refusal()
        number = len(self.given)
        self.given.append(image)
        return Seen(np.full(4, number, np.float64), number / 10)
