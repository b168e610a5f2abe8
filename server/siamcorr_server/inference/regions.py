"""Shared memory that clients name: the regions of the protocol's system shared memory calls.

A client makes shared memory, tells its key, and then names places in it instead of sending tensors. So it has
the server open files by name, and read and write them where it says. Hence the rules:

- Off, unless the operator allows names that begin in a certain way. Whoever reaches the port may read and
  write all that begins so: the protocol knows no owners, of neither keys nor regions.
- A key is one name in /dev/shm. What is opened is a plain file of the server's own user, with one name, and
  not through a link. Whatever else is there, a refusal says the same about it, so nobody learns what is.
- Nothing is mapped. Inputs are copied out with pread, answers in with pwrite, so a client that cuts its file
  off, or fills /dev/shm up, gets an error. With a mapping the server would be killed.
- An input is read once, into memory of the server's own. What was checked is what is computed.
- Numbers are checked by subtracting from what is known to be there: no sum can pass a limit by wrapping.
- A request that writes an answer holds its region. Who unregisters it takes the name away at once, and hears
  back when the last such request has ended: from then on the memory is touched no more.
- A region costs a descriptor, so their number is bounded; what they hold together is not, because it takes
  nothing of the server's. One reading is.

Ways rejected:
- A mapping whose file's size is checked before each use: it can shrink during the use. A copy of 1 MiB out of
  it took 0.02 ms where pread took 0.06, and into it 0.02 where pwrite took 0.08. Computing in it without a
  copy would save all of that, and leave what was checked to be changed before it is used.
- Sealing, as :mod:`siamcorr.shared_memory` does: files in /dev/shm cannot be sealed.
- Refusing to unregister what is in use: who shuts down would have to ask again and again.
- shm_open: its Python form is private to the standard library, and on Linux it opens the same file.

Everything is called in the event loop's thread, and nothing but :meth:`Regions.unregister` waits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from siamcorr.arguments import is_int
from siamcorr.errors import InvalidArgument, QueueFull
from siamcorr_server.inference.regions_files import RegionFile

__all__ = ["Region", "Regions", "Use"]

_KEY = re.compile(r"/[A-Za-z0-9_.-]{1,255}")
_KEY_RULE = "'/' and up to 255 of A-Z a-z 0-9 _ . -"
_MAX_NAME_LENGTH = 256
_MAX_REGIONS = 256  # each takes a descriptor, of which a process may have no more than 1024, for all it does


@dataclass(frozen=True, slots=True)
class Region:
    """What a client registered: ``byte_size`` bytes from ``offset`` of the shared memory ``key``."""

    name: str
    key: str
    offset: int
    byte_size: int


class Regions:
    """The regions that clients have registered."""

    def __init__(self, prefixes: Sequence[str] = (), *, max_bytes: int) -> None:
        """Allow keys that begin with one of ``prefixes``; none is off. One reading takes ``max_bytes``."""
        self._prefixes = tuple(prefixes)
        self._max_bytes = max_bytes
        self._registered: dict[str, tuple[Region, RegionFile]] = {}

    @property
    def is_on(self) -> bool:
        """Whether any key is allowed."""
        return bool(self._prefixes)

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open shared memory under a new name.

        Raises:
            InvalidArgument: names ``key``, ``name``, ``offset`` or ``byte_size``.
            QueueFull: there are too many regions.
        """
        self._check_key(key)
        self._check_name(name)
        if not is_int(offset) or offset < 0:
            raise InvalidArgument.found("offset", repr(offset)[:80], "bytes, 0 or more")
        if not is_int(byte_size) or byte_size < 1:
            raise InvalidArgument.found("byte_size", repr(byte_size)[:80], "bytes, 1 or more")
        if len(self._registered) >= _MAX_REGIONS:
            raise QueueFull(f"name: {_MAX_REGIONS} regions are registered, which is as many as there can be")
        region = Region(name, key, offset, byte_size)
        self._registered[name] = region, RegionFile(key, offset, byte_size)

    async def unregister(self, name: str = "") -> None:
        """Take a name away, or all for ``""``, and wait until no request uses what it stood for.

        A name that is not there is fine: that is how clients make sure.
        """
        names = [name] if name else list(self._registered)
        files = [self._registered.pop(gone)[1] for gone in names if gone in self._registered]
        for file in files:
            file.unwanted()
        for file in files:
            await file.closed.wait()

    def status(self, name: str = "") -> list[Region]:
        """Return one region, or all for ``""``, in the order in which they were registered.

        Raises:
            InvalidArgument: names ``name``.
        """
        if name and name not in self._registered:
            raise InvalidArgument.found("name", repr(name)[:80], "a registered region")
        return [region for region, _ in self._registered.values() if name in ("", region.name)]

    def close(self) -> None:
        """Let go of all memory: what a request still uses, when that ends."""
        for _, file in self._registered.values():
            file.unwanted()
        self._registered.clear()

    def read(self, name: str, offset: int, byte_size: int) -> bytes:
        """Return a copy of ``byte_size`` bytes from ``offset`` of a region.

        Raises:
            InvalidArgument: names ``shared_memory_region``, ``shared_memory_offset`` or
                ``shared_memory_byte_size``.
        """
        _, file = self._find(name, offset, byte_size)
        if byte_size > self._max_bytes:
            expected = f"at most {self._max_bytes}, as for a message"
            raise InvalidArgument.found("shared_memory_byte_size", byte_size, expected)
        return file.read(offset, byte_size)

    @contextmanager
    def use(self, name: str, offset: int, byte_size: int) -> Iterator[Use]:
        """Hold ``byte_size`` bytes from ``offset`` of a region for an answer, until the ``with`` block ends.

        Raises:
            InvalidArgument: as :meth:`read`.
        """
        region, file = self._find(name, offset, byte_size)
        file.hold()
        try:
            yield Use(region, file, offset, byte_size)
        finally:
            file.release()

    def _check_key(self, key: str) -> None:
        if not self.is_on:
            expected = "one that was started with --system-shared-memory"
            raise InvalidArgument.found("key", "a server that opens no shared memory by name", expected)
        if _KEY.fullmatch(key) is None:
            raise InvalidArgument.found("key", repr(key)[:80], _KEY_RULE)
        if not key.startswith(self._prefixes):
            raise InvalidArgument.found("key", repr(key)[:80], "one that --system-shared-memory allows")

    def _check_name(self, name: str) -> None:
        if not 0 < len(name) <= _MAX_NAME_LENGTH:
            raise InvalidArgument.found("name", repr(name)[:80], f"1 to {_MAX_NAME_LENGTH} characters")
        if name in self._registered:
            expected = "another, or that one unregistered first"
            raise InvalidArgument.found("name", f"{name!r:.80}, which is registered already", expected)

    def _find(self, name: str, offset: int, byte_size: int) -> tuple[Region, RegionFile]:
        found = self._registered.get(name)
        if found is None:
            raise InvalidArgument.found("shared_memory_region", repr(name)[:80], "a registered region")
        size = found[0].byte_size
        if not is_int(offset) or not 0 <= offset < size:
            raise InvalidArgument.found("shared_memory_offset", repr(offset)[:80], f"0 to {size - 1}")
        if not is_int(byte_size) or not 1 <= byte_size <= size - offset:
            expected = f"1 to {size - offset} from there on"
            raise InvalidArgument.found("shared_memory_byte_size", repr(byte_size)[:80], expected)
        return found


class Use:
    """Room for one answer in a region that is held."""

    def __init__(self, region: Region, file: RegionFile, offset: int, byte_size: int) -> None:
        """Stand on a place that has been checked."""
        self._region = region
        self._file = file
        self._offset = offset
        self._byte_size = byte_size

    def check(self, size_bytes: int) -> None:
        """Check that an answer can be written. Nothing has been so far.

        Raises:
            InvalidArgument: names ``shared_memory_byte_size``, which is too small for it, or
                ``shared_memory_region``, which its client has cut off.
        """
        if size_bytes > self._byte_size:
            found = f"{self._byte_size} bytes in region {self._region.name!r:.80}"
            raise InvalidArgument.found("shared_memory_byte_size", found, f"{size_bytes} for the answer")
        self._file.check("shared_memory_region")

    def write(self, data: bytes | memoryview) -> None:
        """Write an answer.

        Raises:
            InvalidArgument: as :meth:`check`; or the system has no memory for it.
        """
        view = memoryview(data).cast("B")
        self.check(view.nbytes)
        self._file.write(self._offset, view)
