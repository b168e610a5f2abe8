"""Success and precision as pictures, a curve for each tracker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siamcorr.errors import InvalidArgument
from siamcorr_eval.measures import PRECISION_PX, SUCCESS_OVERLAPS
from siamcorr_eval.report import Standing
from siamcorr_eval.results import make_folder

__all__ = ["draw"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#333333")
"""Told apart by the colour-blind too (Okabe and Ito)."""

_STYLES = ("-", "--", ":")

_Curve = tuple[str, Sequence[float], float]
"""A tracker, its share of frames at each threshold, and the figure that ranks it."""


def draw(standings: Sequence[Standing], out: Path) -> list[Path]:
    """Write ``success.png`` and ``precision.png``; return their paths.

    Args:
        standings: of the same frames, at least one.
        out: the folder.

    Raises:
        InvalidArgument: names ``--out``: it cannot be written.
        ModuleNotFoundError: matplotlib is not installed.
    """
    frames = standings[0].frames
    what = next(iter(frames)) if len(frames) == 1 else f"{len(frames)} sequences"
    of = f"{what}, {sum(frames.values())} frames"
    ordered = sorted(standings, key=lambda one: one.tracker)  # so that a tracker's colour is the same in both
    success = _picture(
        f"Success (AUC), {of}",
        "overlap threshold",
        SUCCESS_OVERLAPS,
        [(one.tracker, one.success, one.figures["auc"]) for one in ordered],
    )
    precision = _picture(
        f"Precision (at 20 pixels), {of}",
        "centre error threshold (pixels)",
        PRECISION_PX,
        [(one.tracker, one.precision, one.figures["precision_20px"]) for one in ordered],
    )
    precision.axes[0].axvline(20, color="#999999", linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    return [_written(success, out / "success.png"), _written(precision, out / "precision.png")]


def _picture(title: str, threshold: str, thresholds: Any, curves: Sequence[_Curve]) -> Any:
    """Return a figure of one axes with the curves, the best first in the legend."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only who draws needs it

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    lines = []
    for number, (name, shares, score) in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        style = _STYLES[number // len(_COLOURS) % len(_STYLES)]
        (line,) = axes.plot(
            thresholds, shares, style, color=colour, linewidth=1.8, label=f"{score:.3f}  {name}"
        )
        lines.append((score, line))
    ranked = [line for _, line in sorted(lines, key=lambda pair: -pair[0])]
    axes.legend(handles=ranked, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    axes.set(xlabel=threshold, ylabel="share of frames", xlim=(0, thresholds[-1]), ylim=(0, 1))
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _written(figure: Any, path: Path) -> Path:
    make_folder(path.parent)
    try:
        figure.savefig(path, dpi=160)
    except OSError as error:
        raise InvalidArgument(f"--out: {path}: {error.strerror}", field="--out") from error
    return path
