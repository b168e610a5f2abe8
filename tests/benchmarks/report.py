"""What becomes of the rows: lines of a table, a JSON file, and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.timing import Row

__all__ = ["as_json", "draw", "line", "write"]

OK, MISSED, INK, FAINT = "#2a7f62", "#c8553d", "#222222", "#777777"


def line(row: Row) -> str:
    """Return a row of the table."""
    verdict = "ok" if row.passed else "MISSED"
    return f"{row.case:3}{row.what:58}{row.ratio:9.2f}x  >= {row.at_least:<6.3g}{verdict:8}{row.note}"


def as_json(row: Row, machine: str) -> dict[str, object]:
    """Return what the JSON file says of a row."""
    figures = {"ratio": row.ratio, "at_least": row.at_least, "passed": row.passed}
    return {"case": row.case, "what": row.what, **figures, "note": row.note, "machine": machine}


def write(rows: Sequence[Row], machine: str, path: Path) -> None:
    """Write ``path``, a list of rows in JSON, and beside it a plot of the same name, in PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([as_json(row, machine) for row in rows], indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")
    draw(rows, machine, path.with_suffix(".png"))


def draw(rows: Sequence[Row], machine: str, path: Path) -> None:
    """Draw a bar for each row, from what it has to reach to what it does: to the right is enough."""
    figure = Figure(figsize=(10.5, 1.3 + 0.31 * len(rows)), dpi=150, layout="constrained")
    axes = figure.subplots()
    shares = [row.ratio / row.at_least for row in rows]
    places = range(len(rows))
    colours = [OK if row.passed else MISSED for row in rows]
    axes.barh(places, [share - 1 for share in shares], left=1, color=colours, height=0.6)
    for place, row, colour in zip(places, rows, colours, strict=True):
        found = f"{row.ratio:.3g}x  (≥ {row.at_least:.3g}x)"
        axes.annotate(
            found,
            (1, place),
            (8, 0),
            axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
        )
    axes.set_yticks(places, [f"{row.what}   {row.case}" for row in rows])
    axes.set_xscale("log", base=2)
    axes.set_xlim(min([*shares, 0.5]) / 1.1, max([*shares, 2.0]) * 1.1)
    axes.set_ylim(len(rows) - 0.3, -0.7)
    _dress(axes)
    figure.supxlabel(machine, fontsize=7, color=FAINT)
    figure.savefig(path)


def _dress(axes: Axes) -> None:
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_title("Measured ratio over the least that will do (log scale)", fontsize=10, color=INK)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
