"""What a run says about the machine, and of the processes on it."""

from __future__ import annotations

import os
import platform
import re
import socket
from ipaddress import ip_address

import grpc
import numpy as np
import psutil

from siamcorr_load.results import Json

__all__ = ["describe", "resident_bytes", "server_process", "shares_machine"]

_SCHEME = re.compile(r"(dns|ipv4|ipv6):(//[^/]*/)?")


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

    None where there is none, or several listen there, or it is another user's, so not ours to look at.
    """
    try:
        if pid is None and shares_machine(server):
            pid = _listener(server.rpartition(":")[2])
        return None if pid is None else psutil.Process(pid)
    except psutil.Error:
        return None


def shares_machine(server: str) -> bool:
    """Whether a server's address is on this machine: a name of it, or an address of one of its interfaces.

    >>> [shares_machine(one) for one in ("127.0.0.1:50051", "localhost:1", "[::1]:1", "unix:/a", "camera7:1")]
    [True, True, True, True, False]
    >>> [shares_machine(one) for one in ("dns:///localhost:1", "ipv4:127.0.0.1:1", "0.0.0.0:1")]
    [True, True, True]
    """
    if server.startswith(("unix:", "unix-abstract:")):
        return True
    host = _SCHEME.sub("", server, count=1).rpartition(":")[0].strip("[]").lower()
    try:
        address = ip_address(host)
    except ValueError:
        return host in {"localhost", socket.gethostname().lower()}
    own = (one.address for each in psutil.net_if_addrs().values() for one in each)
    return address.is_loopback or address.is_unspecified or f"{address}" in own


def _listener(port: str) -> int | None:
    listening = (one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN)
    pids = {one.pid for one in listening if one.laddr and f"{one.laddr.port}" == port}
    return pids.pop() if len(pids) == 1 else None
