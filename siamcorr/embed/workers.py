"""Threads that share the items of a batch, one of them the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

__all__ = ["Workers"]


class Workers:
    """``threads`` in all; they start when they are needed, and end with :meth:`close`.

    >>> workers, squares = Workers(2), [0] * 4
    >>> workers.each(lambda index: squares.__setitem__(index, index * index), len(squares))
    >>> squares
    [0, 1, 4, 9]
    """

    def __init__(self, threads: int) -> None:
        """Take as many threads."""
        self.threads = threads
        self._pool = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="siamcorr-worker")

    def each(self, work: Callable[[int], object], count: int) -> None:
        """Call ``work`` with 0 to ``count`` - 1, once each, and wait for all; its first error is raised.

        Threads that are busy for another caller are not waited for.
        """
        left = iter(range(count))  # of which a thread takes the next one, and no other the same

        def serve() -> None:
            for index in left:
                work(index)

        helpers = [self._pool.submit(serve) for _ in range(min(self.threads, count) - 1)]
        try:
            serve()
        finally:
            started = [helper for helper in helpers if not helper.cancel()]
            wait(started)
        for helper in started:
            helper.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
