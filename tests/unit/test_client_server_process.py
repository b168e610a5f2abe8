"""A server that a program starts for itself: awaited, watched, never left behind. Others stand in for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from siamcorr.errors import ServerUnavailable
from siamcorr_client.server_process import COMMAND, running_server, signals_unwind


def program(text: str) -> list[str]:
    """Return a command that runs ``text``, which may say ``listen()`` and ``wait()``."""
    helpers = """
import os, signal, sys
def listen(): print("listening on 127.0.0.1:12345", flush=True)
def wait(): signal.pause()
"""
    return [sys.executable, "-c", helpers + text]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that were started."""
    processes: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return processes


def test_the_servers_own_command_asks_for_a_free_port_of_this_machine() -> None:
    assert list(COMMAND) == [sys.executable, "-P", "-m", "siamcorr_server", "--listen", "127.0.0.1:0"]


def test_its_address_is_what_it_says_after_anything_else_that_it_says() -> None:
    with running_server(command=program("print('hello'); listen(); wait()")) as address:
        assert address == "127.0.0.1:12345"


def test_it_is_given_its_options(tmp_path: Path) -> None:
    text = f"open({str(tmp_path / 'argv')!r}, 'w').write(' '.join(sys.argv[1:])); listen(); wait()"
    with running_server(["--device", "cpu"], command=program(text)):
        assert (tmp_path / "argv").read_text() == "--device cpu"


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit, ServerUnavailable])
def test_it_ends_with_the_block_whatever_ends_the_block(
    started: list[subprocess.Popen[bytes]], error: type[BaseException] | None
) -> None:
    def use() -> None:
        with running_server(command=program("listen(); wait()")):
            assert started[0].poll() is None
            if error:
                raise error("the block's own")

    if error:
        with pytest.raises(error, match="the block's own"):
            use()
    else:
        use()
    assert [process.returncode for process in started] == [-signal.SIGTERM]


def test_one_that_will_not_end_is_killed(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siamcorr_client.server_process._END_S", 0.1)
    with running_server(command=program("signal.signal(signal.SIGTERM, signal.SIG_IGN); listen(); wait()")):
        pass
    assert started[0].returncode == -signal.SIGKILL


def test_one_that_ends_before_it_listens_is_quoted() -> None:
    text = "print('starting', flush=True); sys.stderr.write('no such device: tpu'); sys.exit(3)"
    with pytest.raises(ServerUnavailable, match=r"(?s)ended with exit code 3.*no such device: tpu"):
        running_server(command=program(text)).__enter__()


def test_one_that_says_nothing_is_given_up(started: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(ServerUnavailable, match=r"did not listen within 0.01 s"):
        running_server(command=program("wait()"), ready_s=0.01).__enter__()
    assert started[0].returncode is not None


def test_one_that_dies_while_it_is_used_is_named_as_the_cause() -> None:
    text = "listen(); sys.stderr.write('out of memory'); sys.exit(9)"

    def use() -> None:
        with running_server(command=program(text)):
            raise ServerUnavailable("cannot be reached")

    with pytest.raises(ServerUnavailable, match=r"(?s)cannot be reached: it ended.*code 9.*out of memory"):
        use()


def test_what_it_prints_never_stops_it(tmp_path: Path) -> None:
    """A pipe that nobody reads holds 64 KiB, then the writer waits for ever."""
    fifo = tmp_path / "done"
    os.mkfifo(fifo)
    text = f"listen(); print('x' * 1000000, flush=True); open({str(fifo)!r}, 'w').write('done'); wait()"
    with running_server(command=program(text)):
        assert fifo.read_text() == "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_the_blocks_around_it(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    unwound = False

    def use() -> None:
        nonlocal unwound
        with signals_unwind():
            try:
                signal.raise_signal(number)
            finally:
                unwound = True

    with pytest.raises(SystemExit) as end:
        use()
    assert end.value.code == 128 + number
    assert unwound
    assert signal.getsignal(number) == before
