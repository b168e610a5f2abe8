"""Which machine the figures are of."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["describe", "resident_mib"]


def describe() -> str:
    """Say in one line what the machine is, what runs on it, and how busy it was before."""
    packages = [f"{name} {version(name)}" for name in ("torch", "numpy", "grpcio")]
    parts = [
        _cpu(),
        f"{os.cpu_count()} cores",
        platform.system(),
        f"Python {platform.python_version()}",
        *packages,
        f"load before {os.getloadavg()[0]:.1f}",
    ]
    return ", ".join(parts)


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def resident_mib(pid: int | str = "self") -> float:
    """Return the resident set of a process, in MiB. It is known on Linux only."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    lines = [line.split() for line in status.splitlines()]
    return next(int(words[1]) for words in lines if words[0] == "VmRSS:") / 1024
