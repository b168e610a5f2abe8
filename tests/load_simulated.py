"""A server and a machine that are simulated, under a clock that is, for searches for the capacity."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from siamcorr_load.capacity import find_capacity, is_enough
from siamcorr_load.results import Capacity, Distribution, Run, Window

__all__ = ["PERIOD_S", "START_S", "WINDOW_S", "Simulated", "a_run", "a_window", "trial"]

PERIOD_S = 0.04
WINDOW_S = 2.0
START_S = 2.5
"""What a trial takes beside its windows."""


def a_window(
    *, p99_s: float = 0.01, on_time: float = 1.0, stalled_s: float = 0.0, slow: float = 0.0
) -> Window:
    return Window(WINDOW_S, 1000, 1000, int(1000 * on_time), p99_s=p99_s, stalled_s=stalled_s, slow=slow)


def a_run(
    windows: Iterable[Window], *, late_sends: int = 0, wrong: int = 0, busy: float | None = None
) -> Run:
    windows = tuple(windows)
    sent = sum(window.sent for window in windows)
    return Run(
        settings={},
        machine={},
        started="2026-11-24T12:00:00Z",
        warm_up_s=1.0,
        duration_s=WINDOW_S * len(windows),
        period_s=PERIOD_S,
        windows=windows,
        latency=Distribution(count=sent),
        service_time=Distribution(),
        sent=sent,
        ok=sent,
        late_sends=late_sends,
        throughput_per_s=500.0,
        target_updates_per_s=500.0,
        on_time_rate=sum(window.on_time for window in windows) / max(1, sent),
        wrong_answers=wrong,
        busy=busy,
    )


def trial(window: Callable[[], Window]) -> tuple[Window, ...]:
    """Make windows until they are enough."""
    windows: list[Window] = []
    while not windows or not is_enough(windows, PERIOD_S):
        windows.append(window())
    return tuple(windows)


class Simulated:
    """A server whose p99 nears the period at ``limit`` targets, and that then falls behind, on a machine.

    The machine takes ``wobble`` off or adds it from trial to trial, spoils windows by pauses that nobody
    sees, and stalls in a tenth of those that are spoilt so that the meter sees it. In ``slow`` of the windows
    it does two thirds of the work; the yardstick does not see that in ``unseen`` of them.
    """

    def __init__(
        self,
        limit: float,
        *,
        spoils: float = 0.0,
        wobble: float = 0.0,
        slow: float = 0.0,
        unseen: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.limit, self.spoils, self.wobble, self.slow, self.unseen = limit, spoils, wobble, slow, unseen
        self.chance, self.neighbours = random.Random(seed), random.Random(f"neighbours {seed}")
        self.now_s = 0.0
        self.tried: list[int] = []

    def run(self, targets: int) -> Run:
        self.tried.append(targets)
        self.now_s += START_S
        load = targets / (self.limit * (1 + self.chance.gauss(0, self.wobble)))
        return a_run(trial(lambda: self.window(load)))

    def window(self, load: float) -> Window:
        self.now_s += WINDOW_S
        is_slow = self.neighbours.random() < self.slow
        if is_slow:
            load /= 0.65
        p99_s, on_time, stalled_s = PERIOD_S * (0.1 + 0.9 * load**4), 1.0, 0.0
        if load > 1:
            p99_s, on_time = PERIOD_S * load, max(0.0, 0.998 - 8 * (load - 1))
        if self.chance.random() < self.spoils:
            pause_s = self.chance.uniform(0.01, 0.1)
            on_time = min(on_time, 1 - pause_s / WINDOW_S)
            stalled_s = pause_s if self.chance.random() < 0.1 else 0.0
        slow = 0.4 if is_slow and self.neighbours.random() >= self.unseen else 0.0
        return a_window(p99_s=p99_s, on_time=on_time, stalled_s=stalled_s, slow=slow)

    def search(self, first: int = 8) -> Capacity:
        return find_capacity(self.run, first=first, clock=lambda: self.now_s)
