"""The driver under virtual time, against a scripted server: what stalls, wrong answers and lateness give."""

from __future__ import annotations

import asyncio
import dataclasses
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import pytest

from siamcorr.answers import Response, Template
from siamcorr.errors import DeadlineExceeded, QueueFull
from siamcorr_load.cameras import Camera
from siamcorr_load.driver import Driver
from siamcorr_load.pacer import arrivals
from siamcorr_load.payloads import VARIANTS, FeaturePayload
from siamcorr_load.recorder import Recorder, Tally
from siamcorr_load.results import Run
from siamcorr_load.settings import Load
from siamcorr_load.summary import Measured, summary

STALL_S = (5.0, 6.0)
SERVICE_S = 2e-3

LOAD = Load(
    server="scripted",
    fps=100.0,
    pattern="constant",
    template_shape=(2, 2, 2),
    search_shape=(2, 4, 4),
    warm_up_s=0.0,
    window_s=2.5,
    windows=4,
    check_every=1,
    tolerance=10.0,
)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(selector=_Jumping(self))

    def time(self) -> float:
        return self.now_s


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nobody will ever wake this loop")
        self.loop.now_s += max(0.0, timeout)
        return super().select(0)


class ScriptedServer:
    """Answers as ``payload`` expects, ``delay`` seconds after the moment that it is given."""

    def __init__(self, payload: FeaturePayload, delay: Callable[[float], float]) -> None:
        self.payload, self.delay = payload, delay
        self.handles: list[str] = []
        self.made = 0
        self.asked = 0
        self.named: list[str] = []
        self.torn = 0
        self.spoil: Callable[[int, Response], Response] = lambda _, response: response
        self.before: Callable[[], None] = lambda: None

    async def create_template(self, features: Any = None, **_: Any) -> Template:
        self.handles.append(f"t{self.made}")
        self.made += 1
        return Template(self.handles[-1], 1, (), None, 1, 0.0)

    async def update_template(self, template: str, features: Any = None, **_: Any) -> Template:
        raise DeadlineExceeded("too late")

    async def delete_template(self, template: str, **_: Any) -> None:
        self.handles.remove(template)
        self.torn += template in self.named

    async def correlate(self, template: Sequence[str], **options: Any) -> list[Response]:
        self.asked += 1
        self.before()
        loop = asyncio.get_running_loop()
        (frame,) = (n for n in range(VARIANTS) if self.payload.search(n)["features"] is options["features"])
        asked = self.asked
        answer = loop.create_future()
        loop.call_at(loop.time() + self.delay(loop.time()), answer.set_result, None)
        self.named += template
        await answer
        for handle in template:
            self.named.remove(handle)
        maps = [self.payload.expected(target, 0, frame) for target in range(len(template))]
        return [
            self.spoil(asked, Response(handle, 1, np.asarray(expected, np.float32)))
            for handle, expected in zip(template, maps, strict=True)
        ]


def stalled(now_s: float) -> float:
    first_s, last_s = STALL_S
    return last_s - now_s if first_s <= now_s < last_s else SERVICE_S


def in_virtual_time(work: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work(loop))


def measured(load: Load, script: Callable[[ScriptedServer, VirtualLoop], None] = lambda *_: None) -> Run:
    """Drive one camera for four windows against a server that stalls for a second."""
    tallies: list[Tally] = []

    async def work(loop: VirtualLoop) -> None:
        payload = FeaturePayload(load)
        server = ScriptedServer(payload, stalled)
        script(server, loop)
        camera = Camera(0, load, payload, server, server)
        await camera.open()
        recorder = Recorder(begin_s=0.0, window_s=load.window_s, period_s=load.period_s, late_s=load.late_s)
        driver = Driver(load, {0: camera}, recorder)
        if load.concurrency is None:
            due = arrivals(load.pattern, cameras=1, fps=load.fps)
            driving = asyncio.create_task(driver.open_loop(due, 0.0))
        else:
            driving = asyncio.create_task(driver.closed_loop(load.concurrency, 0.0))
        while len(tallies) < load.windows:
            tick = loop.create_future()
            loop.call_later(0.01, tick.set_result, None)
            await tick
            tallies.extend(recorder.closed(driver.reached_s))
        driving.cancel()
        await asyncio.wait([driving])
        await driver.finish()
        await camera.close()
        assert server.handles == []

    in_virtual_time(work)
    windows = tuple(tally.window(load.window_s) for tally in tallies)
    return summary(load, [Measured(tuple(tallies), windows)], started="now")


