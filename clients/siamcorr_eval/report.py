"""What was measured, as a table on the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from siamcorr_eval.measures import Measures, mean, pool

__all__ = ["Measured", "Report", "Standing", "comparison"]

_HEAD = ("frames", "AUC", "P20px", "AO", "SR.50", "SR.75", "f/s", "ms")
_WIDTHS = (7, 7, 7, 7, 7, 7, 8, 7)
_FIGURES = ("auc", "precision_20px", "ao", "sr50", "sr75", "fps", "latency_p50_ms")
_FORMATS = (".3f",) * 5 + (".1f",) * 2


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A sequence's measures, and the times of its frames but the first, (frames - 1,) seconds."""

    measures: Measures
    times_s: npt.NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Report:
    """What one tracker did on some sequences, and why it failed on others.

    ``limit`` is how many of each sequence's frames were taken at most.
    """

    tracker: str
    names: Sequence[str]
    limit: int | None = None
    measured: dict[str, Measured] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def head(self) -> str:
        """Return the table's first line."""
        return _line(self.tracker, _HEAD, self._width)

    def row(self, name: str) -> str:
        """Return a sequence's line."""
        if name in self.failed:
            return f"{name:{self._width}}  failed: {self.failed[name]}"
        one = self.measured[name]
        return _line(name, _cells(len(one.times_s) + 1, one.measures, one.times_s), self._width)

    def foot(self) -> str:
        """Return the last lines: the mean over sequences, and over all frames."""
        ao, sr50, sr75 = (_cell(_number(figure), ".3f") for figure in self._pooled())
        lines = [
            _line("mean of sequences", _cells(self._frames, self._overall(), self._times_s()), self._width),
            _line("all frames", ("", "", "", ao, sr50, sr75, "", ""), self._width),
        ]
        if self.failed:
            lines.append(f"without {len(self.failed)} of {len(self.names)} sequences that failed")
        return "\n".join(lines)

    def as_json(self) -> str:
        """Return all of it as JSON; what could not be measured is null."""
        content = {
            "tracker": self.tracker,
            "limit": self.limit,
            "sequences": {
                name: _entry(len(one.times_s) + 1, one.measures, one.times_s)
                for name, one in self.measured.items()
            },
            "overall": _entry(self._frames, self._overall(), self._times_s()),
            "all_frames": dict(zip(("ao", "sr50", "sr75"), map(_number, self._pooled()), strict=True)),
            "failed": self.failed,
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @property
    def _width(self) -> int:
        return max(map(len, (*self.names, self.tracker, "mean of sequences")))

    @property
    def _frames(self) -> int:
        return sum(len(one.times_s) + 1 for one in self.measured.values())

    def _overall(self) -> Measures:
        return mean([one.measures for one in self.measured.values()])

    def _pooled(self) -> tuple[float, float, float]:
        return pool([one.measures for one in self.measured.values()])

    def _times_s(self) -> npt.NDArray[np.float64]:
        return np.concatenate([np.empty(0), *(one.times_s for one in self.measured.values())])


@dataclass(frozen=True, slots=True)
class Standing:
    """One tracker among others, read from its report: what it did overall.

    ``frames`` says how many frames of which sequences: only those with the same can be compared.
    """

    tracker: str
    frames: Mapping[str, int]
    figures: Mapping[str, float]
    success: Sequence[float]
    precision: Sequence[float]

    @classmethod
    def of(cls, text: str) -> Standing | None:
        """Read a report; None where it is of another kind, or where nothing was measured."""
        try:
            content = json.loads(text)
            overall = content["overall"]
            return cls(
                tracker=str(content["tracker"]),
                frames={name: int(one["frames"]) for name, one in content["sequences"].items()},
                figures={key: float(overall[key]) for key in _FIGURES},
                success=[float(share) for share in overall["success"]],
                precision=[float(share) for share in overall["precision"]],
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def comparison(standings: Iterable[Standing]) -> str:
    """Return the table of several trackers on the same frames, the best AO first."""
    ranked = sorted(standings, key=lambda one: -one.figures["ao"])
    width = max(map(len, ("tracker", *(one.tracker for one in ranked))))
    count = sum(ranked[0].frames.values())
    lines = [_line("tracker", _HEAD, width)]
    for one in ranked:
        figures = (_cell(one.figures[key], form) for key, form in zip(_FIGURES, _FORMATS, strict=True))
        lines.append(_line(one.tracker, (str(count), *figures), width))
    return "\n".join(lines)


def _line(name: str, cells: Iterable[str], width: int) -> str:
    columns = (f"{cell:>{size}}" for cell, size in zip(cells, _WIDTHS, strict=True))
    return f"{name:{width}}{''.join(columns)}".rstrip()


def _cells(frames: int, measures: Measures, times_s: npt.NDArray[np.float64]) -> list[str]:
    entry = _entry(frames, measures, times_s)
    return [str(frames), *(_cell(entry[key], form) for key, form in zip(_FIGURES, _FORMATS, strict=True))]


def _cell(figure: float | None, form: str) -> str:
    return "-" if figure is None else f"{figure:{form}}"


def _entry(frames: int, measures: Measures, times_s: npt.NDArray[np.float64]) -> dict[str, Any]:
    has_times = len(times_s) > 0
    return {
        "frames": frames,
        "auc": _number(measures.auc),
        "precision_20px": _number(measures.precision_20px),
        "ao": _number(measures.ao),
        "sr50": _number(measures.sr50),
        "sr75": _number(measures.sr75),
        "fps": _number(len(times_s) / times_s.sum()) if has_times else None,
        "latency_p50_ms": _number(np.median(times_s) * 1000) if has_times else None,
        "success": [_number(share) for share in measures.success],
        "precision": [_number(share) for share in measures.precision],
    }


def _number(figure: float) -> float | None:
    return None if np.isnan(figure) else float(figure)
