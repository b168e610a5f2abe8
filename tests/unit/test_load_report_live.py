from __future__ import annotations

import io
import threading

import pytest

from siamcorr_load.live import Live, Plan, picture
from siamcorr_load.results import Window

PLAN = Plan("8 cameras, 10 targets each, 25 fps", warm_up_s=2.0, window_s=2.0, windows=3, max_windows=10)


def a_window(ok: int = 500, p99_s: float = 0.02) -> Window:
    return Window(2.0, 500, ok, ok, 1, {"OVERLOADED": 2}, {}, p50_s=0.01, p99_s=p99_s)


def test_before_the_first_window_it_says_that_it_warms_up() -> None:
    assert picture(PLAN, [], 1.4) == [PLAN.title, "░" * 28 + "  1 s  starting and warming up"]


def test_windows_fill_the_bar_and_leave_their_history() -> None:
    lines = picture(PLAN, [a_window(p99_s=0.01), a_window(400, p99_s=0.02)], 6.0)
    assert lines[1] == "█" * 19 + "░" * 9 + "  6 s  window 3, of 3"
    assert lines[2:] == [
        "answers/s       200  █▇",
        "p50         10.0 ms  ██",
        "p99         20.0 ms  ▅█",
        "on time 80.0 %, late 1, rejected 2, errors 0",
    ]


@pytest.mark.parametrize(("count", "state"), [(3, "window 4, until three agree"), (10, "10 windows")])
def test_beyond_the_planned_windows_it_says_why_it_goes_on(count: int, state: str) -> None:
    assert picture(PLAN, [a_window()] * count, 9.0)[1].endswith(state)


def test_no_line_is_longer_than_the_terminal_is_wide() -> None:
    assert max(map(len, picture(PLAN, [a_window()] * 100, 9.0, columns=30))) <= 29


def test_a_stream_that_is_no_terminal_gets_a_line_for_each_window_and_no_escapes() -> None:
    stream = io.StringIO()
    with Live(PLAN, stream) as live:
        live.window(a_window())
        live.window(a_window(450))
    title, one, two = stream.getvalue().splitlines()
    assert title == PLAN.title
    assert one.startswith("window 1: 250 answers/s, p50 10.0 ms, p99 20.0 ms, on time 100 %")
    assert two.startswith("window 2: 225 answers/s")
    assert "\x1b" not in stream.getvalue()


class Terminal(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.drawn.set()


def test_a_terminal_is_left_without_the_picture() -> None:
    terminal = Terminal()
    with Live(PLAN, terminal, clock=lambda: 0.0) as live:
        assert terminal.drawn.wait(10)
        live.window(a_window())
    assert terminal.getvalue().startswith(f"\x1b[J{PLAN.title}\n")
    assert terminal.getvalue().endswith("F\x1b[J")


def test_a_run_that_fails_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Live(PLAN, Terminal()):
        raise ZeroDivisionError
    assert threading.active_count() == before
