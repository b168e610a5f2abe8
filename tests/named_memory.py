"""POSIX shared memory with names, as a client of the Open Inference Protocol makes it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["NamedMemory", "open_memory_files", "path_of"]

_FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux keeps it


class NamedMemory:
    """Names in /dev/shm with a beginning of their own; all are gone when the block ends."""

    def __init__(self) -> None:
        self.prefix = f"/siamcorr_test_{secrets.token_hex(8)}_"

    def __enter__(self) -> NamedMemory:
        return self

    def __exit__(self, *_: object) -> None:
        for path in _FOLDER.glob(f"{self.prefix[1:]}*"):
            path.unlink()

    def key(self, name: str) -> str:
        """Return the key of a name."""
        return self.prefix + name

    def path(self, name: str) -> Path:
        """Return where its file is."""
        return path_of(self.key(name))

    def make(self, name: str, content: bytes) -> str:
        """Make memory, and return its key."""
        self.path(name).write_bytes(content)
        return self.key(name)


def path_of(key: str) -> Path:
    """Return where the file of a key is."""
    return _FOLDER / key[1:]


def open_memory_files(prefix: str) -> list[int]:
    """Return this process's descriptors of memory whose name begins so, mapped or not."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:  # that of the directory itself
            continue
        if target.startswith(f"{_FOLDER}{prefix}"):
            found.append(int(entry.name))
    return found
