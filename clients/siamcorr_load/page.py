"""One HTML page that shows a result: it needs no other file and no network, and holds the result's JSON.

Rules:

- Every number is made of the result's own by ``report_units``, as on the terminal.
- All text that came from outside, such as settings and reasons, is escaped.
- The JSON stands in the element with the id ``result``: ``result_of(page)`` reads it back.

Rejected: a plotting library. Its pictures carry no tooltips, do not follow a dark theme, and it would be the
heaviest thing that the harness needs.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from statistics import median

from siamcorr_load.compare import MIXED, NO_DIFFERENCE, exit_code
from siamcorr_load.page_chart import Chart, Line, zero_axis
from siamcorr_load.page_compare import comparison_parts
from siamcorr_load.page_parts import legend, ms_axis, section, table, tiles
from siamcorr_load.page_run import run_parts
from siamcorr_load.page_style import STYLE
from siamcorr_load.report import outcome_text, windows_text
from siamcorr_load.report_units import count_text, share_text, time_text
from siamcorr_load.result_json import to_json
from siamcorr_load.results import INVALID, Capacity, CapacityPoint, Comparison, Json, Run, Verdict
from siamcorr_load.windows import ON_TIME, decides

__all__ = ["comparison_page", "page", "result_of"]

_OPENS, _CLOSES = '<script type="application/json" id="result">', "</script>"


def page(result: Run | Capacity) -> str:
    """Return the page of a run or of a search for the capacity."""
    if isinstance(result, Run):
        title = _title(f"{count_text(result.target_updates_per_s)} target updates a second", result.verdict)
        head = _head(title, _badge(result.verdict), _when(result), result.verdict)
        return _page(result, title, [head, *run_parts(result)])
    fps = count_text(1 / result.period_s)
    title = _title(f"{count_text(result.answer or 0)} targets at {fps} fps", result.verdict)
    shown = _shown(result)
    parts = [_head(title, _badge(result.verdict), _when(shown.run), result.verdict)]
    parts += [tiles(_figures(result, shown)), _curve(result), _tried(result)]
    heading = f"The run with {count_text(shown.targets)} targets, in full"
    parts += [_head(heading, "", "", shown.run.verdict), *run_parts(shown.run)]
    return _page(result, title, parts)


def comparison_page(comparison: Comparison, a: Run, b: Run) -> str:
    """Return the page of a comparison, and of the runs that were compared."""
    titles = {
        NO_DIFFERENCE: "No difference",
        MIXED: "Better and worse",
        INVALID: "Not to be believed: cut short",
    }
    title = titles.get(comparison.verdict, f"The second run is {comparison.verdict}")
    when = f"{a.settings.get('server')}, {a.started}, and {b.settings.get('server')}, {b.started}"
    kind = "bad" if exit_code(comparison) else "good"
    badge = f'<span class="verdict {kind}">{html.escape(comparison.verdict)}</span>'
    head = _head(title, badge, f"siamcorr-load: {when}", Verdict(notes=comparison.warnings))
    return _page(comparison, title, [head, *comparison_parts(comparison, a, b)])


def result_of(text: str) -> Json:
    """Return the JSON that a page holds, as :mod:`json` reads it.

    Raises:
        ValueError: the text is no such page.
    """
    start = text.index(_OPENS) + len(_OPENS)
    return json.loads(text[start : text.index(_CLOSES, start)])


def _page(result: Run | Capacity | Comparison, title: str, parts: Sequence[str]) -> str:
    held = to_json(result).replace("<", "\\u003c")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)} - siamcorr-load</title><style>{STYLE}</style></head><body><main>",
            *parts,
            f"</main>{_OPENS}{held}{_CLOSES}</body></html>",
            "",
        ]
    )


def _head(title: str, badge: str, when: str, verdict: Verdict) -> str:
    under = f'<p class="soft wide">{html.escape(when)}</p>' if when else ""
    said = _list(verdict.reasons, "bad") + _list(verdict.notes, "soft")
    return f"<header><h1>{html.escape(title)}</h1>{badge}{under}{said}</header>"


def _badge(verdict: Verdict) -> str:
    return f'<span class="verdict {"good" if verdict.is_valid else "bad"}">{verdict.status}</span>'


def _list(sentences: Sequence[str], kind: str) -> str:
    each = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="wide {kind}">{each}</ul>' if each else ""


def _title(figure: str, verdict: Verdict) -> str:
    """Return a heading: a figure that nobody should quote does not stand first in it."""
    return figure if verdict.is_valid else f"Not to be believed: {figure}"


def _when(run: Run) -> str:
    server = run.settings.get("server")
    return f"siamcorr-load against {server or 'a server'}, {run.started}"


def _shown(capacity: Capacity) -> CapacityPoint:
    """Return the run to show in full: nearest to the answer, agreeing with it, with windows that count."""
    answer = capacity.answer or 0

    def worth(point: CapacityPoint) -> tuple[int, bool, int]:
        agrees = point.carried == (point.targets <= answer)
        spoilt = len(point.run.windows) - decides(point.run.windows, point.run.period_s)
        return -abs(point.targets - answer), agrees, -spoilt

    return max(capacity.points, key=worth)


def _figures(capacity: Capacity, shown: CapacityPoint) -> list[tuple[str, str]]:
    run = shown.run
    there = [one for point in capacity.points if point.targets == shown.targets for one in point.run.windows]
    return [
        (count_text(capacity.answer or 0), f"targets within {time_text(capacity.period_s)}"),
        (count_text(run.target_updates_per_s), f"updates a second with {count_text(shown.targets)}"),
        (time_text(run.latency.p50_s), f"latency p50 with {count_text(shown.targets)}"),
        (time_text(run.latency.p99_s), f"latency p99 with {count_text(shown.targets)}"),
        (windows_text(there, capacity.period_s), f"windows in time with {count_text(shown.targets)}"),
        (_span_text(capacity), "the limit, nine times in ten"),
    ]


def _span_text(capacity: Capacity) -> str:
    return "-" if capacity.low is None else f"{capacity.low} to {capacity.high}"


def _curve(capacity: Capacity) -> str:
    points = sorted(capacity.points, key=lambda point: point.targets)
    lines = [line for name, style in (("p50", "s1"), ("p99", "s2")) for line in _lines(points, name, style)]
    answer = capacity.answer
    chart = Chart(
        "Latency by number of targets",
        zero_axis("targets", [float(point.targets) for point in points], ticks=10),
        ms_axis("latency, log scale", [*(y for line in lines for _, y in line.points), capacity.period_s]),
        lines,
        rules=[(capacity.period_s, f"frame period {time_text(capacity.period_s)}")],
        bands=[] if capacity.low is None or capacity.high is None else [(capacity.low, capacity.high + 1.0)],
        marks=[] if answer is None else [(float(answer), f"capacity {count_text(answer)}")],
        width=1060,
        height=380,
    )
    return section(
        "Latency against load",
        f"A point is a trial, the line their median. Filled: carried, with p99 within the frame period and "
        f"{100 * ON_TIME:g} % on time in most windows; empty: not carried. Nine times in ten the limit lies "
        "in the green.",
        f"<figure>{chart.svg()}</figure>",
        legend("p50", "p99"),
    )


def _lines(points: Sequence[CapacityPoint], name: str, style: str) -> list[Line]:
    """Return each run as a dot, and a line through the median of each load's runs."""
    loads: dict[float, list[float]] = {}
    dots, tips = [], []
    for point in points:
        seconds = float(getattr(point.run.latency, f"{name}_s"))
        loads.setdefault(float(point.targets), []).append(seconds)
        dots.append((float(point.targets), seconds))
        on_time = share_text(point.run.on_time_rate)
        tips.append(f"{count_text(point.targets)} targets: {name} {time_text(seconds)}, {on_time} on time")
    hollow = frozenset(number for number, point in enumerate(points) if not point.carried)
    medians = [(targets, median(seconds)) for targets, seconds in loads.items()]
    return [Line(name, style, medians), Line(name, style, dots, tips, hollow, is_joined=False)]


def _tried(capacity: Capacity) -> str:
    rows = [
        (
            count_text(point.targets),
            count_text(point.run.target_updates_per_s),
            time_text(point.run.latency.p50_s),
            time_text(point.run.latency.p99_s),
            share_text(point.run.on_time_rate),
            count_text(point.run.late_sends),
            windows_text(point.run.windows, point.run.period_s),
            outcome_text(point),
        )
        for point in capacity.points
    ]
    head = ("targets", "updates/s", "p50", "p99", "on time", "late sends", "windows in time", "")
    caption = "In the order in which they were made. Windows that the machine spoilt do not count."
    return section("Trials", caption, table(head, rows, words=frozenset({7})))
