"""Counters of the Open Inference Protocol: they grow with each answer, and count a shared launch once."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr.answers import Timings
from siamcorr_server.inference import statistics as module
from siamcorr_server.inference.statistics import Statistics
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

TIMINGS = Timings(prepare_s=0.1, queue_s=0.2, embed_s=0.4, compute_s=0.8, copy_s=1.6, batch_pairs=4)


def answer(statistics: Statistics, model: str = "naive", timings: Timings = TIMINGS, pairs: int = 1) -> None:
    statistics.answered(model, timings, pairs=pairs, total_s=10.0, read_s=3.2, write_s=6.4)


def duration(count: int, total_s: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=round(total_s * 1e9))


def test_doctests_run() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_model_has_a_row_of_zeros_from_the_start() -> None:
    naive, depthwise = Statistics(["naive", "depthwise"]).messages()
    assert (naive.name, depthwise.name) == ("naive", "depthwise")
    assert int(naive.version) == 1
    assert naive.last_inference == naive.inference_count == naive.execution_count == 0
    assert naive.inference_stats.queue == duration(0, 0.0)
    assert naive.inference_stats.HasField("queue"), "perf_analyzer reads it before the first request"


def test_an_answer_is_counted_with_all_that_it_met_with() -> None:
    statistics = Statistics(["naive"], clock=lambda: 1_700_000_000.25)
    answer(statistics, pairs=2)
    answer(statistics, pairs=2)
    (told,) = statistics.messages("naive")
    assert told.last_inference == 1_700_000_000_250
    assert told.inference_count == 4
    assert told.inference_stats == pb.InferStatistics(
        success=duration(2, 20.0),
        fail=duration(0, 0.0),
        queue=duration(2, 0.4),
        compute_input=duration(2, 2 * 3.3),
        compute_infer=duration(2, 2 * 1.2),
        compute_output=duration(2, 2 * 8.0),
    )


def test_the_requests_of_one_launch_count_it_once() -> None:
    statistics = Statistics(["naive"])
    for _ in range(4):
        answer(statistics)
    answer(statistics, timings=Timings(compute_s=5.0, batch_pairs=1))
    (told,) = statistics.messages()
    assert told.inference_count == 5
    assert told.execution_count == 2
    alone, four = told.batch_stats
    assert (alone.batch_size, alone.compute_infer) == (1, duration(1, 5.0))
    assert (four.batch_size, four.compute_infer) == (4, duration(1, 1.2))
    assert four.compute_input == duration(1, 3.3)
    assert four.compute_output == duration(1, 8.0)


def test_a_launch_that_was_shared_with_others_is_rounded_up() -> None:
    statistics = Statistics(["naive"])
    answer(statistics)
    (told,) = statistics.messages()
    assert told.execution_count == 1, "who divides by it must not meet 0"
    assert told.batch_stats[0].compute_infer.count == 1


@given(st.integers(1, 4096), st.integers(1, 5))
def test_shares_of_launches_add_up_to_whole_ones(pairs: int, launches: int) -> None:
    statistics = Statistics(["naive"])
    for _ in range(min(pairs, 64) * launches):
        answer(statistics, timings=Timings(batch_pairs=min(pairs, 64)))
    (told,) = statistics.messages()
    assert told.execution_count == told.batch_stats[0].compute_infer.count == launches


def test_an_answer_that_needed_no_launch_is_counted_too() -> None:
    statistics = Statistics(["naive"])
    answer(statistics, timings=Timings())
    (told,) = statistics.messages()
    assert (told.inference_count, told.inference_stats.queue.count) == (1, 1)


def test_a_failure_is_no_inference() -> None:
    statistics = Statistics(["naive"])
    statistics.failed("naive", 0.5)
    (told,) = statistics.messages()
    assert told.inference_stats.fail == duration(1, 0.5)
    assert told.inference_stats.success == told.inference_stats.queue == duration(0, 0.0)
    assert told.inference_count == told.execution_count == told.last_inference == 0


def test_models_are_counted_apart() -> None:
    statistics = Statistics(["naive", "depthwise"])
    answer(statistics, "depthwise")
    naive, depthwise = statistics.messages()
    assert (naive.inference_count, depthwise.inference_count) == (0, 1)
    assert statistics.messages("depthwise") == [depthwise]
    assert statistics.messages("upchannel") == []


def test_nobody_adds_a_model_by_naming_it() -> None:
    statistics = Statistics(["naive"])
    with pytest.raises(KeyError):
        statistics.failed("made up", 1.0)
    assert len(statistics.messages()) == 1
