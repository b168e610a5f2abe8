"""Calls of compiled code, shared out between threads.

Compiled code lets go of the interpreter's lock, so threads of our own will do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from siamcorr.ops.machine_code import Kernel

__all__ = ["parts_of", "run", "threads_worth"]

_THREAD_MULTIPLY_ADDS = 4_000_000  # a tenth of a millisecond: what it is worth to wake a thread for


def threads_worth(multiply_adds: int) -> int:
    """Return on how many threads to compute: no more than torch would, and than is worth it."""
    return max(1, min(torch.get_num_threads(), multiply_adds // _THREAD_MULTIPLY_ADDS))


def parts_of(number: int, threads: int) -> list[tuple[int, int]]:
    """Split so many outputs between threads.

    >>> parts_of(256, 3), parts_of(1, 2)
    ([(0, 85), (85, 170), (170, 256)], [(0, 1)])
    """
    parts = min(number, threads)
    return [(number * part // parts, number * (part + 1) // parts) for part in range(parts)]


def run(kernel: Kernel, calls: Sequence[tuple[int, ...]], threads: int) -> None:
    """Make the calls, shared out between so many threads, this one among them."""
    mine, *others = (calls[first::threads] for first in range(min(threads, len(calls))))
    waiting = [_pool().submit(kernel.each, share) for share in others]
    kernel.each(mine)
    for other in waiting:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="siamcorr-kernel")


if hasattr(os, "register_at_fork"):  # the child has none of the pool's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