def test_a_stall_of_a_second_is_seen_in_the_open_loop_and_hidden_in_the_closed_one() -> None:
    opened = measured(LOAD)
    closed = measured(dataclasses.replace(LOAD, concurrency=1))
    assert opened.latency.p999_s == pytest.approx(1.0, rel=0.02)
    assert opened.latency.p99_s > 0.8
    assert opened.on_time_rate == pytest.approx(0.9, abs=0.01)
    assert closed.latency.p999_s == pytest.approx(SERVICE_S, rel=0.01)
    assert closed.latency.max_s == pytest.approx(1.0, rel=0.01), "one request has seen it all the same"
    assert opened.verdict.is_valid, opened.verdict.reasons


def test_a_right_answer_is_right_and_each_one_is_checked() -> None:
    run = measured(LOAD)
    assert (run.checked, run.wrong_answers) == (run.ok, 0)
    assert run.ok == run.sent == 1000
    assert run.target_updates_per_s == pytest.approx(100.0)


@pytest.mark.parametrize(
    "fault",
    [
        lambda one: dataclasses.replace(one, map=one.map * 1.05),
        lambda one: dataclasses.replace(one, map=one.map[:, ::-1]),
        lambda one: dataclasses.replace(one, map=None),
        lambda one: dataclasses.replace(one, template="another"),
        lambda one: dataclasses.replace(one, generation=2),
    ],
    ids=["values", "upside down", "no map", "another template", "another generation"],
)
def test_one_planted_wrong_answer_fails_the_run(fault: Callable[[Response], Response]) -> None:
    def script(server: ScriptedServer, _: VirtualLoop) -> None:
        server.spoil = lambda asked, response: fault(response) if asked == 500 else response

    run = measured(LOAD, script)
    assert run.wrong_answers == 1
    assert not run.verdict.is_valid
    assert run.verdict.reasons == (f"1 of {run.checked} answers checked were wrong",)


def test_a_generator_that_was_late_fails_the_run() -> None:
    def script(server: ScriptedServer, loop: VirtualLoop) -> None:
        def think() -> None:  # what holds the event loop holds all other sends
            if server.asked % 100 == 0:
                loop.now_s += 0.05

        server.before = think

    run = measured(LOAD, script)
    assert run.late_sends > 0.01 * run.sent
    assert not run.verdict.is_valid
    assert "late" in run.verdict.reasons[0]


def test_a_camera_drops_frames_rather_than_pile_up_without_end() -> None:
    def script(server: ScriptedServer, _: VirtualLoop) -> None:
        server.delay = lambda now_s: 6.0 if 1.0 <= now_s < 1.005 else (7.0 - now_s if now_s < 7.0 else 0.0)

    run = measured(dataclasses.replace(LOAD, windows=2, window_s=10.0), script)
    assert run.dropped_frames == 300, "4 of 7 seconds are kept"
    assert run.sent == run.ok + run.dropped_frames
    assert run.on_time_rate < 0.7
    assert run.wrong_answers == 0


def test_refusals_and_errors_are_told_apart_by_their_codes() -> None:
    def script(server: ScriptedServer, _: VirtualLoop) -> None:
        def refuse() -> None:
            if server.asked % 4 == 1:
                raise QueueFull("full")
            if server.asked % 4 == 2:
                raise DeadlineExceeded("late")

        server.before = refuse

    run = measured(LOAD, script)
    assert (run.rejects, run.errors, run.ok) == ({"QUEUE_FULL": 250}, {"DEADLINE_EXCEEDED": 250}, 500)
    assert run.wrong_answers == 0


def test_targets_come_and_go_and_none_is_left_behind() -> None:
    servers: list[ScriptedServer] = []
    run = measured(dataclasses.replace(LOAD, targets=3, life_s=1.0), lambda server, _: servers.append(server))
    assert 15 < servers[0].made < 60, "3 targets that live a second, for ten seconds"
    assert not servers[0].torn, "a template goes when no request that names it is out"
    assert run.wrong_answers == 0


def test_after_an_update_that_failed_nothing_is_called_wrong() -> None:
    run = measured(dataclasses.replace(LOAD, update_every=500))
    assert run.errors == {"DEADLINE_EXCEEDED": 1}
    assert 0 < run.checked < run.ok
    assert run.wrong_answers == 0
