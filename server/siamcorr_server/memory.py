"""The allocator's habits, for a program that moves megabytes in and out all day.

glibc takes large blocks freshly from the system and gives them back when they are freed, so each message's
bytes are paid for in page faults: of a response of 1 MiB, building and serializing took 2.0 ms, and 0.15 ms
once the allocator keeps what it has. The price is that a process stays as large as it was at its busiest.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["keep_freed_memory", "spare_what_stays"]

# From glibc's malloc.h. Older ones take no larger threshold than this.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT_BYTES = 32 << 20
_KEPT_IN_ALL_BYTES = 512 << 20


def keep_freed_memory() -> bool:
    """Let blocks of up to 32 MiB be used again instead of going back to the system.

    It is for a whole process, so a program decides on it and no library. False: this system's allocator is
    another one, and nothing was changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_IN_ALL_BYTES)
    )


def spare_what_stays() -> None:
    """Let the garbage collector pass over all objects that are there now: torch's own, and the engine's.

    They stay as long as the process. Looking through them again and again took a seventh of a busy server's
    time.
    """
    gc.collect()
    gc.freeze()
