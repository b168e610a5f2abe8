"""What other programs, and neighbours on the host, take of the machine while a server is loaded."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from load_runs import CAPACITY
from siamcorr_load.capacity_doubts import doubts
from siamcorr_load.machine import server_process, shares_machine
from siamcorr_load.others import OthersMeter, most
from siamcorr_load.results import CapacityPoint, Others, Pace, Window
from siamcorr_load.verdict import judge
from siamcorr_load.yardstick import Yardstick, is_unsteady, slowest

Times = namedtuple("Times", "user nice system idle steal softirq guest")
BEGIN = Times(20.0, 0.0, 10.0, 100.0, 0.0, 3.0, 5.0)
END = Times(21.0, 0.0, 10.5, 102.0, 0.5, 4.0, 5.5)


@pytest.fixture(autouse=True)
def two_whole_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda *, logical=True: 2)


def scripted(monkeypatch: pytest.MonkeyPatch, *looks: Times) -> None:
    remaining = iter(looks)
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(remaining))


def test_others_took_what_was_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, BEGIN, END)
    found = OthersMeter("camera7:1", None).found()
    assert found is not None
    whole_s = 5.5 - 0.5  # a guest's seconds are counted as a user's too
    assert found.processors == pytest.approx(2 * 3.0 / whole_s, rel=0.1)  # this test takes some itself
    assert found.free == pytest.approx(2 * (1 - 3.0 / whole_s))


def test_what_the_servers_process_did_is_not_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, BEGIN, END)
    server = _Process(2.9)
    found = OthersMeter("127.0.0.1:1", server).found()  # type: ignore[arg-type]
    assert found is not None
    assert found.processors == pytest.approx(0.0, abs=0.06)


def test_nothing_is_said_where_the_server_is_here_and_cannot_be_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripted(monkeypatch, BEGIN, END)
    assert OthersMeter("127.0.0.1:1", None).found() is None


def test_nothing_is_said_of_no_time_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, BEGIN, BEGIN)
    assert OthersMeter("camera7:1", None).found() is None


@pytest.mark.parametrize(
    "server", ["192.0.2.2:1", "[2001:db8::2]:1", "ipv6:[2001:DB8:0::2]:1", "Tower:1", "dns://9.9.9.9/tower:1"]
)
def test_a_server_at_an_own_address_of_the_machine_is_on_it(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [SimpleNamespace(address=one) for one in ("192.0.2.2", "2001:db8::2")]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": addresses})
    monkeypatch.setattr(socket, "gethostname", lambda: "tower")
    assert shares_machine(server)
    assert not shares_machine(server.replace("2:1", "3:1").replace("2]", "3]").replace("ower", "he-other"))


@pytest.mark.parametrize(("pids", "found"), [([], None), ([1, 1], 1), ([1, 2], None), ([1, None], None)])
def test_a_port_on_which_several_listen_tells_no_process(
    pids: list[int | None], found: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = SimpleNamespace(port=50051)
    listening = [SimpleNamespace(status=psutil.CONN_LISTEN, laddr=here, pid=pid) for pid in pids]
    monkeypatch.setattr(psutil, "net_connections", lambda _: listening)
    monkeypatch.setattr(psutil, "Process", lambda pid: SimpleNamespace(pid=pid))
    process = server_process("127.0.0.1:50051")
    assert (process and process.pid) == found


def test_a_server_that_has_ended_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, BEGIN, END)
    server = _Process(0.0)
    meter = OthersMeter("127.0.0.1:1", server)  # type: ignore[arg-type]
    server.is_gone = True
    assert meter.found() is None


def test_a_run_beside_busy_programs_cannot_be_believed() -> None:
    windows = [Window(1.0, 100, 100, 100, p50_s=0.01)] * 3
    known: dict[str, Any] = {"late_sends": 0, "sent": 300, "checked": 3, "wrong_answers": 0}
    known |= {"tolerance": 0.2, "is_checking": True, "headroom": None}
    assert judge(windows, **known, others=Others(0.1, 0.5)).is_valid
    assert judge(windows, **known, others=Others(0.9, 0.1)).reasons == (
        "other programs took 0.9 processors, and 0.1 were free: let nothing else run",
    )


def test_a_search_beside_busy_programs_cannot_be_believed() -> None:
    busy = Others(0.9, 0.1)
    points = [
        dataclasses.replace(point, run=dataclasses.replace(point.run, others=busy))
        for point in CAPACITY.points
    ]
    says = "other programs took up to 0.9 processors, in 2 of 2 trials: let nothing else run"
    assert says in doubts(points, 80, 4096, shares_machine=True)
    assert says not in doubts(CAPACITY.points, 80, 4096, shares_machine=True)


def yardstick_of(*taken_s: float) -> Yardstick:
    """One that looks as often as there are times, a second after the other."""
    marks = [mark * seconds for seconds in taken_s for mark in (0, 2, 3, 5)]
    seconds, spent = iter(range(len(taken_s))), iter(marks)
    yardstick = Yardstick(lambda: next(seconds), lambda: next(spent), lambda: None)
    for _ in taken_s:
        yardstick.look()
    return yardstick


def test_the_best_of_three_tries_counts_and_what_is_much_slower_is_slow() -> None:
    pace = yardstick_of(0.010, 0.0105, 0.016, 0.015).pace()
    assert pace is not None
    assert pace.fastest_s == pytest.approx(0.010)
    assert pace.slow == 0.5


def test_what_was_before_does_not_count() -> None:
    pace = yardstick_of(0.002, 0.010, 0.010).pace(begin_s=0.5)
    assert pace is not None
    assert (round(pace.fastest_s, 6), pace.slow) == (0.010, 0.0)
    assert yardstick_of(0.002).pace(begin_s=0.5) is None


def test_a_yardstick_measures_while_it_is_entered() -> None:
    looked = threading.Event()

    def work() -> None:
        looked.set()

    with Yardstick(work=work) as yardstick:
        assert looked.wait(30)
    assert yardstick.pace() is not None


def test_a_run_on_an_unsteady_machine_cannot_be_believed() -> None:
    windows = [Window(1.0, 100, 100, 100, p50_s=0.01)] * 3
    known: dict[str, Any] = {"late_sends": 0, "sent": 300, "checked": 3, "wrong_answers": 0}
    known |= {"tolerance": 0.2, "is_checking": True, "headroom": None}
    assert judge(windows, **known, pace=Pace(3e-4, 0.1)).is_valid
    (reason,) = judge(windows, **known, pace=Pace(3e-4, 0.44)).reasons
    assert reason == (
        "the generators' machine was slower than it can be for 44 % of the time: a neighbour on its host?"
    )


def test_where_threads_share_a_core_nobody_judges_by_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_unsteady(Pace(3e-4, 0.5))
    monkeypatch.setattr(psutil, "cpu_count", lambda *, logical=True: 4 if logical else 2)
    assert not is_unsteady(Pace(3e-4, 0.5))


def test_for_how_much_of_a_span_it_was_slow_is_beside_the_fastest_so_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    yardstick = yardstick_of(0.010, 0.016, 0.0105, 0.016, 0.020)
    assert yardstick.slow(1.0, 3.0) == 0.5
    assert yardstick.slow(3.0, 5.0) == 1.0
    assert yardstick.slow(5.0, 6.0) == 0.0, "nobody looked"
    monkeypatch.setattr(psutil, "cpu_count", lambda *, logical=True: 4 if logical else 2)
    assert yardstick.slow(3.0, 5.0) == 0.0, "threads share a core"


@pytest.mark.parametrize("slow", [Pace(3e-4, 0.9), Pace(4e-4, 0.0)])
def test_a_search_with_many_slow_trials_cannot_be_believed(slow: Pace) -> None:
    def doubts_of(*paces: Pace) -> list[str]:
        run = CAPACITY.points[0].run
        points = [CapacityPoint(80, dataclasses.replace(run, pace=pace), True) for pace in paces]
        return doubts(points, 80, 4096, shares_machine=True)

    quick = Pace(3e-4, 0.1)
    assert "the machine was slower than it can be in 2 of 3 trials: a neighbour?" in doubts_of(
        quick, slow, slow
    )
    assert not [one for one in doubts_of(quick, quick, quick, slow) if "slower than it can be" in one]


def test_of_several_times_the_worst_counts() -> None:
    assert most([None, Others(0.1, 1.0), Others(0.3, 0.2)]) == Others(0.3, 0.2)
    assert most([Others(3.0, 1.5), Others(2.5, 0.3)]) == Others(2.5, 0.3), "only these were in the way"
    assert most([None]) is None
    assert slowest([Pace(2e-4, 0.1), None, Pace(2.4e-4, 0.3)]) == Pace(2e-4, 0.3)
    assert slowest([None]) is None
    assert slowest([Pace(2e-4, 0.0), Pace(4e-4, 0.0)]) == Pace(2e-4, 1.0)


class _Process:
    """A server's process that works for ``seconds`` between the first look and the second."""

    pid = -1

    def __init__(self, seconds: float) -> None:
        self._worked = iter((0.0, seconds))
        self.is_gone = False

    def children(self, *, recursive: bool) -> list[_Process]:
        return []

    def cpu_times(self) -> Any:
        if self.is_gone:
            raise psutil.NoSuchProcess(self.pid)
        return SimpleNamespace(user=next(self._worked), system=0.0)
