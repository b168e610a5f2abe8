"""What a run says about the machine, and how much memory processes have."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import grpc
import numpy as np

from siamcorr_load.results import Json

__all__ = ["describe", "resident_bytes", "shares_machine"]


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


def resident_bytes(process: int | None) -> int | None:
    """Return a process's resident memory; None where there is no such process, or no /proc to ask.

    >>> resident_bytes(None) is None
    True
    """
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def shares_machine(server: str) -> bool:
    """Whether a server's address is on this machine.

    >>> [shares_machine(one) for one in ("127.0.0.1:50051", "localhost:1", "[::1]:1", "unix:/a", "camera7:1")]
    [True, True, True, True, False]
    """
    if server.startswith("unix:"):
        return True
    host = server.rpartition(":")[0].strip("[]")
    return host in {"localhost", "::1"} or host.startswith("127.")
