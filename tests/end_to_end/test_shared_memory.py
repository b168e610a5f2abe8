"""Shared memory between real processes: what a kill leaves behind, which must be nothing."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from gates import PATIENCE_S
from servers import ServerProcess, process
from siamcorr_client import Client, ServerUnavailable

Z = np.ones((1, 2, 2), np.float32)
X = np.ones((1, 8, 8), np.float32)

CALLER = """
import sys
import numpy as np
from siamcorr_client import Client
client = Client(sys.argv[1], shared_memory=True)
template = client.create_template(np.ones((1, 2, 2), np.float32))
print(client.correlate(template, features=np.ones((1, 8, 8), np.float32)).map.max(), flush=True)
sys.stdin.read()
"""


def regions(process_id: int) -> int:
    """Return how many regions a process maps or has open."""
    proc = Path("/proc", str(process_id))
    links = []
    for link in proc.joinpath("fd").iterdir():
        try:
            links.append(str(link.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    mapped = proc.joinpath("maps").read_text().splitlines()
    return sum("memfd:siamcorr" in line for line in [*links, *mapped])


def left_behind() -> set[str]:
    """Return what outlives processes."""
    return set(os.listdir("/dev/shm"))  # noqa: S108 - only looked at


def until(condition: Callable[[], bool]) -> None:
    end_s = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < end_s, "it did not come to that"


@contextmanager
def caller(server: ServerProcess) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has made a call through shared memory, and waits."""
    command = [sys.executable, "-c", CALLER, server.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        try:
            assert popen.stdout is not None
            assert popen.stdout.readline().strip() == "4.0"
            yield popen
        finally:
            popen.kill()


@pytest.fixture
def before() -> set[str]:
    """What lies about before."""
    return left_behind()


def test_a_killed_client_leaves_nothing(before: set[str]) -> None:
    with process("--shared-memory", "300MiB") as server:
        assert regions(server.popen.pid) == 0
        for _ in range(2):  # there is room for one of them at a time
            with caller(server) as client:
                assert regions(server.popen.pid) > 0
                client.send_signal(signal.SIGKILL)
                client.wait(PATIENCE_S)
            until(lambda: regions(server.popen.pid) == 0)
        assert server.stop(signal.SIGTERM) == 0
    assert left_behind() == before


def test_a_killed_server_leaves_nothing(before: set[str]) -> None:
    with process("--shared-memory", "300MiB") as server:
        client = Client(server.address, shared_memory=True, attempts=1)
        template = client.create_template(Z)
        assert client.correlate(template, features=X).peaks == ()
        assert regions(os.getpid()) > 0
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(ServerUnavailable):
            client.correlate(template, features=X)
    client.close()
    gc.collect()  # gRPC holds on to the error, and that to the client's slot
    until(lambda: regions(os.getpid()) == 0)
    assert left_behind() == before


def test_a_server_that_was_started_again_is_found_again() -> None:
    with process("--shared-memory", "300MiB") as server:
        client = Client(server.address, shared_memory=True)
        client.create_template(Z)
        server.stop(signal.SIGKILL)
    flags = ("--shared-memory", "300MiB", "--listen", server.address)  # the last --listen counts
    with process(*flags) as server, client:
        client.wait_ready(PATIENCE_S)
        template = client.create_template(Z)
        assert client.correlate(template, features=X).map is not None
        assert regions(server.popen.pid) > 0
        client.close()
        server.stop(signal.SIGTERM)
