"""The parts of the page that tell of two runs side by side."""

from __future__ import annotations

import html
import math

from siamcorr_load.page_chart import Chart, Line
from siamcorr_load.page_parts import by_nines, facts, legend, ms_axis, nines_axis, section, table, tiles
from siamcorr_load.report_units import change_text, count_text, value_text
from siamcorr_load.results import Comparison, ComparisonRow, Run

__all__ = ["comparison_parts"]

_ROW, _LEFT, _WIDTH, _TOP, _BOTTOM = 44, 170, 1060, 14, 34


def comparison_parts(comparison: Comparison, a: Run, b: Run) -> list[str]:
    """Return the sections of the page."""
    return [
        tiles(_figures(comparison, a, b)),
        _changes(comparison),
        _percentiles(a, b),
        _table(comparison),
        facts("Settings", "Of the first run.", a.settings),
    ]


def _figures(comparison: Comparison, a: Run, b: Run) -> list[tuple[str, str]]:
    shown = ("answers a second", "latency p50", "latency p99", "on time")
    rows = {row.name: row for row in comparison.rows}
    figures = [(change_text(rows[name].change), name) for name in shown if name in rows]
    figures.append((f"{len(a.repeats)} + {len(b.repeats)}", "repeats"))
    figures.append((count_text(a.ok + b.ok), "answers in all"))
    return figures


def _changes(comparison: Comparison) -> str:
    """Draw each change as a dot, and what chance alone does as a bar around no change."""
    rows = comparison.rows
    most = max([0.02, *(abs(row.change) for row in rows), *(min(row.noise, 1.0) for row in rows)]) * 1.1
    height = _TOP + _ROW * len(rows) + _BOTTOM
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Changes and their noise">']
    step = _step(most)
    for number in range(-int(most / step), int(most / step) + 1):
        x = _place(number * step, most)
        kind = "axis" if number == 0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{height - _BOTTOM}"/>'
            f'<text class="tick" x="{x:.1f}" y="{height - 12}" text-anchor="middle">'
            f"{change_text(number * step)}</text>"
        )
    for number, row in enumerate(rows):
        parts.append(_change(row, _TOP + (number + 0.5) * _ROW, most))
    figure = f"<figure>{''.join(parts)}</svg></figure>"
    caption = "From the first to the second. A change within the grey bar is what chance alone makes."
    kinds = (("good-dot", "better"), ("bad-dot", "worse"), ("same-dot", "no difference"))
    each = "".join(f'<span><i class="{kind}"></i>{name}</span>' for kind, name in kinds)
    named = f'<div class="legend">{each}</div>'
    return section("What changed", caption, figure, named)


def _change(row: ComparisonRow, y: float, most: float) -> str:
    left, right = _place(-row.noise, most), _place(row.noise, most)
    tip = f"{row.name}: {change_text(row.change)}, noise ±{100 * row.noise:.1f} %, {row.verdict}"
    kind = {"better": "good-dot", "worse": "bad-dot"}.get(row.verdict, "same-dot")
    return (
        f'<text class="name" x="{_LEFT - 16}" y="{y + 4:.1f}" text-anchor="end">'
        f"{html.escape(row.name)}</text>"
        f'<rect class="noise" x="{left:.1f}" y="{y - 9:.1f}" width="{right - left:.1f}" height="18" rx="9"/>'
        f'<circle class="{kind}" cx="{_place(row.change, most):.1f}" cy="{y:.1f}" r="7">'
        f"<title>{html.escape(tip)}</title></circle>"
    )


def _place(change: float, most: float) -> float:
    share = min(max(change / most, -1.0), 1.0)
    return _LEFT + (0.5 + 0.5 * share) * (_WIDTH - _LEFT - 30)


def _step(most: float) -> float:
    power = 10.0 ** math.floor(math.log10(most / 4))
    return power * next(one for one in (1, 2, 5, 10) if one * power >= most / 4)


def _percentiles(a: Run, b: Run) -> str:
    lines = [
        Line(name, style, by_nines(run.latency)) for name, style, run in (("a", "s1", a), ("b", "s2", b))
    ]
    seconds = [y for line in lines for _, y in line.points]
    x = nines_axis([x for line in lines for x, _ in line.points])
    chart = Chart("Latency by percentile", x, ms_axis("time, log scale", seconds), lines, width=1060)
    return section(
        "Latency by percentile",
        "From when a request was due.",
        f"<figure>{chart.svg()}</figure>",
        legend("the first", "the second"),
    )


def _table(comparison: Comparison) -> str:
    rows = [
        (
            row.name,
            value_text(row.name, row.a),
            value_text(row.name, row.b),
            change_text(row.change),
            f"±{100 * row.noise:.1f} %",
            row.verdict,
        )
        for row in comparison.rows
    ]
    head = ("", "first", "second", "change", "noise", "")
    caption = (
        "Of runs made in turns a change is the mean over the pairs of turns, not that of the two figures."
    )
    return section("In figures", caption, table(head, rows, words=frozenset({5})))
