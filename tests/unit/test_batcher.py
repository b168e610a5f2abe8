"""The batcher: who runs next, and that every job leaves exactly once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchers import batcher, ids, jobs
from siamcorr.batcher import Batch, Batcher, Job
from siamcorr.errors import InternalError


def run_all(queue: Batcher, now_s: float = 0.0) -> list[list[int]]:
    """Run batches one after the other until the queue is empty."""
    batches = []
    while batch := queue.take(now_s):
        queue.check_invariants()
        queue.done(ids(batch), now_s)
        batches.append(ids(batch))
    return batches


def test_sixty_four_jobs_of_six_keys_are_six_batches() -> None:
    queue = batcher()
    waiting = jobs("abcdef" * 10 + "abcd")
    random.Random(1).shuffle(waiting)
    queue.admit(waiting, 0.0)
    batches = run_all(queue)
    assert len(batches) == 6
    assert sorted(job for batch in batches for job in batch) == list(range(64))


def test_an_idle_batcher_gives_a_lonely_job_at_once() -> None:
    queue = batcher()
    assert queue.take(0.0) is None
    queue.admit(jobs("a"), 0.0)
    assert ids(queue.take(0.0)) == [0]
    assert queue.take(0.0) is None


def test_the_key_of_the_oldest_job_is_next_and_its_jobs_keep_their_order() -> None:
    queue = batcher(max_batch=2)
    queue.admit(jobs("abaab"), 0.0)
    assert run_all(queue) == [[0, 2], [1, 4], [3]]


def test_no_key_starves_behind_a_busy_one() -> None:
    queue = batcher(max_batch=4)
    queue.admit(jobs("aaaab"), 0.0)
    served = []
    for turn in range(1, 4):
        queue.admit(jobs("aaaa", first_id=10 * turn), 0.0)
        batch = queue.take(0.0)
        queue.done(ids(batch), 0.0)
        served.append(ids(batch))
    assert served == [[0, 1, 2, 3], [4], [10, 11, 12, 13]]


def test_a_batch_is_full_of_pairs_and_a_larger_job_runs_alone() -> None:
    queue = batcher(max_batch=8)
    queue.admit([Job(n, "a", size=size) for n, size in enumerate([5, 3, 1, 9, 4, 5])], 0.0)
    assert run_all(queue) == [[0, 1], [2], [3], [4], [5]]


def test_a_job_expires_when_its_deadline_is_reached_and_is_told_once() -> None:
    queue = batcher()
    queue.admit([Job(0, "a", deadline_s=5.0), Job(1, "a", deadline_s=3.0), Job(2, "b")], 0.0)
    assert queue.next_deadline() == 3.0
    assert queue.expire(2.999) == ()
    assert [job.id for job in queue.expire(3.0)] == [1]
    assert queue.next_deadline() == 5.0
    batch = queue.take(6.0)
    assert batch is not None
    assert [job.id for job in batch.expired] == [0]
    assert ids(batch) == [2]
    assert queue.next_deadline() is None
    assert queue.take(7.0) is None


def test_when_all_have_expired_the_batch_is_empty_and_says_so() -> None:
    queue = batcher()
    late = jobs("ab", size_bytes=10, deadline_s=1.0)
    queue.admit(late, 0.0)
    assert queue.take(1.0) == Batch((), tuple(late))
    assert (queue.waiting, queue.running, queue.queued_bytes) == (0, 0, 0)


def test_a_running_job_has_no_deadline_any_more() -> None:
    queue = batcher()
    queue.admit(jobs("a", deadline_s=1.0), 0.0)
    queue.take(0.5)
    assert queue.next_deadline() is None
    assert queue.expire(2.0) == ()
    queue.done([0], 2.0)


def test_cancelling_works_for_waiting_jobs_only() -> None:
    queue = batcher(max_batch=1)
    queue.admit(jobs("aa", size_bytes=7), 0.0)
    queue.take(0.0)
    assert not queue.cancel(0), "it runs"
    assert not queue.cancel(99), "nobody knows it"
    assert (queue.waiting, queue.running, queue.queued_bytes) == (1, 1, 14)
    assert queue.cancel(1)
    assert not queue.cancel(1)
    assert (queue.waiting, queue.running, queue.queued_bytes) == (0, 1, 7)


def test_cancel_and_timeout_together_free_the_slot_once() -> None:
    queue = batcher(max_jobs=1, max_bytes=10)
    (job,) = jobs("a", size_bytes=10, deadline_s=1.0)
    queue.admit([job], 0.0)
    assert queue.cancel(job.id)
    assert queue.expire(1.0) == ()
    queue.admit([Job(1, "a", size_bytes=10, deadline_s=2.0)], 1.0)
    assert [late.id for late in queue.expire(2.0)] == [1]
    assert not queue.cancel(1)
    assert queue.queued_bytes == 0
    queue.check_invariants()


class CountingKey:
    """A key that counts how often it is looked at."""

    looks = 0

    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        CountingKey.looks += 1
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        CountingKey.looks += 1
        return isinstance(other, CountingKey) and self.name == other.name


@pytest.mark.parametrize("per_key", [1, 50])
def test_no_step_looks_at_the_jobs_of_other_keys(per_key: int) -> None:
    def looks(others: int) -> int:
        queue = batcher(max_jobs=100_000)
        queue.admit([Job(n, CountingKey(0)) for n in range(3)], 0.0)
        queue.admit([Job(10 + n, CountingKey(1 + n // per_key)) for n in range(others)], 0.0)
        CountingKey.looks = 0
        queue.admit([Job(5, CountingKey(0), deadline_s=9.0)], 0.0)
        queue.cancel(1)
        assert ids(queue.take(1.0)) == [0, 2, 5]
        queue.done([0, 2, 5], 2.0)
        return CountingKey.looks

    assert looks(5000) == looks(50) > 0


def test_deadlines_of_jobs_that_left_are_forgotten() -> None:
    queue = batcher()
    queue.admit([Job(0, "a", deadline_s=1.0)], 0.0)
    for n in range(1, 2000):
        queue.admit([Job(n, "a", deadline_s=1e6 + n)], 0.0)
        queue.cancel(n)
    assert len(queue._deadlines) < 100
    assert queue.next_deadline() == 1.0


def test_broken_accounts_are_found() -> None:
    queue = batcher()
    queue.admit(jobs("ab", deadline_s=1.0), 0.0)
    queue._bytes += 1
    queue._by_key["b"].clear()
    queue._deadlines.clear()
    with pytest.raises(InternalError, match=r"bytes are not.*queues differ.*is empty.*not watched"):
        queue.check_invariants()


@given(
    keys=st.text("abc", min_size=1, max_size=60),
    max_batch=st.integers(1, 8),
    sizes=st.lists(st.integers(1, 6), min_size=60, max_size=60),
)
@settings(deadline=None, max_examples=100)
def test_every_job_runs_once_in_the_order_of_its_key(keys: str, max_batch: int, sizes: list[int]) -> None:
    queue = batcher(max_batch=max_batch)
    queue.admit([Job(n, key, size=sizes[n]) for n, key in enumerate(keys)], 0.0)
    batches = run_all(queue)
    assert [batch[0] for batch in batches] == sorted(batch[0] for batch in batches), "the oldest first"
    for key in set(keys):
        order = [n for batch in batches for n in batch if keys[n] == key]
        assert order == [n for n in range(len(keys)) if keys[n] == key]
    for batch in batches:
        assert len({keys[n] for n in batch}) == 1
        assert len(batch) == 1 or sum(sizes[n] for n in batch) <= max_batch
