from __future__ import annotations

import asyncio
from unittest import mock

import numpy as np
import pytest

from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr.errors import InvalidArgument
from siamcorr_client import Client
from siamcorr_load import soundness
from siamcorr_load.__main__ import main
from siamcorr_load.chaos import MODES, run_chaos
from siamcorr_load.soundness import Aftermath

TTL_S = 0.5


def has_nothing_left(server: RunningServer) -> None:
    """Hold it that a server has no lease, place in a queue or template left, by its engine's own account."""
    server.until(lambda: server.engine.stats().requests == 0)
    stats = server.engine.stats()
    assert (stats.bank.templates, stats.bank.leased, stats.bank.reserved) == (0, 0, 0)
    for lane in (stats.device, stats.frames):
        assert (lane.waiting, lane.running, lane.queued_bytes) == (0, 0, 0)
    assert stats.device.served > 0
    server.engine.check_invariants()


@pytest.mark.parametrize("mode", MODES)
def test_after_chaos_the_server_is_sound_and_nothing_of_dead_clients_is_left(mode: str) -> None:
    with serving(EngineSettings(device="cpu", models={}, ttl_s=TTL_S)) as server:
        aftermath = asyncio.run(run_chaos(mode, server.address, ttl_s=TTL_S, size=2))
        assert aftermath.faults == ()
        has_nothing_left(server)


def test_some_calls_of_a_storm_are_cancelled_and_some_are_answered() -> None:
    with serving(EngineSettings(device="cpu", models={}, ttl_s=TTL_S)) as server:
        aftermath = asyncio.run(run_chaos("cancel", server.address, ttl_s=TTL_S, size=2))
        made, cancelled = (int(word) for word in aftermath.done.split() if word.isdigit())
        assert made == 128
        assert cancelled > 0


def test_a_template_that_outlives_its_time_is_a_fault() -> None:
    with serving(EngineSettings(device="cpu", models={}, ttl_s=None)) as server:
        with mock.patch.object(soundness, "_GRACE_S", 0.1):
            aftermath = asyncio.run(run_chaos("slow", server.address, ttl_s=0.0, size=1))
        assert aftermath.faults == ("templates left after their time to live: 1",)


def test_templates_that_were_there_before_may_stay() -> None:
    with (
        serving(EngineSettings(device="cpu", models={}, ttl_s=None)) as server,
        Client(server.address) as client,
    ):
        client.create_template(np.ones((8, 2, 2), np.float32))
        aftermath = asyncio.run(chaos_of_nothing(server.address))
        assert aftermath.faults == ()


async def chaos_of_nothing(address: str) -> Aftermath:
    async def nothing(*_: object) -> tuple[str, list[str]]:
        return "nothing", []

    with mock.patch.dict(MODES, {"nothing": nothing}):
        return await run_chaos("nothing", address, ttl_s=0.0)


def test_a_wrong_answer_to_a_client_that_behaves_well_is_a_fault() -> None:
    with serving(EngineSettings(device="cpu", models={}, ttl_s=TTL_S)) as server:
        with mock.patch.object(soundness, "is_right", return_value=False):
            aftermath = asyncio.run(chaos_of_nothing(server.address))
        assert aftermath.faults == ("a client that behaves well gets a wrong answer",)


@pytest.mark.parametrize(
    ("ttl_s", "code", "last"), [(TTL_S, 0, "the server is sound"), (None, 1, "left after")]
)
def test_the_command_says_whether_the_server_is_sound(
    ttl_s: float | None,
    code: int,
    last: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(soundness, "_GRACE_S", TTL_S)
    with serving(EngineSettings(device="cpu", models={}, ttl_s=ttl_s)) as server:
        assert main(["--server", server.address, "--chaos", "cancel", "--ttl", "0.1"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("cancel: 256 calls made")
    assert last in lines[-1]


async def test_an_unknown_mode_is_refused_before_anything_is_done() -> None:
    with pytest.raises(InvalidArgument, match="mode"):
        await run_chaos("flood", "127.0.0.1:1", ttl_s=1.0)
