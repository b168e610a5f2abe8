"""What runs are compared by: each measure, where to read it, and how much it usually varies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

from siamcorr_load.results import Repeat, Run, Window

__all__ = ["MEASURES", "Measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure of a run, of its windows and of its repeats.

    ``window_spread`` and ``run_spread`` are the usual standard deviations, of logarithms, or of shares, from
    window to window and from run to run, on a machine with others. ``is_calm``: what disturbs single windows
    leaves it alone.
    """

    name: str
    of_run: Callable[[Run], float]
    of_window: Callable[[Window], float]
    of_repeat: Callable[[Repeat], float]
    window_spread: float
    run_spread: float
    more_is_better: bool = False
    is_share: bool = False
    is_calm: bool = False


def _latency(
    percentile: str, field: str, window_spread: float, run_spread: float, *, is_calm: bool = False
) -> Measure:
    return Measure(
        name=f"latency {percentile}",
        of_run=attrgetter(f"latency.{field}"),
        of_window=attrgetter(field),
        of_repeat=attrgetter(field),
        window_spread=window_spread,
        run_spread=run_spread,
        is_calm=is_calm,
    )


def _share(name: str, of_window: str, of_run: Callable[[Run], float], of_repeat: str) -> Measure:
    def share(window: Window) -> float:
        met: int = getattr(window, of_window)
        return met / window.sent if window.sent else 0.0

    return Measure(
        name=name,
        of_run=of_run,
        of_window=share,
        of_repeat=attrgetter(of_repeat),
        window_spread=0.001,
        run_spread=0.001,
        more_is_better=True,
        is_share=True,
    )


MEASURES = (
    Measure(
        name="answers a second",
        of_run=attrgetter("throughput_per_s"),
        of_window=attrgetter("throughput_per_s"),
        of_repeat=attrgetter("throughput_per_s"),
        window_spread=0.03,
        run_spread=0.05,
        more_is_better=True,
    ),
    _latency("p1", "p1_s", 0.02, 0.02, is_calm=True),
    _latency("p50", "p50_s", 0.03, 0.04),
    _latency("p90", "p90_s", 0.06, 0.08),
    _latency("p99", "p99_s", 0.25, 0.30),
    _latency("p99.9", "p999_s", 0.50, 0.50),
    _share("on time", "on_time", attrgetter("on_time_rate"), "on_time_rate"),
    _share("answered", "ok", lambda run: run.ok / run.sent if run.sent else 0.0, "answered_rate"),
)
"""In the order in which they are shown."""
