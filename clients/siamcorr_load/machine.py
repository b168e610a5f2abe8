"""What a run says about the machine, and of the processes on it."""

from __future__ import annotations

import os
import platform

import grpc
import numpy as np
import psutil

from siamcorr_load.results import Json

__all__ = ["describe", "resident_bytes", "server_process", "shares_machine"]


def describe() -> dict[str, Json]:
    """Return what the figures depend on, of the generators' machine."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "grpc": grpc.__version__,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def resident_bytes(process: psutil.Process | None) -> int | None:
    """Return a process's resident memory; None where there is none, or none any more.

    >>> resident_bytes(psutil.Process()) > 1 << 20, resident_bytes(None)
    (True, None)
    """
    try:
        return None if process is None else int(process.memory_info().rss)
    except psutil.Error:
        return None


def server_process(server: str, pid: int | None = None) -> psutil.Process | None:
    """Return the process ``pid``, or else what listens at the server's address, if that is on this machine.

    None where there is none, or it is not ours to look at: another user's, or in a container.
    """
    try:
        if pid is None and shares_machine(server):
            pid = _listener(server.rpartition(":")[2])
        return None if pid is None else psutil.Process(pid)
    except psutil.Error:
        return None


def shares_machine(server: str) -> bool:
    """Whether a server's address is on this machine.

    >>> [shares_machine(one) for one in ("127.0.0.1:50051", "localhost:1", "[::1]:1", "unix:/a", "camera7:1")]
    [True, True, True, True, False]
    """
    if server.startswith("unix:"):
        return True
    host = server.rpartition(":")[0].strip("[]")
    return host in {"localhost", "::1"} or host.startswith("127.")


def _listener(port: str) -> int | None:
    listening = (one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN)
    return next((one.pid for one in listening if one.laddr and f"{one.laddr.port}" == port), None)
