"""Which jobs run next: pure decisions, no clock, no threads, no tensors.

Rules:
- A job is waiting, then running, then gone; or it leaves while it waits: cancelled, or expired at its
  deadline. It leaves exactly once, and its slot is freed exactly then.
- The bounds, in jobs and in bytes, count what waits and what runs. A request is admitted whole or not at all.
- :meth:`Batcher.take` serves the key of the job that has waited longest, and takes that key's jobs in their
  order of arrival. The longest waiting job is always in the next batch, so no key starves.
- A batch has one key. Nothing is delayed in the hope of company: batches grow only because the device is
  busy.
- Time is an argument, in monotonic seconds. A deadline is passed when ``now_s`` reaches it.
- No step's cost grows with the jobs of other keys; a deadline costs one push to a heap.

Ways rejected:
- Waiting some milliseconds for a fuller batch, fixed or adaptive: it delays the lonely caller, and helps only
  when the device is idle, which is when help is not needed.
- Mixing shapes and padding them to the largest: the answers would depend on the neighbours.
- Asking the keys in turn (round-robin): a key with one job overtakes older jobs of a busy key, and idle keys
  cost a visit.
- Skipping a job that does not fit and taking a smaller one behind it: a large job could wait for ever.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from siamcorr.errors import InternalError, InvalidArgument, QueueFull

__all__ = ["Batch", "Batcher", "Job", "Limits"]

_FIRST_HINT_S = 0.1
_HINT_RANGE_S = (0.01, 10.0)
_NEWEST_SHARE = 0.2
_SPARE_DEADLINES = 64


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work: ``size`` pairs that run together, holding ``size_bytes`` until they are done.

    Jobs with equal ``key`` may share a batch. ``deadline_s`` is a moment in monotonic seconds, or None.

    Raises:
        InvalidArgument: no pairs, negative bytes, or a deadline that is not a number.
    """

    id: int
    key: Hashable
    size: int = 1
    size_bytes: int = 0
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what would upset the accounts."""
        if self.size < 1:
            raise InvalidArgument.found("size", self.size, "1 pair or more")
        if self.size_bytes < 0:
            raise InvalidArgument.found("size_bytes", self.size_bytes, "0 bytes or more")
        if self.deadline_s is not None and math.isnan(self.deadline_s):
            raise InvalidArgument.found("deadline_s", self.deadline_s, "monotonic seconds, or None")


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds: jobs and bytes in the queue and on the device together, and pairs in one batch.

    >>> Limits(max_jobs=0, max_bytes=1, max_batch=1)
    Traceback (most recent call last):
        ...
    siamcorr.errors.InvalidArgument: max_jobs: found 0, expected an integer, 1 or more
    """

    max_jobs: int
    max_bytes: int
    max_batch: int

    def __post_init__(self) -> None:
        """Refuse a bound that would let nothing through."""
        for name in ("max_jobs", "max_bytes", "max_batch"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidArgument.found(name, repr(value), "an integer, 1 or more")


@dataclass(frozen=True, slots=True)
class Batch:
    """What was decided: ``jobs`` of one key (maybe none) now run, and the ``expired`` have left."""

    jobs: tuple[Job, ...]
    expired: tuple[Job, ...]


class Batcher:
    """The queue, without a clock.

    >>> batcher = Batcher(Limits(max_jobs=8, max_bytes=1 << 20, max_batch=2))
    >>> batcher.admit([Job(id, key) for id, key in enumerate("aabaa")], now_s=0.0)
    >>> while batch := batcher.take(now_s=0.0):
    ...     print([job.id for job in batch.jobs])
    ...     batcher.done([job.id for job in batch.jobs], now_s=0.0)
    [0, 1]
    [2]
    [3, 4]
    """

    def __init__(self, limits: Limits) -> None:
        """Start empty."""
        self.limits = limits
        # Ordered, because a plain dict is slow to find its first key once many were taken from its front.
        self._waiting: OrderedDict[int, Job] = OrderedDict()
        self._by_key: dict[Hashable, OrderedDict[int, Job]] = {}
        self._running: dict[int, Job] = {}
        self._deadlines: list[tuple[float, int]] = []  # a heap, with entries of jobs that have left
        self._bytes = 0
        self._seconds_per_job: float | None = None
        self._last_sign_s = -math.inf

    @property
    def waiting(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of jobs that were taken and are not done."""
        return len(self._running)

    @property
    def queued_bytes(self) -> int:
        """Bytes of the jobs that wait or run."""
        return self._bytes

    def admit(self, jobs: Sequence[Job], now_s: float) -> None:
        """Let all of one request's ``jobs`` wait, or none of them.

        Raises:
            InvalidArgument: the request alone is over a bound, so that it could never be admitted.
            QueueFull: the bound it names is reached; ``retry_after_s`` is from the rate of jobs done.
            InternalError: an id that is already waiting or running, or twice in ``jobs``.
        """
        ids = {job.id for job in jobs}
        if len(ids) < len(jobs) or any(id_ in self._waiting or id_ in self._running for id_ in ids):
            raise InternalError(f"a job id was used twice: {sorted(job.id for job in jobs)}")
        size_bytes = sum(job.size_bytes for job in jobs)
        self._check_room(len(jobs), size_bytes, now_s)
        for job in jobs:
            self._waiting[job.id] = job
            self._by_key.setdefault(job.key, OrderedDict())[job.id] = job
            if job.deadline_s is not None:
                heapq.heappush(self._deadlines, (job.deadline_s, job.id))
        self._bytes += size_bytes
        self._forget_old_deadlines()

    def take(self, now_s: float) -> Batch | None:
        """Choose the next batch: at most ``max_batch`` pairs, or one larger job. None: nothing to tell.

        Jobs past their deadline leave first and are reported in ``expired``, each once; ``jobs`` is empty
        when only they were left.
        """
        expired = self.expire(now_s)
        jobs = self._next_jobs()
        if not self._running:
            self._last_sign_s = now_s
        for job in jobs:
            self._leave_queue(job)
            self._running[job.id] = job
        return Batch(jobs, expired) if jobs or expired else None

    def expire(self, now_s: float) -> tuple[Job, ...]:
        """Remove the waiting jobs whose deadline is reached and return them, the earliest deadline first."""
        expired = []
        while (deadline_s := self.next_deadline()) is not None and deadline_s <= now_s:
            job = self._waiting[self._deadlines[0][1]]
            self._leave(job)
            expired.append(job)
        return tuple(expired)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of the waiting jobs: the moment to call :meth:`expire`, or None."""
        while self._deadlines and not self._is_current(self._deadlines[0]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def cancel(self, job_id: int) -> bool:
        """Remove a waiting job. False, and nothing changes, when it runs or is not known."""
        job = self._waiting.get(job_id)
        if job is not None:
            self._leave(job)
        return job is not None

    def done(self, ids: Iterable[int], now_s: float) -> None:
        """Free the slots of running jobs, answered or failed.

        Raises:
            InternalError: a job that is not running, or is named twice; then nothing changes.
        """
        done = list(ids)
        if len(set(done)) < len(done) or not all(id_ in self._running for id_ in done):
            raise InternalError(f"done with jobs that are not running: {done}")
        for id_ in done:
            self._bytes -= self._running.pop(id_).size_bytes
        if done:
            self._observe(len(done), now_s)

    def check_invariants(self) -> None:
        """Raise InternalError with a list of what is wrong, if anything is."""
        live = [*self._waiting.values(), *self._running.values()]
        queued = [job for queue in self._by_key.values() for job in queue.values()]
        current = {id_ for deadline_s, id_ in self._deadlines if self._is_current((deadline_s, id_))}
        checks = {
            "a job both waits and runs": self._waiting.keys().isdisjoint(self._running),
            "the bytes are not those of the live jobs": self._bytes == sum(job.size_bytes for job in live),
            "more jobs than max_jobs": len(live) <= self.limits.max_jobs,
            "more bytes than max_bytes": self._bytes <= self.limits.max_bytes,
            "the keys' queues differ from the queue": {job.id for job in queued} == self._waiting.keys(),
            "a key's queue is empty": all(self._by_key.values()),
            "a key's queue is out of order": all(
                list(queue) == [id_ for id_, job in self._waiting.items() if job.key == key]
                for key, queue in self._by_key.items()
            ),
            "a deadline is not watched": current
            == {job.id for job in self._waiting.values() if job.deadline_s is not None},
        }
        if wrong := [name for name, holds in checks.items() if not holds]:
            raise InternalError(f"batcher: {'; '.join(wrong)}")

    def _next_jobs(self) -> tuple[Job, ...]:
        if not self._waiting:
            return ()
        oldest = next(iter(self._waiting.values()))
        jobs: list[Job] = []
        pairs = 0
        for job in self._by_key[oldest.key].values():
            pairs += job.size
            if jobs and pairs > self.limits.max_batch:
                break
            jobs.append(job)
        return tuple(jobs)

    def _leave_queue(self, job: Job) -> None:
        del self._waiting[job.id]
        queue = self._by_key[job.key]
        del queue[job.id]
        if not queue:
            del self._by_key[job.key]

    def _leave(self, job: Job) -> None:
        self._leave_queue(job)
        self._bytes -= job.size_bytes

    def _is_current(self, entry: tuple[float, int]) -> bool:
        job = self._waiting.get(entry[1])
        return job is not None and job.deadline_s == entry[0]  # an id may live again with another deadline

    def _forget_old_deadlines(self) -> None:
        # Rebuilt only when more entries have left than remain, so each job pays for a constant share.
        if len(self._deadlines) > 2 * len(self._waiting) + _SPARE_DEADLINES:
            self._deadlines = [entry for entry in set(self._deadlines) if self._is_current(entry)]
            heapq.heapify(self._deadlines)

    def _check_room(self, jobs: int, size_bytes: int, now_s: float) -> None:
        live = self.waiting + self.running
        bounds = (
            ("max_jobs", jobs, live, self.limits.max_jobs),
            ("max_bytes", size_bytes, self._bytes, self.limits.max_bytes),
        )
        for bound, new, _, limit in bounds:
            if new > limit:
                raise InvalidArgument.found("request", f"{new} {bound[4:]}", f"at most {limit} ({bound})")
        for bound, new, used, limit in bounds:
            if used + new > limit:
                excess_jobs = math.ceil((used + new - limit) * live / used)
                raise QueueFull(
                    f"queue: {bound} is {limit}, found {used} waiting or running and {new} more",
                    field=bound,
                    retry_after_s=self._retry_after_s(excess_jobs, now_s),
                )

    def _retry_after_s(self, excess_jobs: int, now_s: float) -> float:
        if self._seconds_per_job is None:
            return _FIRST_HINT_S
        # A device that has been silent for long will not be quick now, whatever it did before.
        silent_s = now_s - self._last_sign_s if self._running else 0.0
        low_s, high_s = _HINT_RANGE_S
        return min(max(excess_jobs * self._seconds_per_job, silent_s, low_s), high_s)

    def _observe(self, jobs: int, now_s: float) -> None:
        # The last sign was a batch done, or a start after idling: what passed since went into these jobs.
        seconds = max(0.0, now_s - self._last_sign_s) / jobs
        self._last_sign_s = now_s
        if self._seconds_per_job is None:
            self._seconds_per_job = seconds
        else:
            self._seconds_per_job += _NEWEST_SHARE * (seconds - self._seconds_per_job)
