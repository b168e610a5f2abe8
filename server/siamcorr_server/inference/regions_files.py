"""A file of shared memory that a client has named: opened, looked at, read and written, never mapped.

:mod:`siamcorr_server.inference.regions` has the rules, and why.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat

from siamcorr.errors import InvalidArgument, QueueFull

__all__ = ["RegionFile"]

_FOLDER = "/dev/shm"  # noqa: S108 - no temporary file: where Linux keeps POSIX shared memory
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class RegionFile:
    """``byte_size`` bytes from ``start`` of an open file, for as long as it is wanted or held.

    ``closed`` is set when it is neither.
    """

    def __init__(self, key: str, start: int, byte_size: int) -> None:
        """Open the file of ``key``, a checked name after a slash.

        Raises:
            InvalidArgument: names ``key``, or ``byte_size`` where the file is smaller.
            QueueFull: this process can open no more files.
        """
        self.closed = asyncio.Event()
        self._start = start
        self._byte_size = byte_size
        self._holders = 0
        self._is_wanted = True
        self._descriptor = _open(key)
        try:
            _check_is_ours(self._descriptor)
            self.check("byte_size")
        except BaseException:
            self.unwanted()
            raise

    def check(self, field: str) -> None:
        """Check that the file is as large as it was. Nothing keeps its client from cutting it off.

        Raises:
            InvalidArgument: names ``field``.
        """
        size = os.fstat(self._descriptor).st_size
        if self._byte_size > size - self._start:
            raise _cut_off(field)

    def read(self, offset: int, byte_size: int) -> bytes:
        """Return a copy of bytes that were checked to lie within.

        Raises:
            InvalidArgument: names ``shared_memory_region``: the file was cut off.
        """
        data = os.pread(self._descriptor, byte_size, self._start + offset)
        if len(data) < byte_size:
            raise _cut_off("shared_memory_region")
        return data

    def write(self, offset: int, data: memoryview) -> None:
        """Write bytes that were checked to lie within.

        Raises:
            InvalidArgument: names ``shared_memory_region``: the system has no memory for it.
        """
        place = self._start + offset
        try:
            while data:
                written = os.pwrite(self._descriptor, data, place)
                place += written
                data = data[written:]
        except OSError as error:
            found = f"memory that cannot be written ({error.strerror})"
            raise InvalidArgument.found("shared_memory_region", found, "room in /dev/shm") from error

    def hold(self) -> None:
        """Keep the file open until :meth:`release`."""
        self._holders += 1

    def release(self) -> None:
        """Undo one :meth:`hold`."""
        self._holders -= 1
        self._close_unused()

    def unwanted(self) -> None:
        """Close the file, as soon as nobody holds it."""
        self._is_wanted = False
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._is_wanted and not self._holders and not self.closed.is_set():
            os.close(self._descriptor)
            self._descriptor = -1  # the number will be another file's: a late use must fail
            self.closed.set()


def _open(key: str) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK  # a file with a lease would hold the event loop
    try:
        return os.open(f"{_FOLDER}{key}", flags)
    except OSError as error:
        if error.errno in _NO_DESCRIPTORS:
            raise QueueFull("name: the server has as many files open as it may") from error
        raise _not_ours() from error


def _check_is_ours(descriptor: int) -> None:
    status = os.fstat(descriptor)
    is_plain = stat.S_ISREG(status.st_mode) and status.st_nlink <= 1
    if not is_plain or status.st_uid != os.geteuid():
        raise _not_ours()


def _not_ours() -> InvalidArgument:
    expected = "a plain file in /dev/shm of the server's own user"
    return InvalidArgument.found("key", "no such shared memory", expected)


def _cut_off(field: str) -> InvalidArgument:
    return InvalidArgument.found(field, "shared memory that ends before the region does", "all of it")
