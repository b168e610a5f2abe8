"""A siamcorr-server in a process of its own, that lives as long as a ``with`` block.

Rules:

- It runs under the same Python, on a free port of the loopback device, and is used once it has said where it
  listens.
- It ends with the block, whatever ends the block: it is asked first, then killed. Nothing else is signalled.
  It has a session of its own, so that a Ctrl-C reaches the demo alone and the two end in order.
- What it writes to stderr is kept aside, and shown when it fails. Its stdout is read to the end: a full pipe
  would stop it.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, TypeAlias

from siamcorr.errors import ServerUnavailable

__all__ = ["COMMAND", "running_server"]

COMMAND = (sys.executable, "-P", "-m", "siamcorr_server", "--listen", "127.0.0.1:0")
"""How a server is started; -P, because a folder called siamcorr where the demo runs is no package."""

_READY = "listening on "
_END_S = 10.0
"""How long a server that was asked to end may take to finish its work."""

_LAST_WORDS_BYTES = 4000

_Process: TypeAlias = subprocess.Popen[bytes]


@contextmanager
def running_server(
    options: Sequence[str] = (), *, ready_s: float = 60.0, command: Sequence[str] = COMMAND
) -> Iterator[str]:
    """Start a server, yield its address HOST:PORT once it listens, and end it.

    Args:
        options: more of its command line.
        ready_s: how long it may take until it listens, in seconds.
        command: what is run.

    Raises:
        ServerUnavailable: it ended by itself, before or within the block, or did not listen in time. What it
            wrote to stderr last is part of the message.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own program, without a shell
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(process, said), daemon=True)
        reader.start()
        try:
            yield _await_address(said, ready_s)
        except ServerUnavailable as error:
            raise ServerUnavailable(_explain(process, error.message, stderr)) from error
        finally:
            _end(process)
            reader.join(_END_S)


def _read(process: _Process, said: queue.SimpleQueue[str | None]) -> None:
    if process.stdout is not None:
        with process.stdout as lines:
            for line in lines:
                said.put(line.decode(errors="replace").strip())
    said.put(None)


def _await_address(said: queue.SimpleQueue[str | None], ready_s: float) -> str:
    end_s = time.monotonic() + ready_s
    while True:
        try:
            line = said.get(timeout=max(0.0, end_s - time.monotonic()))
        except queue.Empty:
            raise ServerUnavailable(f"the server did not listen within {ready_s:g} s") from None
        if line is None:
            raise ServerUnavailable("the server did not listen")
        if line.startswith(_READY):
            return line.removeprefix(_READY)


def _explain(process: _Process, message: str, stderr: IO[bytes]) -> str:
    with suppress(subprocess.TimeoutExpired):  # else it lives, and the message says what is wrong
        message = f"{message}: it ended with exit code {process.wait(timeout=1.0)}"
    stderr.seek(max(0, stderr.seek(0, 2) - _LAST_WORDS_BYTES))
    words = stderr.read().decode(errors="replace").strip()
    return f"{message}; its last words:\n{words}" if words else message


def _end(process: _Process) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        try:
            process.wait(timeout=_END_S)
        finally:  # also when the user's second Ctrl-C cuts the waiting short
            process.kill()
            process.wait()
