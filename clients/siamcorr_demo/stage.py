"""Where a followed frame goes: drawn once, then to the video, the report and the window."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from siamcorr_demo.drawing import Painter
from siamcorr_demo.follow import Step
from siamcorr_demo.report import Report
from siamcorr_demo.video import Video
from siamcorr_demo.window import Window

__all__ = ["Stage"]

Pixels = npt.NDArray[np.uint8]


class Stage:
    """Takes each frame's outcome; ``picture`` is the last one drawn.

    Args:
        painter: draws.
        report: counts.
        total: how many frames there will be, or None.
        video: where pictures are written, or None.
        window: where they are shown, or None.
        clock: in seconds.
    """

    def __init__(
        self,
        painter: Painter,
        report: Report,
        *,
        total: int | None = None,
        video: Video | None = None,
        window: Window | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin to count the time of the first frame."""
        self._painter, self._report, self._total = painter, report, total
        self._video, self._window, self._clock = video, window, clock
        self._start_s = clock()
        self.picture: Pixels | None = None

    def take(self, image: Pixels, step: Step) -> bool:
        """Draw a frame (H, W, 3) BGR, hand it on and count its time; False once the viewer has had enough."""
        self.picture = self._painter.draw(image, step.sights, self._who(step), self._how(step))
        if self._video is not None:
            self._video.write(self.picture)
        self._report.add(step.result, self._clock() - self._start_s)
        goes_on = self._window is None or self._window.show(self.picture)
        self._start_s = self._clock()
        return goes_on

    def _who(self, step: Step) -> list[str]:
        count, lost = self._report.targets, step.result.lost
        parts = ["siamcorr", self._report.model, f"{count} target{'s' if count != 1 else ''}"]
        return [*parts, f"{lost} lost"] if lost else parts

    def _how(self, step: Step) -> list[str]:
        """Return the numbers, those first that are needed most."""
        number, parts = len(self._report.frames) + 1, []
        if self._report.recent_fps is not None:
            parts.append(f"{self._report.recent_fps:.1f} fps")
        if step.result.latency_s is not None:
            parts.append(f"{step.result.latency_s * 1000:.1f} ms")
        parts.append(f"frame {number}/{self._total}" if self._total else f"frame {number}")
        if self._report.mean_iou is not None:
            parts.append(f"mean IoU {self._report.mean_iou:.2f}")
        return parts
