"""Processes of a load test, and the signals that they do not hear."""

from __future__ import annotations

import signal
import subprocess
import sys
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from deaf import deaf_to, tell_mask
from siamcorr_load.processes import process

PATIENCE_S = 30.0
SIGNALS = {signal.SIGINT, signal.SIGTERM}

FIRST = """
import sys
sys.path.insert(0, sys.argv[1])
from deaf import deaf_to
print(*sorted(deaf_to()))
"""


def test_the_first_process_of_a_program_and_later_ones_hear_neither_ctrl_c_nor_sigterm() -> None:
    command = [sys.executable, "-c", FIRST, str(Path(__file__).parents[1])]
    first = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
    assert {int(number) for number in first.split()} == deaf_to() == SIGNALS
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & SIGNALS


@pytest.mark.parametrize("number", sorted(SIGNALS))
def test_a_signal_that_comes_while_a_process_is_started_is_heard_once_it_has(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def start(_: SpawnProcess) -> None:
        signal.raise_signal(number)
        heard.append("started")

    monkeypatch.setattr(SpawnProcess, "start", start)
    before = signal.signal(number, lambda *_: heard.append("signal"))
    try:
        with process(tell_mask):
            assert heard == ["started", "signal"]
    finally:
        signal.signal(number, before)
