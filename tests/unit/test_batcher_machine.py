"""The batcher under random orders of calls, against a list that is searched from end to end."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from siamcorr.batcher import Batcher, Job, Limits
from siamcorr.errors import QueueFull

LIMITS = Limits(max_jobs=12, max_bytes=60, max_batch=5)


class BatcherMachine(RuleBasedStateMachine):
    """``waiting`` and ``running`` are the model; a job that left must never be seen again."""

    def __init__(self) -> None:
        super().__init__()
        self.batcher = Batcher(LIMITS)
        self.ids = count()
        self.now_s = 0.0
        self.waiting: list[Job] = []
        self.running: list[Job] = []

    @rule(seconds=st.sampled_from([0.5, 2.0, 7.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(
        keys=st.text("abc", max_size=5),
        size=st.integers(1, 7),
        size_bytes=st.integers(0, 12),
        time_left_s=st.sampled_from([None, -1.0, 0.0, 1.0, 5.0]),
    )
    def admit(self, keys: str, size: int, size_bytes: int, time_left_s: float | None) -> None:
        deadline_s = None if time_left_s is None else self.now_s + time_left_s
        request = [Job(next(self.ids), key, size, size_bytes, deadline_s) for key in keys]
        live = self.waiting + self.running + request
        fits = len(live) <= LIMITS.max_jobs and sum(job.size_bytes for job in live) <= LIMITS.max_bytes
        if fits:
            self.batcher.admit(request, self.now_s)
            self.waiting += request
        else:
            with pytest.raises(QueueFull) as full:
                self.batcher.admit(request, self.now_s)
            assert full.value.retry_after_s is not None
            assert 0 < full.value.retry_after_s <= 10

    def expect_expired(self, expired: tuple[Job, ...]) -> None:
        late = [job for job in self.waiting if job.deadline_s is not None and job.deadline_s <= self.now_s]
        assert sorted(job.id for job in expired) == [job.id for job in late]
        self.waiting = [job for job in self.waiting if job not in late]

    @rule()
    def expire(self) -> None:
        self.expect_expired(self.batcher.expire(self.now_s))

    @rule()
    def take(self) -> None:
        batch = self.batcher.take(self.now_s)
        self.expect_expired(batch.expired if batch else ())
        expected: list[Job] = []
        for job in self.waiting:
            if job.key == self.waiting[0].key:
                if expected and sum(one.size for one in [*expected, job]) > LIMITS.max_batch:
                    break
                expected.append(job)
        assert list(batch.jobs if batch else ()) == expected
        self.waiting = [job for job in self.waiting if job not in expected]
        self.running += expected

    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        finished = data.draw(st.sets(st.sampled_from(self.running))) if self.running else set()
        self.batcher.done([job.id for job in finished], self.now_s)
        self.running = [job for job in self.running if job not in finished]

    @rule(job_id=st.integers(0, 40))
    def cancel(self, job_id: int) -> None:
        known = [job for job in self.waiting if job.id == job_id]
        assert self.batcher.cancel(job_id) == bool(known)
        self.waiting = [job for job in self.waiting if job not in known]

    @invariant()
    def accounts_are_right(self) -> None:
        self.batcher.check_invariants()
        live = self.waiting + self.running
        assert (self.batcher.waiting, self.batcher.running) == (len(self.waiting), len(self.running))
        assert self.batcher.queued_bytes == sum(job.size_bytes for job in live)
        deadlines = [job.deadline_s for job in self.waiting if job.deadline_s is not None]
        assert self.batcher.next_deadline() == min(deadlines, default=None)


BatcherMachine.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
TestBatcher = BatcherMachine.TestCase
