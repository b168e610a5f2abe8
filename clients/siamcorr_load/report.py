"""What a load test found, as text for the terminal.

``run_text``, ``capacity_text`` and ``comparison_text`` each return lines to print, without the last newline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from siamcorr_load.account import Account
from siamcorr_load.capacity_doubts import generator_was_late
from siamcorr_load.report_units import bytes_text, change_text, count_text, share_text, time_text, value_text
from siamcorr_load.results import Capacity, CapacityPoint, Comparison, Run, Verdict, Window
from siamcorr_load.soundness import Aftermath
from siamcorr_load.windows import decides, is_in_time, proves

__all__ = [
    "PERCENTILES",
    "STAGES",
    "aftermath_text",
    "capacity_text",
    "comparison_text",
    "outcome_text",
    "point_text",
    "run_text",
    "verdict_text",
    "windows_text",
]

PERCENTILES = (
    ("p50", "p50_s"),
    ("p90", "p90_s"),
    ("p95", "p95_s"),
    ("p99", "p99_s"),
    ("p99.9", "p999_s"),
    ("p99.99", "p9999_s"),
    ("max", "max_s"),
    ("mean", "mean_s"),
)
"""How a distribution's figures are called, and their fields."""

STAGES = (
    ("prepare", "prepare_s"),
    ("queue", "queue_s"),
    ("embed", "embed_s"),
    ("compute", "compute_s"),
    ("copy", "copy_s"),
)
"""A request's stages in the server, in order, and their fields."""


def run_text(run: Run) -> str:
    """Write one run: what it was like, how fast the answers came, and what went wrong."""
    period = time_text(run.period_s)
    facts = [
        ("throughput", f"{count_text(run.throughput_per_s)} answers/s"),
        ("", f"{count_text(run.target_updates_per_s)} target updates/s"),
        ("on time", f"{share_text(run.on_time_rate)} of {count_text(run.sent)} within {period}"),
        ("rejected", _codes(run.rejects)),
        ("errors", _codes(run.errors)),
        ("late sends", f"{count_text(run.late_sends)}, by the generator itself"),
        ("dropped", f"{count_text(run.dropped_frames)} frames"),
        ("checked", f"{count_text(run.checked)} answers, {count_text(run.wrong_answers)} wrong"),
        ("batches", _batches(run.batch_sizes)),
        ("stages", ", ".join(f"{name} {time_text(getattr(run.stages, key))}" for name, key in STAGES)),
        *_repeats(run),
        *_account(run.account),
        ("machine", _machine(run)),
        ("memory", f"generators {_memory(run)[0]}, server {_memory(run)[1]}"),
    ]
    times = [("", "latency", "service time")]
    for name, key in PERCENTILES:
        times.append((name, time_text(getattr(run.latency, key)), time_text(getattr(run.service_time, key))))
    measured = f"{time_text(run.duration_s)} in {len(run.windows)} windows"
    head = f"{measured}, after {time_text(run.warm_up_s)} of warm-up"
    lines = [head, "", *_table(times), "", *(f"{name:12}{fact}".rstrip() for name, fact in facts)]
    return "\n".join([*lines, "", verdict_text(run.verdict)])


def point_text(point: CapacityPoint) -> str:
    """Write one load that was tried, as a line."""
    targets, updates, p50, p99, on_time, windows, *said = _point(point)
    figures = f"{updates} updates/s, p50 {p50}, p99 {p99}, on time {on_time}, windows in time {windows}"
    return ", ".join([f"{targets} targets: {figures}", *filter(None, said)])


def capacity_text(capacity: Capacity) -> str:
    """Write the loads that were tried, in order of their size, and the answer."""
    head = ("targets", "updates/s", "p50", "p99", "on time", "windows", "", "")
    points = sorted(capacity.points, key=lambda point: point.targets)
    fps = count_text(1 / capacity.period_s)
    if capacity.answer is None:
        is_known = capacity.verdict.is_valid
        answer = f"not one target is answered in time at {fps} fps" if is_known else "capacity: not known"
    else:
        answer = f"capacity: {count_text(capacity.answer)} targets at {fps} fps"
        if capacity.low is not None:
            answer += f"; nine times in ten the limit is {capacity.low} to {capacity.high}"
    return "\n".join(
        [*_table([head, *map(_point, points)], words=2), "", answer, verdict_text(capacity.verdict)]
    )


