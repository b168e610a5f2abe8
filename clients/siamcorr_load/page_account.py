"""The parts of a run's page that tell what the server counted itself, and how the repeats differ."""

from __future__ import annotations

from siamcorr_load.page_chart import Axis, Chart, zero_axis
from siamcorr_load.page_parts import section, table
from siamcorr_load.report_units import bytes_text, count_text, share_text, time_text
from siamcorr_load.results import Run

__all__ = ["account_parts", "repeats_parts"]


def account_parts(run: Run) -> list[str]:
    """Return the server's own account, if there is one."""
    account = run.account
    if account is None:
        return []
    rows = [
        ("answers a second", count_text(run.throughput_per_s), count_text(account.answers_per_s)),
        ("mean time of a request", time_text(run.service_time.mean_s), _time(account.request_s)),
        *(
            (
                f"rejected: {reason}",
                count_text(run.rejects.get(reason, 0)),
                count_text(account.rejects.get(reason, 0)),
            )
            for reason in sorted(run.rejects.keys() | account.rejects.keys())
        ),
        *((f"mean of {stage}", "", time_text(seconds)) for stage, seconds in account.stages_s.items()),
        ("pairs in a launch, mean", "", count_text(round(account.pairs_of_launch, 1))),
        ("resident memory", "", bytes_text(account.resident_bytes)),
    ]
    if account.device_bytes is not None:
        rows.append(("memory on the device", "", bytes_text(account.device_bytes)))
    told = section(
        "By the server's own account",
        f"From its metrics, over {time_text(account.seconds)}. There a request takes no time on the way.",
        table(("", "here", "the server"), rows),
    )
    return [f'<div class="pair">{_launches(run)}{told}</div>']


def _launches(run: Run) -> str:
    launches = run.account.launches if run.account is not None else {}
    total = sum(launches.values())
    if not total:
        return section("Launches by size", "There were none.")
    bounds = list(launches)
    last = max(place for place, bound in enumerate(bounds) if launches[bound])
    values, below = [], 0.0
    for bound in bounds[: last + 1]:
        name = bound if float(bound) - below <= 1 else f"{below + 1:g}-{bound}".replace("-inf", "+")
        share = launches[bound] / total
        values.append((name, 100 * share, f"{name} pairs: {count_text(launches[bound])} launches"))
        below = float(bound)
    chart = Chart(
        "Launches by their size",
        Axis("pairs in a launch", 0, 1, ()),
        zero_axis("share of launches", [share for _, share, _ in values], " %"),
        (),
        width=520,
        height=260,
    )
    return section(
        "Launches by size",
        f"Of {count_text(total)} launches of correlations, as the server counted them.",
        f"<figure>{chart.bars_svg(values, 's5')}</figure>",
    )


def repeats_parts(run: Run) -> list[str]:
    """Return how the repeats differ, if there are several."""
    if not run.intervals:
        return []
    rows: list[tuple[str, ...]] = [
        (
            str(number),
            count_text(one.throughput_per_s),
            time_text(one.p50_s),
            time_text(one.p99_s),
            share_text(one.on_time_rate),
        )
        for number, one in enumerate(run.repeats, 1)
    ]
    texts = {"throughput_per_s": count_text, "p50_s": time_text, "p99_s": time_text}
    spans = [
        f"{texts[key](run.intervals[key].low)} to {texts[key](run.intervals[key].high)}" for key in texts
    ]
    rows.append(("95 times in 100 the mean is", *spans, ""))
    head = ("repeat", "answers/s", "p50", "p99", "on time")
    return [section("Repeats", "The same load, one after the other.", table(head, rows))]


def _time(seconds: float | None) -> str:
    return "not known" if seconds is None else time_text(seconds)
