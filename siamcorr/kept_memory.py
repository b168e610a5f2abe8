"""Freed memory that stays: what one call has used, the next one finds in place.

glibc hands a large block back to the kernel as soon as it is freed, and for the next call the kernel clears
each of its pages again: a third of the time of an FFT, and of what a client needs to send 1 MiB. What "large"
is adapts: up to 32 MiB, the largest block that a process has freed so far is kept from then on, and twice as
much in all. So one block is freed in advance, which touches none of its pages. Other allocators take no
notice.

Rejected: mallopt, which switches the adapting off and is for who owns the process; memory of our own, because
gRPC and torch bring what they return with them.
"""

from __future__ import annotations

__all__ = ["KEPT_BYTES", "keep_freed_memory"]

KEPT_BYTES = 31 << 20
"""The largest block that is kept, for certain."""


def keep_freed_memory() -> None:
    """Free a block of :data:`KEPT_BYTES`."""
    bytearray(KEPT_BYTES)
