"""The seconds as pages are told of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from siamcorr import Engine, EngineSettings
from siamcorr.stats import EngineStats
from siamcorr_server.dashboard.feed import Feed
from siamcorr_server.dashboard.history import History


@pytest.fixture(scope="module")
def stats() -> EngineStats:
    with Engine(EngineSettings(device="cpu", models={})) as engine:
        return engine.stats()


async def test_who_is_late_is_told_every_second_that_there_was(stats: EngineStats) -> None:
    feed = Feed(History(), lambda: stats, {"version": "1"})
    await feed.tick(100.0)
    events = feed.events()
    name, state = await anext(events)
    assert name == "state"
    assert [second["t"] for second in json.loads(state)["seconds"]] == [100]
    for at_s in (101.0, 102.0, 103.0):
        await feed.tick(at_s)
    told = [await anext(events) for _ in range(3)]
    assert [json.loads(data)["second"]["t"] for _, data in told] == [101, 102, 103]
    await feed.close()
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_who_waits_is_told_of_the_end(stats: EngineStats) -> None:
    feed = Feed(History(), lambda: stats, {})
    events = feed.events()
    await anext(events)
    waiting = asyncio.create_task(anext(events, None))
    await asyncio.sleep(0)
    await feed.close()
    assert await waiting is None


async def test_a_second_that_fails_does_not_end_the_others(
    stats: EngineStats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: Iterator[Exception | EngineStats] = iter([ZeroDivisionError("once"), stats])
    sleep, done = asyncio.sleep, asyncio.Event()

    def next_stats() -> EngineStats:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def no_sleep(_: float) -> None:
        if history.closed:
            done.set()
        await sleep(0)

    history = History()
    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    with caplog.at_level(logging.ERROR):
        running = asyncio.create_task(Feed(history, next_stats, {}).run(lambda: None))
        await done.wait()
        running.cancel()
        await asyncio.wait([running])
    assert history.closed == 1
    assert "a second of the dashboard failed" in caplog.text
