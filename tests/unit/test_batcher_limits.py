"""The batcher's refusals: bounds, hints when to try again, ids, and wrong values."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchers import batcher, ids, jobs
from siamcorr.batcher import Batcher, Job
from siamcorr.errors import InternalError, InvalidArgument, QueueFull


def test_a_request_is_admitted_whole_or_not_at_all() -> None:
    queue = batcher(max_jobs=4)
    queue.admit(jobs("aaa"), 0.0)
    with pytest.raises(QueueFull):
        queue.admit(jobs("bb", first_id=10), 0.0)
    assert queue.waiting == 3
    queue.admit(jobs("b", first_id=10), 0.0)
    assert [ids(queue.take(0.0)), ids(queue.take(0.0))] == [[0, 1, 2], [10]]


def test_running_jobs_count_until_they_are_done() -> None:
    queue = batcher(max_jobs=2, max_bytes=100)
    queue.admit(jobs("aa", size_bytes=30), 0.0)
    queue.take(0.0)
    assert (queue.waiting, queue.running, queue.queued_bytes) == (0, 2, 60)
    with pytest.raises(QueueFull):
        queue.admit(jobs("a", first_id=2), 0.0)
    queue.done([0], 0.0)
    assert (queue.waiting, queue.running, queue.queued_bytes) == (0, 1, 30)
    queue.admit(jobs("a", first_id=2), 0.0)


def test_a_full_queue_names_the_bound() -> None:
    queue = batcher(max_jobs=4, max_bytes=100)
    queue.admit(jobs("aa", size_bytes=40), 0.0)
    with pytest.raises(QueueFull, match="max_jobs is 4, found 2 waiting or running and 3 more") as full:
        queue.admit(jobs("aaa", first_id=2), 0.0)
    assert full.value.field == "max_jobs"
    with pytest.raises(QueueFull, match="max_bytes is 100, found 80 waiting or running and 21 more") as full:
        queue.admit(jobs("a", first_id=2, size_bytes=21), 0.0)
    assert full.value.field == "max_bytes"


def test_what_could_never_fit_is_the_callers_fault_even_when_the_queue_is_full() -> None:
    queue = batcher(max_jobs=4, max_bytes=100)
    queue.admit(jobs("aaaa", size_bytes=25), 0.0)
    with pytest.raises(InvalidArgument, match=r"found 5 jobs, expected at most 4 \(max_jobs\)"):
        queue.admit(jobs("aaaaa", first_id=4), 0.0)
    with pytest.raises(InvalidArgument, match=r"found 101 bytes, expected at most 100 \(max_bytes\)"):
        queue.admit(jobs("a", first_id=4, size_bytes=101), 0.0)
    assert queue.waiting == 4


def hint_s(queue: Batcher, count: int = 1, now_s: float = 0.0) -> float:
    with pytest.raises(QueueFull) as full:
        queue.admit(jobs("a" * count, first_id=100), now_s)
    assert full.value.retry_after_s is not None
    return full.value.retry_after_s


def test_the_hint_follows_the_rate_of_the_device() -> None:
    queue = batcher(max_jobs=4, max_batch=2)
    queue.admit(jobs("aaaa"), 50.0)
    assert hint_s(queue) == 0.1, "nothing is known yet"
    queue.take(50.0)
    queue.done([0, 1], 51.0)
    queue.admit(jobs("aa", first_id=10), 51.0)
    assert hint_s(queue, now_s=51.0) == pytest.approx(0.5), "two jobs took one second"
    assert hint_s(queue, 3, now_s=51.0) == pytest.approx(1.5)
    queue.take(51.0)
    assert hint_s(queue, now_s=54.0) == 3.0, "it has been silent for three seconds"
    assert hint_s(queue, now_s=90.0) == 10.0
    queue.done([2, 3], 54.0)
    assert queue._seconds_per_job == pytest.approx(0.8 * 0.5 + 0.2 * 1.5)


def test_the_hint_counts_overlapping_batches_once_and_idle_time_never() -> None:
    queue = batcher(max_batch=1)
    queue.admit(jobs("aaa"), 0.0)
    queue.take(0.0)
    queue.take(1.0)
    queue.done([0], 2.0)
    queue.done([1], 4.0)
    assert queue._seconds_per_job == pytest.approx(2.0)
    queue.take(100.0)
    queue.done([2], 102.0)
    assert queue._seconds_per_job == pytest.approx(2.0)


def test_the_hint_of_bytes_is_in_jobs_of_their_size() -> None:
    queue = batcher(max_bytes=100, max_batch=1)
    queue.admit(jobs("aaaaa", size_bytes=20), 0.0)
    queue.take(0.0)
    queue.done([0], 0.25)
    with pytest.raises(QueueFull) as full:
        queue.admit([Job(9, "a", size_bytes=60)], 0.25)
    assert full.value.retry_after_s == pytest.approx(0.5), "two jobs of 20 bytes must end"


def test_an_id_may_live_again_and_does_not_inherit_a_deadline() -> None:
    queue = batcher()
    queue.admit([Job(0, "a", deadline_s=1.0)], 0.0)
    queue.take(0.0)
    queue.done([0], 0.0)
    queue.admit([Job(0, "a", deadline_s=9.0)], 0.0)
    assert queue.next_deadline() == 9.0
    assert queue.expire(5.0) == ()


def test_an_id_cannot_be_used_twice_at_a_time() -> None:
    queue = batcher()
    with pytest.raises(InternalError, match="used twice"):
        queue.admit([Job(5, "a"), Job(5, "b")], 0.0)
    queue.admit([Job(5, "a")], 0.0)
    with pytest.raises(InternalError, match="used twice"):
        queue.admit([Job(6, "a"), Job(5, "a")], 0.0)
    queue.take(0.0)
    with pytest.raises(InternalError, match="used twice"):
        queue.admit([Job(6, "a"), Job(5, "a")], 0.0)
    assert (queue.waiting, queue.running) == (0, 1)


@pytest.mark.parametrize("wrong", [[0, 2], [0, 0], [99]])
def test_only_running_jobs_can_be_done_and_only_once(wrong: list[int]) -> None:
    queue = batcher(max_batch=2)
    queue.admit(jobs("aaa"), 0.0)
    queue.take(0.0)
    with pytest.raises(InternalError, match="not running"):
        queue.done(wrong, 0.0)
    assert queue.running == 2


WRONG: list[tuple[str, Callable[[], object]]] = [
    ("max_jobs", lambda: batcher(max_jobs=0)),
    ("max_bytes", lambda: batcher(max_bytes=-1)),
    ("max_batch", lambda: batcher(max_batch=True)),
    ("max_batch", lambda: batcher(max_batch=1.5)),  # type: ignore[arg-type]
    ("size", lambda: Job(0, "a", size=0)),
    ("size_bytes", lambda: Job(0, "a", size_bytes=-1)),
    ("deadline_s", lambda: Job(0, "a", deadline_s=float("nan"))),
]


@pytest.mark.parametrize(("field", "make"), WRONG)
def test_a_wrong_value_is_named(field: str, make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument) as error:
        make()
    assert error.value.field == field
