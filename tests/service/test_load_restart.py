"""A server that dies under load and comes again, in this process and in its own."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr.errors import ServerUnavailable
from siamcorr_load import restart
from siamcorr_load.__main__ import main
from siamcorr_load.restart import run_restart
from siamcorr_load.served import served_process

TTL_S = 0.5


class InThread:
    """Servers in a thread, one after the other at one address."""

    def __init__(self, ttl_s: float | None = TTL_S) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.ttl_s = ttl_s
        self.running: RunningServer
        self.stack = ExitStack()

    def start(self) -> None:
        settings = EngineSettings(device="cpu", models={}, ttl_s=self.ttl_s)
        self.running = self.stack.enter_context(serving(settings, listen=self.address))

    def kill(self) -> None:
        self.stack.close()


@pytest.fixture
def server() -> Iterator[InThread]:
    one = InThread()
    one.start()
    yield one
    one.kill()


def test_clients_come_back_by_themselves_and_nothing_is_left_on_the_new_server(server: InThread) -> None:
    old = server.running
    aftermath = asyncio.run(run_restart(server, ttl_s=TTL_S, size=2))
    assert aftermath.faults == ()
    assert server.running is not old
    assert "2 TEMPLATE_NOT_FOUND" in aftermath.done
    server.running.until(lambda: server.running.engine.stats().requests == 0)
    stats = server.running.engine.stats()
    assert (stats.bank.templates, stats.bank.leased, stats.bank.reserved) == (0, 0, 0)
    assert (stats.device.waiting, stats.device.running, stats.device.queued_bytes) == (0, 0, 0)
    assert stats.device.served > 0


def test_a_server_that_never_went_is_told_from_a_new_one(
    server: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = server.kill
    monkeypatch.setattr(server, "kill", lambda: None)
    monkeypatch.setattr(server, "start", lambda: None)
    aftermath = asyncio.run(run_restart(server, ttl_s=TTL_S, size=2))
    monkeypatch.setattr(server, "kill", kill)
    assert aftermath.faults == ("2 of 2 clients were not told that their template is gone",)


def test_a_server_that_does_not_come_again_is_a_fault(
    server: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_for_good() -> None:
        server.stack.close()
        monkeypatch.setattr(restart, "_PATIENCE_S", 0.2)

    monkeypatch.setattr(server, "kill", go_for_good)
    monkeypatch.setattr(server, "start", lambda: None)
    aftermath = asyncio.run(run_restart(server, ttl_s=TTL_S, size=2))
    assert aftermath.faults == ("2 of 2 clients were not answered after the server had come again",)


def test_templates_that_outlive_their_time_on_the_new_server_are_a_fault(
    server: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siamcorr_load.soundness._GRACE_S", 0.1)
    server.ttl_s = None
    aftermath = asyncio.run(run_restart(server, ttl_s=0.0, size=2))
    assert aftermath.faults == ("templates left after their time to live: 2",)


def test_the_command_restarts_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chaos", "restart", "--serve", "--device cpu", "--ttl", "0.5"]) == 0
    done, sound = capsys.readouterr().out.splitlines()
    assert sound == "the server is sound"
    back, without = re.findall(r"([\d.]+) m?s", done)
    assert float(back) > 0
    assert float(without) > 0
    assert "4 TEMPLATE_NOT_FOUND" in done


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(ServerUnavailable, match="fps"), served_process("--fps 25", 1.0):
        pass
