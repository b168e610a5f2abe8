"""The pictures with time on them: what the batcher decides, and what the bank counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sheet import BLUE, FAINT, GREEN, INK, ORANGE, PINK, WAITS, canvas

from siamcorr.bank import Bank
from siamcorr.batcher import Batcher, Job, Limits
from siamcorr.resident import specs_of, write


def batching() -> Figure:
    """A lonely request starts at once; while the device is busy, those of one kind gather."""
    random = np.random.default_rng(5)
    arrivals = np.sort(np.concatenate([[1.0, 9.0, 17.0], random.uniform(24, 40, 22), [51.0]]))
    kinds = random.choice(["naive", "depthwise"], len(arrivals), p=[0.7, 0.3])
    batcher = Batcher(Limits(max_jobs=64, max_bytes=1, max_batch=8))
    figure, ((axes,),) = canvas(1, 1, (10.5, 4.6), [1], ticks=True)
    colour = {"naive": BLUE, "depthwise": ORANGE}
    coming, free_ms = 0, 0.0
    while coming < len(arrivals) or batcher.waiting:
        now_ms = max(free_ms, arrivals[coming] if not batcher.waiting else 0.0)
        while coming < len(arrivals) and arrivals[coming] <= now_ms:
            batcher.admit([Job(coming, kinds[coming])], now_ms / 1e3)
            coming += 1
        batch = batcher.take(now_ms / 1e3)
        if batch is None:
            raise RuntimeError("a job waits, and none is taken")
        free_ms = now_ms + 2.5 + 0.35 * len(batch.jobs)
        for job in batch.jobs:
            axes.barh(job.id, now_ms - arrivals[job.id], left=arrivals[job.id], height=0.55, color=WAITS)
            axes.barh(job.id, free_ms - now_ms, left=now_ms, height=0.75, color=colour[str(job.key)])
        axes.axvspan(now_ms, free_ms, color=colour[str(batch.jobs[0].key)], alpha=0.10, lw=0)
        axes.text((now_ms + free_ms) / 2, -1.6, str(len(batch.jobs)), ha="center", fontsize=9, color=INK)
        batcher.done([job.id for job in batch.jobs], free_ms / 1e3)
    axes.text(-1.0, -1.6, "pairs in the launch", ha="right", fontsize=9, color=FAINT)
    axes.set(
        ylim=(len(arrivals), -2.6),
        xlim=(0, 57),
        yticks=[],
        xlabel="milliseconds",
        ylabel="requests in their order",
    )
    for label, shade in (("waits", WAITS), ("naive", BLUE), ("depthwise", ORANGE)):
        axes.barh([-9], [0], color=shade, label=label)
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    return figure


def residency() -> Figure:
    """Who holds which generation, and what memory that takes."""
    features = {"features": torch.ones(256, 64, 64)}
    bank = Bank(torch.device("cpu"), budget_bytes=1 << 30)
    moments: list[tuple[float, int]] = [(0.0, 0)]

    def at(time_ms: float, step: Callable[[float], Any]) -> Any:
        result = step(time_ms / 1e3)
        moments.append((time_ms, bank.stats().bytes_used))
        return result

    def written(now_s: float) -> Any:
        reservation = bank.reserve(specs_of(features), now_s)
        write(reservation, features)
        return reservation

    made = at(2, lambda now_s: bank.publish(written(now_s), now_s))
    first = at(5, lambda now_s: bank.lease(made.handle, now_s))
    at(9, lambda now_s: bank.publish_update(made.handle, written(now_s), now_s))
    second = at(11, lambda now_s: bank.lease(made.handle, now_s))
    at(14, lambda now_s: bank.release(first, now_s))
    third = at(17, lambda now_s: bank.lease(made.handle, now_s))
    at(18.5, lambda now_s: bank.release(second, now_s))
    at(21, lambda now_s: bank.delete(made.handle, now_s))
    at(24, lambda now_s: bank.release(third, now_s))
    bank.check_invariants()

    figure, ((above,), (below,)) = canvas(2, 1, (10.5, 4.9), [1], ticks=True, heights=[3.2, 1])
    lanes: Sequence[tuple[float, float, int, str, str]] = (
        (2, 14, 0, "generation 1", BLUE),
        (9, 24, 1, "generation 2", GREEN),
        (5, 14, 3, "request A: leases generation 1", BLUE),
        (11, 18.5, 4, "request B: leases generation 2", GREEN),
        (17, 24, 5, "request C: leases generation 2", GREEN),
    )
    for start, end, lane, text, colour in lanes:
        above.barh(lane, end - start, left=start, height=0.7, color=colour, alpha=1 if lane < 2 else 0.35)
        above.text(start + 0.2, lane, text, va="center", fontsize=9, color="white" if lane < 2 else INK)
    for at_ms, text in ((2, "create"), (9, "update"), (21, "delete")):
        for axes in (above, below):
            axes.axvline(at_ms, color=PINK, lw=1, ls=":", zorder=0)
        above.text(at_ms, -0.75, text, ha="center", fontsize=9.5, color=PINK)
    above.axvspan(21, 24, ymin=0, ymax=1, color=PINK, alpha=0.06, lw=0)
    above.text(
        22.5, 2, "the handle is gone,\nC still ends well", ha="center", va="center", fontsize=8.5, color=PINK
    )
    above.set(ylim=(5.6, -1.1), xlim=(0, 27), yticks=[0.5, 4], yticklabels=["resident", "in use"], xticks=[])
    times, sizes = zip(*moments, (27.0, moments[-1][1]), strict=True)
    below.step(times, np.array(sizes) / 2**20, where="post", color=INK)
    below.fill_between(times, np.array(sizes) / 2**20, step="post", color=INK, alpha=0.12)
    below.set(xlim=(0, 27), ylim=(0, None), yticks=[0, 4, 8], ylabel="MiB", xlabel="milliseconds")
    return figure
