"""A siamcorr-server that is killed and started again at the same address."""

from __future__ import annotations

import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from siamcorr.errors import InvalidArgument, ServerUnavailable
from siamcorr_client.server_process import COMMAND

__all__ = ["ServedProcess", "served_process"]

_READY = b"listening on "
_LAST_WORDS = 500
_END_S = 10.0


class ServedProcess:
    """A server's process; :func:`served_process` makes one that ends with a block."""

    def __init__(self, flags: Sequence[str], stderr: IO[bytes]) -> None:
        """Choose a free port, and do not start yet; what the server logs goes to ``stderr``."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._command = [*COMMAND, "--listen", self.address, *flags]
        self._stderr = stderr
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it listens.

        Raises:
            ServerUnavailable: it ended instead. What it wrote to stderr last is part of the message.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own program, without a shell
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line.startswith(_READY):
            self.kill()
            self._stderr.seek(max(0, self._stderr.seek(0, 2) - _LAST_WORDS))
            words = self._stderr.read().decode(errors="replace").strip()
            raise ServerUnavailable(f"the server did not listen; its last words:\n{words}")

    def kill(self) -> None:
        """End it without a warning."""
        if self._process is not None:
            with self._process as process:
                process.kill()

    def end(self) -> int | None:
        """Ask it to end, and return its exit code; None: it had to be killed, or was not started."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()


@contextmanager
def served_process(flags: str, ttl_s: float) -> Iterator[ServedProcess]:
    """Run a server with ``flags``, as in a shell, and templates that live ``ttl_s``, until the block ends.

    Raises:
        InvalidArgument: names ``serve``: a quotation mark in the flags has no other.
        ServerUnavailable: it did not listen.
    """
    try:
        words = shlex.split(flags)
    except ValueError as error:
        raise InvalidArgument.found("serve", repr(flags)[:80], "flags as in a shell") from error
    with tempfile.TemporaryFile() as stderr:
        server = ServedProcess(["--template-ttl", f"{ttl_s:g}", *words], stderr)
        try:
            server.start()
            yield server
        finally:
            server.end()
