"""What is going on, while a run runs: a bar and a line of figures that stay in place on a terminal.

Where the stream is no terminal, each window is a line of its own. What is drawn is made by :func:`picture`,
which knows neither a clock nor a terminal; :class:`Live` redraws it a few times a second from a thread,
because the controller says nothing between two windows.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TextIO

from siamcorr_load.report_units import count_text, share_text, time_text
from siamcorr_load.results import Window

__all__ = ["Live", "Plan", "picture", "window_text"]

_SPARKS = "▁▂▃▄▅▆▇█"
_REDRAW_S = 0.2
_BAR = 28


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to do: as in :class:`siamcorr_load.settings.Load`, over all its repeats."""

    title: str
    warm_up_s: float
    window_s: float
    windows: int
    max_windows: int


class Live:
    """Shows a run on a stream, from entering to leaving; pass ``window`` to the controller.

    Args:
        plan: what to expect.
        stream: where to, most often ``sys.stderr``.
        clock: seconds, rising.
    """

    def __init__(self, plan: Plan, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """See the class."""
        self._plan = plan
        self._stream = stream
        self._clock = clock
        self._windows: list[Window] = []
        self._begin_s = 0.0
        self._height = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._drawer = threading.Thread(target=self._draw_on, name="live view", daemon=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._begin_s = self._clock()
        if self._stream.isatty():
            self._drawer.start()
        else:
            print(self._plan.title, file=self._stream, flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was, without the picture."""
        self._is_over.set()
        if self._drawer.is_alive():
            self._drawer.join()
            self._put([])

    def window(self, window: Window) -> None:
        """Take in a window that has closed."""
        with self._lock:
            self._windows.append(window)
        if not self._stream.isatty():
            print(window_text(len(self._windows), window), file=self._stream, flush=True)

    def _draw_on(self) -> None:
        while not self._is_over.wait(_REDRAW_S):
            with self._lock:
                windows = list(self._windows)
            columns = shutil.get_terminal_size().columns
            self._put(picture(self._plan, windows, self._clock() - self._begin_s, columns))

    def _put(self, lines: Sequence[str]) -> None:
        up = f"\x1b[{self._height}F" if self._height else ""
        self._stream.write(f"{up}\x1b[J" + "".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._height = len(lines)


def picture(plan: Plan, windows: Sequence[Window], elapsed_s: float, columns: int = 80) -> list[str]:
    """Return what to show, in lines no longer than the terminal is wide.

    Args:
        plan: what to expect.
        windows: those that have closed.
        elapsed_s: seconds since the run was begun.
        columns: the terminal's width.
    """
    done = len(windows)
    if done:
        reached = min(done / plan.windows, 1.0)
        state = f"window {done + 1}, {'until three agree' if done >= plan.windows else f'of {plan.windows}'}"
        if done >= plan.max_windows:
            state = f"{done} windows"
    else:
        reached, state = 0.0, "starting and warming up"
    full = round(reached * _BAR)
    lines = [plan.title, f"{'█' * full}{'░' * (_BAR - full)}  {elapsed_s:.0f} s  {state}"]
    if done:
        last = windows[-1]
        for name, value, history in (
            ("answers/s", count_text(last.throughput_per_s), [one.throughput_per_s for one in windows]),
            ("p50", time_text(last.p50_s), [one.p50_s for one in windows]),
            ("p99", time_text(last.p99_s), [one.p99_s for one in windows]),
        ):
            lines.append(f"{name:10}{value:>9}  {_sparks(history[-40:])}")
        lines.append(_troubles(last))
    return [line[: columns - 1] for line in lines]


def window_text(number: int, window: Window) -> str:
    """Return a window as a line.

    >>> window_text(1, Window(2.0, 100, 99, 98, p50_s=0.004, p99_s=0.02))
    'window 1: 49.5 answers/s, p50 4.00 ms, p99 20.0 ms, on time 98.0 %, late 0, rejected 0, errors 0'
    """
    rate = f"{count_text(window.throughput_per_s)} answers/s"
    times = f"p50 {time_text(window.p50_s)}, p99 {time_text(window.p99_s)}"
    return f"window {number}: {rate}, {times}, {_troubles(window)}"


def _troubles(window: Window) -> str:
    on_time = share_text(window.on_time / window.sent) if window.sent else "-"
    rejected, failed = sum(window.rejects.values()), sum(window.errors.values())
    return f"on time {on_time}, late {window.late_sends}, rejected {rejected}, errors {failed}"


def _sparks(values: Sequence[float]) -> str:
    """Return values as small bars on one scale from 0.

    >>> _sparks([1, 2, 4])
    '▃▅█'
    """
    top = max(values, default=0.0)
    return "".join(_SPARKS[min(7, int(8 * value / top))] if top else _SPARKS[0] for value in values)
