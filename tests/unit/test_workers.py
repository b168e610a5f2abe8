"""Workers: each item once, on as many threads as there are, errors included."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from gates import PATIENCE_S
from siamcorr.embed import Workers


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_each_item_is_worked_on_once(threads: int, count: int) -> None:
    workers, seen = Workers(threads), Counter[int]()
    workers.each(lambda index: seen.update([index]), count)
    workers.close()
    assert seen == Counter(range(count))


def test_items_run_side_by_side() -> None:
    workers, together = Workers(3), threading.Barrier(3, timeout=PATIENCE_S)
    workers.each(lambda _: together.wait(), 3)
    workers.close()


def test_nobody_waits_for_threads_that_are_busy_for_another_caller() -> None:
    workers, opened = Workers(2), threading.Event()
    busy = threading.Barrier(3, timeout=PATIENCE_S)

    def work(_: int) -> None:
        busy.wait()
        opened.wait()

    other = threading.Thread(target=workers.each, args=(work, 2))
    other.start()
    busy.wait()
    done = threading.Thread(target=workers.each, args=(lambda _: None, 2))
    done.start()
    done.join(PATIENCE_S)
    waits = done.is_alive()
    opened.set()
    other.join()
    done.join()
    workers.close()
    assert not waits


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_out_once_nothing_runs_any_more(threads: int) -> None:
    workers, running = Workers(threads), Counter[str]()

    def work(index: int) -> None:
        running["now"] += 1
        try:
            if index == 2:
                raise ValueError("two")
        finally:
            running["now"] -= 1

    with pytest.raises(ValueError, match="two"):
        workers.each(work, 6)
    assert not running["now"]
    workers.each(lambda _: None, 6)
    workers.close()
