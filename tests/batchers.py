"""Batchers with wide bounds, and short words for their jobs."""

from __future__ import annotations

from typing import Any

from siamcorr.batcher import Batch, Batcher, Job, Limits

__all__ = ["batcher", "ids", "jobs"]


def batcher(max_jobs: int = 1000, max_bytes: int = 1000, max_batch: int = 32) -> Batcher:
    return Batcher(Limits(max_jobs=max_jobs, max_bytes=max_bytes, max_batch=max_batch))


def jobs(keys: str, first_id: int = 0, **fields: Any) -> list[Job]:
    return [Job(first_id + n, key, **fields) for n, key in enumerate(keys)]


def ids(batch: Batch | None) -> list[int]:
    return [] if batch is None else [job.id for job in batch.jobs]
