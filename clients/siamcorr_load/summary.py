"""What the repeats of a load have measured, merged into one result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from siamcorr_load.account import Reading, account_of
from siamcorr_load.intervals import intervals_of
from siamcorr_load.machine import describe
from siamcorr_load.others import most
from siamcorr_load.recorder import Tally
from siamcorr_load.results import Memory, Others, Pace, Repeat, Run, Window
from siamcorr_load.settings import Load
from siamcorr_load.verdict import judge
from siamcorr_load.yardstick import slowest

__all__ = ["Measured", "summary"]


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What the generators counted, window by window, and what they, and the server, took."""

    tallies: tuple[Tally, ...]
    windows: tuple[Window, ...]
    own_bytes: int | None = None
    server_bytes: int | None = None
    busy: float | None = None
    metrics: tuple[Reading, Reading] | None = None
    others: Others | None = None
    pace: Pace | None = None


def summary(
    load: Load,
    repeats: Sequence[Measured],
    *,
    started: str,
    null_per_s: float | None = None,
    must_agree: bool = True,
) -> Run:
    """Merge what repeats of a load have measured into one result."""
    total = Tally()
    for tally in (tally for repeat in repeats for tally in repeat.tallies):
        total.merge(tally)
    windows = tuple(window for repeat in repeats for window in repeat.windows)
    duration_s = sum(window.seconds for window in windows)
    per_s = total.ok / duration_s if duration_s else 0.0
    each = tuple(_repeat(one) for one in repeats)
    intervals = intervals_of(each)
    others = most(one.others for one in repeats)
    pace = slowest(one.pace for one in repeats)
    headroom = null_per_s / per_s if null_per_s is not None and per_s else None
    return Run(
        settings=dataclasses.asdict(load),
        machine=describe(),
        started=started,
        warm_up_s=load.warm_up_s,
        duration_s=duration_s,
        period_s=load.period_s,
        windows=windows,
        latency=total.latency.distribution(),
        service_time=total.service_time.distribution(),
        sent=total.sent,
        ok=total.ok,
        late_sends=total.late_sends,
        throughput_per_s=per_s,
        target_updates_per_s=total.updates / duration_s if duration_s else 0.0,
        on_time_rate=total.on_time / total.sent if total.sent else 0.0,
        dropped_frames=total.dropped,
        rejects=dict(total.rejects),
        errors=dict(total.errors),
        checked=total.checked,
        wrong_answers=total.wrong,
        batch_sizes=dict(sorted(total.batches.items())),
        stages=total.stages(),
        memory=Memory(repeats[-1].own_bytes, repeats[-1].server_bytes),
        repeats=each,
        intervals=intervals,
        headroom=headroom,
        busy=max((one.busy for one in repeats if one.busy is not None), default=None),
        stalled_s=sum(window.stalled_s for window in windows),
        others=others,
        pace=pace,
        account=account_of(one.metrics for one in repeats if one.metrics is not None),
        verdict=judge(
            windows,
            tolerance=load.tolerance if must_agree else None,
            late_sends=total.late_sends,
            sent=total.sent,
            checked=total.checked,
            wrong_answers=total.wrong,
            is_checking=bool(load.check_every),
            headroom=headroom,
            others=others,
            pace=pace,
            intervals=intervals,
        ),
    )


def _repeat(measured: Measured) -> Repeat:
    total = Tally()
    for tally in measured.tallies:
        total.merge(tally)
    seconds = sum(window.seconds for window in measured.windows)
    p1, p50, p90, p99, p999 = total.latency.percentiles((1, 50, 90, 99, 99.9))
    sent = max(1, total.sent)
    return Repeat(
        throughput_per_s=total.ok / seconds,
        p1_s=p1,
        p50_s=p50,
        p90_s=p90,
        p99_s=p99,
        p999_s=p999,
        on_time_rate=total.on_time / sent,
        answered_rate=total.ok / sent,
    )
