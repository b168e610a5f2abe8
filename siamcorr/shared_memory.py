"""Memory that two processes of one host share: a region of slots, each for one message's payload at a time.

Rules:
- The server makes the region. It is memory without a name (memfd), which the kernel frees when nobody maps
  it any more: nothing is left behind, however the two processes end.
- The other process opens it as ``/proc/PID/fd/N``. The kernel grants that to the server's own user, and the
  file's mode, 0600, says so once more.
- It is sealed: nobody can make it smaller. Who reads beyond a file's end is killed.
- It begins with a key that nobody can guess, so a process knows that it has opened the region that it was
  told of, before it writes a byte. A request names the region by that key.
- A slot has one owner at a time, and a message hands it over: to the server with the request, to the client
  with the answer. The sequence number catches a peer that breaks this. It is odd while the payload is being
  written, and who reads a payload checks it before and afterwards. (:meth:`Slot.check`)
- Nothing in a region is believed. Shapes and lengths come in messages, and are checked before they are used.
- Nothing is closed: what reads a slot holds a view, and the mapping goes with its last view.

Ways rejected:
- A file in /dev/shm: it outlives two processes that are killed; a peer that has it open can cut it off and
  so kill the other; and where /dev/shm is full (64 MiB in a container), the first to write is killed.
- ``multiprocessing.shared_memory``: names that others can list, and a tracker that unlinks what others use.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from siamcorr.arguments import as_count, is_int
from siamcorr.errors import InvalidArgument

if sys.platform == "linux":
    import fcntl

__all__ = ["KEY_BYTES", "Layout", "Region", "Slot", "create_region", "open_region"]

KEY_BYTES = 16
"""Length of a region's key."""

_LINE = 64  # bytes: a cache line, in front of the slots and of each slot's payload
_MAX_SLOTS = 1024
_SLOT_BYTES = (1 << 12, (1 << 31) - _LINE)
_MAX_SEQUENCE = 1 << 62

_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layout:
    """How many slots, and how large a payload each takes: a multiple of 64 bytes.

    Raises:
        InvalidArgument: names ``slots`` or ``slot_bytes``.

    >>> Layout(slots=2, slot_bytes=4096).size_bytes
    8384
    """

    slots: int
    slot_bytes: int

    def __post_init__(self) -> None:
        """Refuse what cannot be laid out."""
        as_count(self.slots, "slots", most=_MAX_SLOTS)
        least, most = _SLOT_BYTES
        value = self.slot_bytes
        if not is_int(value) or not least <= value <= most or value % _LINE:
            expected = f"a multiple of {_LINE} from {least} to {most}"
            raise InvalidArgument.found("slot_bytes", repr(value)[:80], expected)

    @property
    def room_bytes(self) -> int:
        """What all slots hold together."""
        return self.slots * self.slot_bytes

    @property
    def size_bytes(self) -> int:
        """Of the whole region."""
        return _LINE + self.slots * self._stride_bytes

    def start(self, slot: int) -> int:
        """Return where a slot begins, in bytes."""
        return _LINE + slot * self._stride_bytes

    @property
    def _stride_bytes(self) -> int:
        return _LINE + self.slot_bytes


