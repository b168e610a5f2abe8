"""The parts of the page that tell of one run."""

from __future__ import annotations

import math

from siamcorr_load.page_account import account_parts, repeats_parts
from siamcorr_load.page_chart import Axis, Chart, Line, share_bar, zero_axis
from siamcorr_load.page_parts import by_nines, facts, legend, ms_axis, nines_axis, section, table, tiles
from siamcorr_load.report import PERCENTILES, STAGES
from siamcorr_load.report_units import bytes_text, count_text, share_text, time_text
from siamcorr_load.results import Run

__all__ = ["run_parts"]


def run_parts(run: Run) -> list[str]:
    """Return the sections that tell of a run, from its figures down to its settings."""
    return [
        tiles(_figures(run)),
        _percentiles(run),
        f'<div class="pair">{_throughput_over_time(run)}{_latency_over_time(run)}</div>',
        f'<div class="pair">{_batches(run)}{_stages(run)}</div>',
        *account_parts(run),
        *repeats_parts(run),
        f'<div class="pair">{_times(run)}{_counts(run)}</div>',
        f'<div class="pair">{facts("Settings", "", run.settings)}{facts("Machine", "", run.machine)}</div>',
    ]


def _figures(run: Run) -> list[tuple[str, str]]:
    return [
        (count_text(run.target_updates_per_s), "target updates a second"),
        (count_text(run.throughput_per_s), "answers a second"),
        (share_text(run.on_time_rate), f"on time, within {time_text(run.period_s)}"),
        *(
            (time_text(getattr(run.latency, f"{key}_s")), f"latency {name}")
            for name, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"), ("max", "max"))
        ),
    ]


def _percentiles(run: Run) -> str:
    series = (("latency", "s1", run.latency), ("service time", "s2", run.service_time))
    lines = [Line(name, style, by_nines(times)) for name, style, times in series]
    chart = Chart(
        "Latency and service time by percentile",
        nines_axis([x for line in lines for x, _ in line.points]),
        ms_axis("time, log scale", [*(y for line in lines for _, y in line.points), run.period_s]),
        lines,
        rules=[(run.period_s, f"frame period {time_text(run.period_s)}")],
        width=1060,
    )
    return section(
        "Latency by percentile",
        "Latency counts from when a request was due, service time from when it was sent. Where they part, "
        "requests had to wait for the server before they could be sent.",
        f"<figure>{chart.svg()}</figure>",
        legend("latency", "service time"),
    )


def _throughput_over_time(run: Run) -> str:
    rates = [window.throughput_per_s for window in run.windows]
    chart = Chart(
        "Answers a second in each window",
        Axis("window", 0, 1, ()),
        zero_axis("answers a second", rates),
        (),
        width=520,
        height=260,
    )
    values = [
        (str(number), rate, f"window {number}: {count_text(rate)}/s") for number, rate in enumerate(rates, 1)
    ]
    return section(
        "Throughput over the run", "Answers a second.", f"<figure>{chart.bars_svg(values, 's3')}</figure>"
    )


def _latency_over_time(run: Run) -> str:
    lines = []
    for style, name, key in (("s1", "p50", "p50_s"), ("s2", "p99", "p99_s"), ("s4", "max", "max_s")):
        points = [(float(number), getattr(window, key)) for number, window in enumerate(run.windows, 1)]
        tips = [f"window {number:.0f}: {name} {time_text(seconds)}" for number, seconds in points]
        lines.append(Line(name, style, points, tips))
    count = len(run.windows)
    every = max(1, math.ceil(count / 12))
    chart = Chart(
        "Latency in each window",
        Axis("window", 0.5, count + 0.5, [(number, str(number)) for number in range(1, count + 1, every)]),
        ms_axis("latency, log scale", [*(y for line in lines for _, y in line.points), run.period_s]),
        lines,
        rules=[(run.period_s, "frame period")],
        width=520,
        height=260,
    )
    named = legend("p50", "p99").replace("</div>", '<span><i class="s4"></i>max</span></div>')
    return section(
        "Latency over the run", "Of the answers due in each window.", f"<figure>{chart.svg()}</figure>", named
    )


def _batches(run: Run) -> str:
    total = sum(run.batch_sizes.values())
    if not total:
        return section("Batch sizes", "The server did not tell.")
    shares = [(size, count / total) for size, count in sorted(run.batch_sizes.items())]
    chart = Chart(
        "Share of answers by the size of their batch",
        Axis("pairs in the launch that gave the answer", 0, 1, ()),
        zero_axis("share of answers", [100 * share for _, share in shares], " %"),
        (),
        width=520,
        height=260,
    )
    values = [
        (str(size), 100 * share, f"{size} pairs: {share_text(share)} of answers") for size, share in shares
    ]
    return section(
        "Batch sizes",
        "As the server tells with each answer.",
        f"<figure>{chart.bars_svg(values, 's1')}</figure>",
    )


def _stages(run: Run) -> str:
    parts = [(name, getattr(run.stages, key)) for name, key in STAGES]
    whole = sum(seconds for _, seconds in parts)
    if not whole:
        return section("Where the time went", "The server did not tell.")
    bar = share_bar(
        "Stages in the server", [(name, s, f"{name}: {time_text(s)}") for name, s in parts], width=520
    )
    rows = [(name, time_text(seconds), share_text(seconds / whole)) for name, seconds in parts]
    rest = run.service_time.mean_s - whole
    rows += [
        ("in the server", time_text(whole), ""),
        ("transport and the client", time_text(max(rest, 0.0)), ""),
    ]
    return section(
        "Where the time went",
        "Mean of each answer's stages in the server.",
        f"<figure>{bar}</figure>",
        legend(*(name for name, _ in parts)),
        table(("stage", "mean", "share"), rows),
    )


def _times(run: Run) -> str:
    rows = [
        (name, time_text(getattr(run.latency, key)), time_text(getattr(run.service_time, key)))
        for name, key in PERCENTILES
    ]
    return section(
        "Times", f"Of {count_text(run.latency.count)} answers.", table(("", "latency", "service time"), rows)
    )


def _counts(run: Run) -> str:
    rows = [
        ("requests due", count_text(run.sent)),
        ("answered", count_text(run.ok)),
        *((f"rejected: {code}", count_text(count)) for code, count in sorted(run.rejects.items())),
        *((f"error: {code}", count_text(count)) for code, count in sorted(run.errors.items())),
        ("sent late by the generator", count_text(run.late_sends)),
        ("frames dropped by the generator", count_text(run.dropped_frames)),
        ("answers checked", count_text(run.checked)),
        ("wrong answers", count_text(run.wrong_answers)),
        ("memory of the generators", bytes_text(run.memory.own_bytes)),
        ("memory of the server", bytes_text(run.server_bytes)),
    ]
    return section(
        "Counts",
        f"In {time_text(run.duration_s)}, after {time_text(run.warm_up_s)} of warm-up.",
        table((), rows),
    )
