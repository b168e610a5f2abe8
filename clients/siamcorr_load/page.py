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

from siamcorr_load.capacity import ON_TIME
from siamcorr_load.page_chart import Chart, Line, zero_axis
from siamcorr_load.page_run import legend, ms_axis, run_parts, section, table, tiles
from siamcorr_load.page_style import STYLE
from siamcorr_load.report_units import count_text, share_text, time_text
from siamcorr_load.results import Capacity, CapacityPoint, Json, Run, Verdict, to_json

__all__ = ["page", "result_of"]

_OPENS, _CLOSES = '<script type="application/json" id="result">', "</script>"


def page(result: Run | Capacity) -> str:
    """Return the page of a run or of a search for the capacity."""
    if isinstance(result, Run):
        return _page(result, _run_title(result), _when(result), result.verdict, run_parts(result))
    fps = count_text(1 / result.period_s)
    title = f"{count_text(result.answer or 0)} targets at {fps} fps"
    shown = _shown(result)
    parts = [tiles(_figures(result, shown)), _curve(result), _tried(result)]
    heading = f"The run with {count_text(shown.targets)} targets, in full"
    parts += [f"<header><h1>{heading}</h1>{_reasons(shown.run.verdict)}</header>", *run_parts(shown.run)]
    return _page(result, title, _when(shown.run), result.verdict, parts)


def result_of(text: str) -> Json:
    """Return the JSON that a page holds, as :mod:`json` reads it.

    Raises:
        ValueError: the text is no such page.
    """
    start = text.index(_OPENS) + len(_OPENS)
    return json.loads(text[start : text.index(_CLOSES, start)])


def _page(result: Run | Capacity, title: str, when: str, verdict: Verdict, parts: Sequence[str]) -> str:
    held = to_json(result).replace("<", "\\u003c")
    kind = "good" if verdict.is_valid else "bad"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)} - siamcorr-load</title><style>{STYLE}</style></head><body><main>",
            f'<header><h1>{html.escape(title)}</h1><span class="verdict {kind}">{verdict.status}</span>',
            f'<p class="soft wide">{html.escape(when)}</p>',
            _reasons(verdict),
            "</header>",
            *parts,
            f"</main>{_OPENS}{held}{_CLOSES}</body></html>",
            "",
        ]
    )


def _reasons(verdict: Verdict) -> str:
    each = "".join(f"<li>{html.escape(reason)}</li>" for reason in verdict.reasons)
    return f'<ul class="wide bad">{each}</ul>' if each else ""


def _run_title(run: Run) -> str:
    return f"{count_text(run.target_updates_per_s)} target updates a second"


def _when(run: Run) -> str:
    server = run.settings.get("server")
    return f"siamcorr-load against {server or 'a server'}, {run.started}"


def _shown(capacity: Capacity) -> CapacityPoint:
    """Return the run to show in full: the last one of the answer that was carried, or the last of all."""
    of_answer = [point for point in capacity.points if point.targets == capacity.answer and point.carried]
    return (of_answer or list(capacity.points))[-1]


def _figures(capacity: Capacity, shown: CapacityPoint) -> list[tuple[str, str]]:
    run = shown.run
    return [
        (count_text(capacity.answer or 0), f"targets within {time_text(capacity.period_s)}"),
        (count_text(run.target_updates_per_s), "target updates a second"),
        (time_text(run.latency.p50_s), "latency p50 at that load"),
        (time_text(run.latency.p99_s), "latency p99"),
        (share_text(run.on_time_rate), "on time"),
        (str(len(capacity.points)), "runs to find it"),
    ]


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
        marks=[] if answer is None else [(float(answer), f"capacity {count_text(answer)}")],
        width=1060,
        height=380,
    )
    return section(
        "Latency against load",
        f"A point is a run, the line their median. Filled: carried, with p99 within the frame period "
        f"and {100 * ON_TIME:g} % on time; empty: not carried.",
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
            "carried" if point.carried else "not carried",
        )
        for point in capacity.points
    ]
    head = ("targets", "updates/s", "p50", "p99", "on time", "late sends", "")
    caption = "In the order in which they were made."
    return section("Runs", caption, table(head, rows, words=frozenset({6})))
