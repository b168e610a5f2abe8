"""A run: generators in processes of their own, one start for all, windows until they agree, and one result.

All windows after the warm-up count. To report only those that agree would leave out the stall that made the
others disagree.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from typing import Any

from siamcorr.errors import InvalidArgument, ServerUnavailable
from siamcorr_load import null_server
from siamcorr_load.account import Reading, read_metrics
from siamcorr_load.cut_short import CUTS, as_cut
from siamcorr_load.kept import Kept
from siamcorr_load.machine import resident_bytes, server_process
from siamcorr_load.others import OthersMeter
from siamcorr_load.processes import process, receive
from siamcorr_load.recorder import Tally
from siamcorr_load.results import Run, Window
from siamcorr_load.settings import Load
from siamcorr_load.stalls import StallMeter
from siamcorr_load.summary import Measured, summary
from siamcorr_load.verdict import agree
from siamcorr_load.worker import End, work
from siamcorr_load.yardstick import Yardstick

__all__ = ["Enough", "OnWindow", "agreeing", "measure", "measure_headroom", "run"]

OnWindow = Callable[[Window], None]
"""Told each window as it closes."""

Enough = Callable[[Sequence[Window]], bool]
"""Asked after each window whether these are enough."""

_READY_S = 120.0
_LEAD_S = 0.2
_PATIENCE_S = 60.0


def run(
    load: Load,
    on_window: OnWindow = lambda _: None,
    enough: Enough | None = None,
    *,
    keeps_what_it_has: bool = False,
) -> Run:
    """Load the server, and say how it went.

    Args:
        load: what is asked of the server.
        on_window: told each window.
        enough: when to end; without it when the load's windows agree, and a run whose windows never do cannot
            be believed.
        keeps_what_it_has: if it is cut short (:mod:`siamcorr_load.cut_short`), return what was measured until
            then, as a run that cannot be believed.

    Raises:
        ServerUnavailable: the server, or a generator, failed before anything could be measured.
    """
    most = min(load.cameras, load.concurrency or load.cameras)  # a process without work would say nothing
    load = dataclasses.replace(load, processes=min(load.processes, most))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    until = enough or agreeing(load)
    kept = Kept()
    try:
        for _ in range(load.repeats):
            kept.add(lambda seen: measure(load, on_window, until, seen))
        reached = measure_headroom(load) if load.headroom else None
        must_agree = enough is None
        return summary(load, kept.repeats(), started=started, null_per_s=reached, must_agree=must_agree)
    except CUTS as error:
        if not (keeps_what_it_has and kept.repeats()):
            raise
        return as_cut(summary(load, kept.repeats(), started=started, must_agree=False), error)


def measure_headroom(load: Load) -> float:
    """Return the requests a second that the same generators bring to a server that answers at once."""
    with process(null_server.serve) as pipe:
        closed = dataclasses.replace(
            load,
            server=receive(pipe, _READY_S),
            concurrency=4 * load.processes,
            life_s=None,
            update_every=0,
            shared_memory=False,
            stream=False,
            warm_up_s=0.5,
            window_s=0.5,
            windows=3,
            max_windows=3,
            check_every=0,
            server_pid=None,
            metrics_url=None,
        )
        measured = measure(closed, lambda _: None, agreeing(closed))
    return sum(window.ok for window in measured.windows) / sum(one.seconds for one in measured.windows)


def agreeing(load: Load) -> Enough:
    """Return when a load's windows are enough: the last three of them agree."""
    return lambda windows: len(windows) >= load.windows and agree(windows, load.tolerance)


def measure(
    load: Load, on_window: OnWindow, enough: Enough, seen: list[tuple[Tally, Window]] | None = None
) -> Measured:
    """Load the server once. Each window is put into ``seen`` as it closes: what is there is not lost."""
    seen = [] if seen is None else seen
    with _generators(load) as pipes, StallMeter() as meter, Yardstick() as yardstick:
        for pipe in pipes:
            _expect(pipe, "ready", _READY_S)
        server = server_process(load.server, load.server_pid)  # to look at all sockets takes processor time
        start_s = time.monotonic() + _LEAD_S
        for pipe in pipes:
            pipe.send(("start", start_s))
        if load.metrics_url is not None:
            time.sleep(max(0.0, start_s + load.warm_up_s - time.monotonic()))
        before = _metrics(load)
        others = OthersMeter(load.server, server)
        for tally in _windows(load, pipes):
            end_s = start_s + load.warm_up_s + (len(seen) + 1) * load.window_s
            span = end_s - load.window_s, end_s
            window = tally.window(load.window_s, meter.stalled_s(*span), yardstick.slow(*span))
            seen.append((tally, window))
            on_window(window)
            if len(seen) >= load.max_windows or enough([window for _, window in seen]):
                break
        after = _metrics(load)
        found, pace = others.found(), yardstick.pace(start_s + load.warm_up_s)
        server_bytes = resident_bytes(server)
        for pipe in pipes:
            pipe.send(("stop", None))
        ends = [end for pipe in pipes if (end := _end(pipe)) is not None]
    own_bytes = sum(end.own_bytes or 0 for end in ends) or None
    busy = max((end.busy for end in ends if end.busy is not None), default=None)
    metrics = (before, after) if before is not None and after is not None else None
    tallies, windows = zip(*seen, strict=True)
    return Measured(tallies, windows, own_bytes, server_bytes, busy, metrics, found, pace)


def _metrics(load: Load) -> Reading | None:
    return None if load.metrics_url is None else read_metrics(load.metrics_url)


def _windows(load: Load, pipes: Sequence[Connection]) -> Iterator[Tally]:
    """Yield the windows as they close, each merged of all generators."""
    heard: list[list[Tally]] = [[] for _ in pipes]
    patience_s = load.warm_up_s + load.window_s + load.timeout_s + _PATIENCE_S
    while True:
        ready = wait(pipes, patience_s)
        if not ready:
            raise ServerUnavailable(f"no window has closed within {patience_s:g} s")
        for place, pipe in enumerate(pipes):
            if pipe in ready:
                heard[place].append(_expect(pipe, "window", 0.0))
        while all(heard):
            merged = Tally()
            for queue in heard:
                merged.merge(queue.pop(0))
            yield merged


@contextmanager
def _generators(load: Load) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(process(work, load, number)) for number in range(load.processes)]


def _expect(pipe: Connection, name: str, patience_s: float) -> Any:
    found, value = receive(pipe, patience_s)
    if found == "failed":
        raise ServerUnavailable(value)
    if found != name:
        raise InvalidArgument.found("generator", found, name)
    return value


def _end(pipe: Connection) -> End | None:
    while True:
        found, value = receive(pipe, _PATIENCE_S)
        if found == "end":
            end: End = value
            return end
        if found == "failed":
            return None