class Slot:
    """One slot: a sequence number and room for a payload."""

    def __init__(self, raw: _Bytes) -> None:
        """Stand on ``raw``, the slot's own part of the region."""
        self._sequence = raw[:8].view(np.uint64)
        self._room = raw[_LINE:]

    @property
    def capacity_bytes(self) -> int:
        """The largest payload."""
        return self._room.nbytes

    def write(self, parts: Iterable[bytes | memoryview], sequence: int) -> int:
        """Write a payload, which has to fit, under an even ``sequence``; return its length in bytes."""
        self._sequence[0] = sequence - 1
        end = 0
        for part in parts:
            start, end = end, end + memoryview(part).nbytes
            self._room[start:end] = np.frombuffer(part, np.uint8)
        self._sequence[0] = sequence
        return end

    def read(self, sequence: int, length_bytes: int) -> _Bytes:
        """Return a view of the payload. To be checked once more when it has been used: see :meth:`check`.

        Raises:
            InvalidArgument: names ``shared``.
        """
        if not 0 <= length_bytes <= self.capacity_bytes:
            raise InvalidArgument.found("shared", f"{length_bytes} bytes", f"at most {self.capacity_bytes}")
        if not 0 < sequence <= _MAX_SEQUENCE or sequence % 2:
            expected = f"an even one, at most {_MAX_SEQUENCE}"
            raise InvalidArgument.found("shared", f"sequence number {sequence}", expected)
        self.check(sequence)
        view = self._room[:length_bytes]
        view.flags.writeable = False
        return view

    def check(self, sequence: int) -> None:
        """Check that the slot still holds what was written under ``sequence``.

        Raises:
            InvalidArgument: names ``shared``.
        """
        if int(self._sequence[0]) != sequence:
            raise InvalidArgument.found("shared", "a slot that was written to meanwhile", "it left alone")


class Region:
    """A mapped region, as long as somebody holds it or a view of it."""

    def __init__(self, layout: Layout, memory: mmap.mmap) -> None:
        """Lay slots into ``memory``."""
        raw = np.frombuffer(memory, np.uint8)
        self.layout = layout
        self.memory = memory
        self.key = memory[:KEY_BYTES]  # read once: the peer could write another one
        starts = [layout.start(slot) for slot in range(layout.slots + 1)]
        self._slots = [Slot(raw[start:end]) for start, end in pairwise(starts)]

    def slot(self, number: int) -> Slot:
        """Return a slot.

        Raises:
            InvalidArgument: names ``shared``: there is none of this number.
        """
        if not 0 <= number < len(self._slots):
            raise InvalidArgument.found("shared", f"slot {number}", f"0 to {len(self._slots) - 1}")
        return self._slots[number]


def create_region(layout: Layout) -> tuple[int, Region]:
    """Make a region, and the descriptor under which it can be opened until that is closed.

    Raises:
        OSError: the system refuses.
    """
    descriptor = os.memfd_create("siamcorr", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, layout.size_bytes)
        fcntl.fcntl(
            descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        )
        memory = mmap.mmap(descriptor, layout.size_bytes)
    except BaseException:
        os.close(descriptor)
        raise
    memory[:KEY_BYTES] = secrets.token_bytes(KEY_BYTES)
    return descriptor, Region(layout, memory)


def open_region(process_id: int, descriptor: int, key: bytes, layout: Layout) -> Region:
    """Open what another process has made.

    Raises:
        InvalidArgument: names ``shared_memory``: it is not there, or not what it should be.

    >>> descriptor, region = create_region(Layout(slots=2, slot_bytes=4096))
    >>> opened = open_region(os.getpid(), descriptor, region.key, region.layout)
    >>> region.slot(1).write([b"abc"], sequence=2)
    3
    >>> opened.slot(1).read(sequence=2, length_bytes=3).tobytes()
    b'abc'
    >>> os.close(descriptor)
    """
    path = f"/proc/{process_id}/fd/{descriptor}"
    try:
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise _not_opened(f"the server's cannot be opened ({error.strerror})") from error
    try:
        _check_file(opened, layout.size_bytes)
        memory = mmap.mmap(opened, layout.size_bytes)
    except OSError as error:
        raise _not_opened(f"the server's cannot be mapped ({error.strerror})") from error
    finally:
        os.close(opened)
    region = Region(layout, memory)
    if not secrets.compare_digest(region.key, key):
        raise _not_opened("memory of another process")
    return region


def _check_file(descriptor: int, size_bytes: int) -> None:
    """Look at a file that a peer has named before any of it is touched."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != 0o600:
        raise _not_opened(f"a file of mode {status.st_mode:o}")
    if status.st_size != size_bytes:
        raise _not_opened(f"{status.st_size} bytes where {size_bytes} were agreed")
    if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
        raise _not_opened("memory that could be cut off")


def _not_opened(found: str) -> InvalidArgument:
    expected = "a server that has it on, on this host and under this user"
    return InvalidArgument.found("shared_memory", found, expected)
