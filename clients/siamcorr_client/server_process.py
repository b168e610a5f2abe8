"""A siamcorr-server in a process of its own, that lives as long as a ``with`` block.

Rules:

- It runs under the same Python, on a free port of the loopback device, and is used once it has said where it
  listens.
- It ends with the block, whatever ends the block: it is asked first, then killed. Nothing else is signalled.
  It has a session of its own, so that a Ctrl-C reaches who started it alone and the two end in order.
- A program that runs one wraps itself in :func:`signals_unwind`: a signal that ended it at once would leave
  the server behind.
- What it writes to stderr is kept aside, and shown when it fails. Its stdout is read to the end: a full pipe
  would stop it.
"""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, TypeAlias

from siamcorr.errors import InvalidArgument, ServerUnavailable
from siamcorr.settings import DEFAULT_MODEL

__all__ = ["COMMAND", "options_for", "running_server", "signals_unwind"]

COMMAND = (sys.executable, "-P", "-m", "siamcorr_server", "--listen", "127.0.0.1:0")
"""How a server is started; -P, because a folder called siamcorr in the working directory is no package."""

_READY = "listening on "
_END_S = 10.0
"""How long a server that was asked to end may take to finish its work."""

_LAST_WORDS_BYTES = 4000

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_Process: TypeAlias = subprocess.Popen[bytes]


def options_for(model: str, weights: str | None) -> list[str]:
    """Return the command line of a server that hosts a model, and whose templates outlive any pause.

    Raises:
        InvalidArgument: names ``model``: it has weights, and no file of them is given.

    >>> options_for("hog", None), options_for("nanotrackv3", "net.pt")[2:]
    (['--template-ttl', 'never'], ['--model', 'nanotrackv3=net.pt'])
    """
    lasting = ["--template-ttl", "never"]
    if weights:
        return [*lasting, "--model", f"{model}={weights}"]
    if model.partition("+")[0] != DEFAULT_MODEL:
        expected = f"{model}=FILE, or a running server that has it"
        raise InvalidArgument.found("model", f"no weights for {model}"[:80], expected)
    return lasting if model == DEFAULT_MODEL else [*lasting, "--model", model]


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


@contextmanager
def signals_unwind() -> Iterator[None]:
    """Within the block, signals that would end the process at once end it by way of all ``with`` blocks.

    Its exit code is 128 and the signal's number. Only a process's main thread may enter the block.
    """

    def unwind(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, unwind) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
