"""What came out: boxes, scores and times of each frame, and the numbers that are made of them.

Rules:

- The first frame gives the templates, so it has no score, no state, no latency, and no part in a mean.
- IoU is counted where there is truth. The mean over targets is the mean of the targets' own means.
- Latency is one frame's request, there and back as the client sees it. Frames a second are those of
  everything: reading, following, drawing and writing, but not waiting for the viewer.
- A number that does not exist is null in JSON and a dash in the table.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr.geometry import iou
from siamcorr_client.trackers import Track

__all__ = ["FrameResult", "Report", "Seen", "known_ious"]

Floats = npt.NDArray[np.float64]

_RECENT_FRAMES = 30


def known_ious(boxes: Floats, truth: Floats) -> Floats:
    """Return the IoU of ``boxes`` (N, 4) with ``truth`` (N, 4), NaN where the truth is: (N,).

    >>> known_ious(np.array([[0.0, 0, 2, 2], [5, 5, 2, 2]]), np.array([[0.0, 0, 2, 1], [np.nan] * 4]))
    array([0.5, nan])
    """
    ious = np.full(len(boxes), np.nan)
    known = ~np.isnan(truth).any(axis=1)
    if known.any():
        ious[known] = iou(boxes[known], truth[known])
    return ious


@dataclass(frozen=True, slots=True)
class Seen:
    """What the tracker said of N targets in a frame, beside their boxes; see :class:`Track` for each word."""

    scores: tuple[float, ...]
    confidences: tuple[float, ...]
    psr: tuple[float, ...]
    apce: tuple[float, ...]
    states: tuple[str, ...]

    @classmethod
    def of(cls, tracks: Sequence[Track]) -> Seen:
        """Keep the numbers of tracks, and not their maps: those of a long video would fill the memory."""
        return cls(
            scores=tuple(track.score for track in tracks),
            confidences=tuple(track.confidence for track in tracks),
            psr=tuple(track.psr for track in tracks),
            apce=tuple(track.apce for track in tracks),
            states=tuple(track.state for track in tracks),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """One frame of N targets.

    ``boxes`` (N, 4) in pixels; ``ious`` (N,), NaN where the truth is not known; ``seen`` and ``latency_s``
    are None in the first frame.
    """

    boxes: Floats
    ious: Floats
    seen: Seen | None = None
    latency_s: float | None = None

    @property
    def lost(self) -> int:
        """How many targets are lost."""
        return 0 if self.seen is None else self.seen.states.count("lost")


class Report:
    """Grows by a frame at each :meth:`add`.

    >>> report = Report("clip", "hog", targets=1)
    >>> report.add(FrameResult(np.ones((1, 4)), np.ones(1)), busy_s=0.5)
    >>> report.add(FrameResult(np.ones((1, 4)), np.array([0.7]), latency_s=0.010), busy_s=0.5)
    >>> report.mean_iou, report.latency_ms(50), report.fps
    (0.7, 10.0, 2.0)
    """

    def __init__(self, source: str, model: str, targets: int) -> None:
        """Begin without frames."""
        self.source, self.model, self.targets = source, model, targets
        self.frames: list[FrameResult] = []
        self._iou_sums, self._iou_counts = np.zeros(targets), np.zeros(targets, np.int64)
        self._busy_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=_RECENT_FRAMES)

    def add(self, result: FrameResult, busy_s: float) -> None:
        """Take the next frame in, and what it took in all, in seconds."""
        if self.frames:
            known = ~np.isnan(result.ious)
            self._iou_sums[known] += result.ious[known]
            self._iou_counts += known
        self.frames.append(result)
        self._busy_s += busy_s
        self._recent_s.append(busy_s)

    @property
    def mean_ious(self) -> list[float | None]:
        """Each target's mean IoU; None without truth."""
        return [
            float(total / count) if count else None
            for total, count in zip(self._iou_sums, self._iou_counts, strict=True)
        ]

    @property
    def mean_iou(self) -> float | None:
        """The mean of the targets' means; None without truth."""
        means = [mean for mean in self.mean_ious if mean is not None]
        return sum(means) / len(means) if means else None

    def latency_ms(self, percentile: float) -> float | None:
        """Return a percentile of the frames' latencies in milliseconds; None with fewer than two frames."""
        latencies = [frame.latency_s for frame in self.frames if frame.latency_s is not None]
        return float(np.percentile(latencies, percentile) * 1000) if latencies else None

    @property
    def fps(self) -> float | None:
        """Frames a second, all included."""
        return len(self.frames) / self._busy_s if self._busy_s else None

    @property
    def recent_fps(self) -> float | None:
        """Frames a second of the last 30 frames."""
        return len(self._recent_s) / sum(self._recent_s) if any(self._recent_s) else None

    def table(self) -> str:
        """Return the numbers as text: a line for each target, then one for all."""
        lines = [
            f"target {number}: mean IoU {mean:.3f}"
            for number, mean in enumerate(self.mean_ious, 1)
            if mean is not None
        ]
        cells = {
            "frames": f"{len(self.frames)}",
            "targets": f"{self.targets}",
            "mean IoU": _text(self.mean_iou),
            "latency p50": _text(self.latency_ms(50), ".1f", " ms"),
            "p95": _text(self.latency_ms(95), ".1f", " ms"),
            "fps": _text(self.fps, ".1f"),
        }
        widths = [max(len(name), len(cell)) for name, cell in cells.items()]
        rows = (cells.keys(), cells.values())
        lines += ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it: numbers, lists, and None where there is no number."""
        return {
            "source": self.source,
            "model": self.model,
            "frames": len(self.frames),
            "targets": self.targets,
            "mean_iou": self.mean_iou,
            "mean_ious": self.mean_ious,
            "latency_ms": {"p50": self.latency_ms(50), "p95": self.latency_ms(95)},
            "fps": self.fps,
            "per_frame": [_frame_as_json(frame) for frame in self.frames],
        }

    def write_json(self, path: Path) -> None:
        """Write :meth:`as_json` to a file; its folder is made.

        Raises:
            InvalidArgument: names ``json``: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.as_json(), allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise InvalidArgument(f"--json: {path}: {error.strerror}", field="json") from error


def _frame_as_json(frame: FrameResult) -> dict[str, Any]:
    seen = frame.seen
    return {
        "boxes": frame.boxes.tolist(),
        "scores": seen and [_finite(value) for value in seen.scores],
        "confidences": seen and [_finite(value) for value in seen.confidences],
        "psr": seen and [_finite(value) for value in seen.psr],
        "apce": seen and [_finite(value) for value in seen.apce],
        "states": seen and list(seen.states),
        "ious": [_finite(value) for value in frame.ious.tolist()],
        "latency_ms": None if frame.latency_s is None else frame.latency_s * 1000,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _text(value: float | None, form: str = ".3f", unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
