"""Commands whose output nobody reads any more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from load_runs import RUN
from siamcorr.closed_pipe import quiet_when_unread
from siamcorr_load.result_json import to_json

EXPLAIN = """
from siamcorr.explain import main
main("--template 4x3x3 --search 4x9x9 --repeats 1".split())
"""

WRITE = """
import sys
from siamcorr.closed_pipe import quiet_when_unread
@quiet_when_unread
def main(stream):
    try:
        print("written", file=stream, flush=True)
    finally:
        stream.flush()
main(getattr(sys, sys.argv[1]))
"""


def run_unread(arguments: Sequence[str], *, stream: str = "stdout", unbuffered: str = "") -> tuple[int, str]:
    """Run Python with one stream into a pipe that nobody reads; return its exit code and its other stream."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=writer if stream == "stdout" else subprocess.PIPE,
            stderr=writer if stream == "stderr" else subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr if stream == "stdout" else done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_ends_quietly_whichever_of_its_streams_is_unread(stream: str, unbuffered: str) -> None:
    assert run_unread(["-c", WRITE, stream], stream=stream, unbuffered=unbuffered) == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_comparison_that_nobody_reads_ends_quietly(unbuffered: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(to_json(RUN), encoding="utf-8")
    command = ["-m", "siamcorr_load", "--compare", str(file), str(file)]
    assert run_unread(command, unbuffered=unbuffered) == (141, "")


@pytest.mark.parametrize(
    "command",
    [("-m", "siamcorr_demo", "--help"), ("-m", "siamcorr_eval", "--help"), ("-c", EXPLAIN)],
    ids=["demo", "eval", "explain"],
)
def test_the_other_commands_do_so_too(command: Sequence[str]) -> None:
    assert run_unread(command) == (141, "")


def test_what_is_written_is_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    assert quiet_when_unread(print)("written", end="") is None
    assert capsys.readouterr().out == "written"


def test_a_pipe_that_breaks_elsewhere_shows() -> None:
    def main() -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            pipe.write(b"to nobody")

    with pytest.raises(BrokenPipeError):
        quiet_when_unread(main)()


def test_a_command_without_a_stdout_ends_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert quiet_when_unread(lambda: 2)() == 2