def comparison_text(comparison: Comparison) -> str:
    """Write two runs side by side, and what became better or worse."""
    rows: list[Sequence[str]] = [("", "before", "after", "change", "noise", "")]
    for row in comparison.rows:
        values = (value_text(row.name, row.a), value_text(row.name, row.b))
        rows.append((row.name, *values, change_text(row.change), f"±{100 * row.noise:.1f} %", row.verdict))
    warnings = [f"note: {warning}" for warning in comparison.warnings]
    return "\n".join([*_table(rows, words=1), "", *warnings, comparison.verdict])


def aftermath_text(aftermath: Aftermath) -> str:
    """Write what a server was put through, and whether it is sound."""
    return "\n".join([f"{aftermath.mode}: {aftermath.done}", *(aftermath.faults or ["the server is sound"])])


def verdict_text(verdict: Verdict) -> str:
    """Write whether the result can be believed, and why not."""
    notes = (f"  note: {note}" for note in verdict.notes)
    return "\n".join([verdict.status, *(f"  {reason}" for reason in verdict.reasons), *notes])


def windows_text(windows: Iterable[Window], period_s: float) -> str:
    """Write how many of a load's windows were in time, of those that count."""
    counted = [is_in_time(window, period_s) for window in windows if proves(window, period_s)]
    return f"{sum(counted)} of {len(counted)}"


def outcome_text(point: CapacityPoint) -> str:
    """Write what a trial has shown."""
    if not decides(point.run.windows, point.run.period_s):
        return "does not count"
    return "carried" if point.carried else "not carried"


def _point(point: CapacityPoint) -> tuple[str, ...]:
    run = point.run
    return (
        count_text(point.targets),
        count_text(run.target_updates_per_s),
        time_text(run.latency.p50_s),
        time_text(run.latency.p99_s),
        share_text(run.on_time_rate),
        windows_text(run.windows, run.period_s),
        outcome_text(point),
        f"{share_text(run.late_sends / run.sent)} sent late" if generator_was_late(point) else "",
    )


def _codes(codes: Mapping[str, int]) -> str:
    total = sum(codes.values())
    if not total:
        return "none"
    each = ", ".join(f"{count_text(count)} {code}" for code, count in sorted(codes.items()) if count)
    return f"{count_text(total)} ({each})"


def _repeats(run: Run) -> list[tuple[str, str]]:
    texts = (
        ("throughput_per_s", "answers/s", count_text),
        ("p50_s", "p50", time_text),
        ("p99_s", "p99", time_text),
    )
    each = [
        f"{name} {text(run.intervals[key].low)} to {text(run.intervals[key].high)}"
        for key, name, text in texts
        if key in run.intervals
    ]
    return [("repeats", f"{len(run.repeats)}: {', '.join(each)}, 95 times in 100")] if each else []


def _account(account: Account | None) -> list[tuple[str, str]]:
    if account is None:
        return []
    rate = f"{count_text(account.answers_per_s)} answers/s, rejected {_codes(account.rejects)}"
    launches = count_text(sum(account.launches.values()))
    return [
        ("its own", f"{rate}; by the server's metrics"),
        ("", f"{launches} launches of {count_text(round(account.pairs_of_launch, 1))} pairs on average"),
    ]


def _batches(sizes: Mapping[int, int]) -> str:
    answers = sum(sizes.values())
    if not answers:
        return "not known"
    average = sum(size * count for size, count in sizes.items()) / answers
    return f"{count_text(round(average, 1))} pairs in the launch of an average answer, {max(sizes)} at most"


def _machine(run: Run) -> str:
    facts = [f"stood still for {time_text(run.stalled_s)}"]
    if run.pace is not None:
        facts.append(f"slow for {share_text(run.pace.slow)} of the time")
    if run.others is not None:
        facts.append(f"other programs took {run.others.processors:.2f} processors")
    return ", ".join(facts)


def _memory(run: Run) -> tuple[str, str]:
    return bytes_text(run.memory.own_bytes), bytes_text(run.server_bytes)


def _table(rows: Iterable[Sequence[str]], words: int = 0) -> list[str]:
    """Align columns: the first and the last ``words`` to the left, the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [
            cell.rjust(width) if 0 < place < len(row) - words else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines
