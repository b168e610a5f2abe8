"""Counters of what each model has answered, as the protocol's ModelStatistics call tells them.

Rules:
- They only grow: who measures asks twice and subtracts. perf_analyzer does, takes the version for a number,
  and ends with an error where ``queue.count`` has not grown.
- ``inference_stats`` counts requests, and adds up what each of them met with. A launch that many share
  counts in full for each, as in Triton.
- ``batch_stats`` and ``execution_count`` count launches. A request knows how many pairs its launch had, and
  how many of them were its own: that is its share of the launch, and the shares of a launch add up to one.
  A launch that was shared with calls of another protocol counts in part; what is told is rounded up.
- The engine tells uploads and downloads in one number. It stands under ``compute_output``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from siamcorr.answers import Timings
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

__all__ = ["VERSION", "Statistics"]

VERSION = "1"
"""The version of every model."""


class Statistics:
    """Counts for each model.

    >>> statistics = Statistics(["naive"])
    >>> statistics.answered("naive", Timings(queue_s=0.25), pairs=2, total_s=0.5, read_s=0.0, write_s=0.0)
    >>> (told,) = statistics.messages()
    >>> told.inference_count, told.inference_stats.queue.count, told.inference_stats.queue.ns
    (2, 1, 250000000)
    """

    def __init__(self, models: Iterable[str], *, clock: Callable[[], float] = time.time) -> None:
        """Start all counters of ``models`` at 0. ``clock`` tells seconds since 1970."""
        self._clock = clock
        self._counts = {model: _Counts() for model in models}

    def answered(
        self, model: str, timings: Timings, *, pairs: int, total_s: float, read_s: float, write_s: float
    ) -> None:
        """Count an answer.

        Args:
            model: one of the models.
            timings: what the engine told about it.
            pairs: how many response maps it has.
            total_s: from the request's arrival to the answer, in seconds.
            read_s: that part of it which went into reading the request.
            write_s: that part of it which went into writing the answer.
        """
        counts = self._counts[model]
        prepare_s, infer_s = read_s + timings.prepare_s, timings.embed_s + timings.compute_s
        output_s = timings.copy_s + write_s
        counts.last_s = self._clock()
        counts.pairs += pairs
        counts.success.add(1, total_s)
        counts.queue.add(1, timings.queue_s)
        counts.requests.add(1, prepare_s, infer_s, output_s)
        launch_pairs = max(timings.batch_pairs, 1)
        share = pairs / launch_pairs
        batch = counts.batches.setdefault(launch_pairs, _Steps())
        batch.add(share, share * prepare_s, share * infer_s, share * output_s)

    def failed(self, model: str, total_s: float) -> None:
        """Count a request that ended with an error after ``total_s`` seconds."""
        self._counts[model].fail.add(1, total_s)

    def messages(self, model: str = "") -> list[pb.ModelStatistics]:
        """Return the counters of one model, or of all for ``""``; those of an unknown model are none."""
        return [_message(name, counts) for name, counts in self._counts.items() if model in ("", name)]


@dataclass(slots=True)
class _Duration:
    """How often, and how long in all. Shares of a launch are no whole numbers, so neither is ``count``."""

    count: float = 0.0
    total_s: float = 0.0

    def add(self, count: float, total_s: float) -> None:
        self.count += count
        self.total_s += total_s

    def message(self) -> pb.StatisticDuration:
        return pb.StatisticDuration(count=_whole(self.count), ns=round(self.total_s * 1e9))


@dataclass(slots=True)
class _Steps:
    compute_input: _Duration = field(default_factory=_Duration)
    compute_infer: _Duration = field(default_factory=_Duration)
    compute_output: _Duration = field(default_factory=_Duration)

    def add(self, count: float, input_s: float, infer_s: float, output_s: float) -> None:
        self.compute_input.add(count, input_s)
        self.compute_infer.add(count, infer_s)
        self.compute_output.add(count, output_s)

    def messages(self) -> dict[str, pb.StatisticDuration]:
        return {
            "compute_input": self.compute_input.message(),
            "compute_infer": self.compute_infer.message(),
            "compute_output": self.compute_output.message(),
        }


@dataclass(slots=True)
class _Counts:
    last_s: float = 0.0
    pairs: int = 0
    success: _Duration = field(default_factory=_Duration)
    fail: _Duration = field(default_factory=_Duration)
    queue: _Duration = field(default_factory=_Duration)
    requests: _Steps = field(default_factory=_Steps)
    batches: dict[int, _Steps] = field(default_factory=dict)


def _message(name: str, counts: _Counts) -> pb.ModelStatistics:
    launches = sum(batch.compute_infer.count for batch in counts.batches.values())
    return pb.ModelStatistics(
        name=name,
        version=VERSION,
        last_inference=round(counts.last_s * 1e3),
        inference_count=counts.pairs,
        execution_count=_whole(launches),
        inference_stats=pb.InferStatistics(
            success=counts.success.message(),
            fail=counts.fail.message(),
            queue=counts.queue.message(),
            **counts.requests.messages(),
        ),
        batch_stats=[
            pb.InferBatchStatistics(batch_size=pairs, **batch.messages())
            for pairs, batch in sorted(counts.batches.items())
        ],
    )


def _whole(count: float) -> int:
    """Round up, but not for the sake of an error in the last place."""
    return math.ceil(count - 1e-6)
