"""Where stages lie: inside the request, end to end, each as long as the engine says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr.answers import Timings
from siamcorr_server.tracing.stages import Stage, laid_out

BEGAN_NS = 1_700_000_000_000_000_000
SECONDS = st.one_of(st.just(0.0), st.floats(0, 2.0))
SOME = st.builds(Timings, SECONDS, SECONDS, SECONDS, SECONDS, SECONDS)


def lengths(stages: list[Stage]) -> dict[str, int]:
    return {stage.name: stage.ended_ns - stage.began_ns for stage in stages}


def test_stages_end_with_the_request_in_the_order_of_their_work() -> None:
    timings = Timings(prepare_s=0.1, queue_s=0.2, embed_s=0.3, compute_s=0.4, copy_s=0.5)
    stages = list(laid_out(timings, BEGAN_NS, BEGAN_NS + 2_000_000_000))
    assert [stage.name for stage in stages] == ["prepare", "queue", "copy", "embed", "compute"]
    assert [round(length / 1e8) for length in lengths(stages).values()] == [1, 2, 5, 3, 4]
    assert stages[-1].ended_ns == BEGAN_NS + 2_000_000_000
    assert stages[0].began_ns == BEGAN_NS + 500_000_000


def test_a_stage_that_took_no_part_is_left_out() -> None:
    stages = list(laid_out(Timings(compute_s=1e-3), BEGAN_NS, BEGAN_NS + 5_000_000))
    assert lengths(stages) == {"compute": 1_000_000}
    assert not list(laid_out(Timings(), BEGAN_NS, BEGAN_NS + 5_000_000))


def test_where_all_do_not_fit_the_queue_gives_way() -> None:
    timings = Timings(prepare_s=0.5, queue_s=2.0, compute_s=3.0).then(Timings(queue_s=4.5, compute_s=2.0))
    stages = list(laid_out(timings, BEGAN_NS, BEGAN_NS + 6_000_000_000))
    assert lengths(stages) == {"prepare": 500_000_000, "queue": 500_000_000, "compute": 5_000_000_000}
    assert stages[0].began_ns == BEGAN_NS


def test_work_that_is_longer_than_its_request_is_cut_at_its_beginning() -> None:
    timings = Timings(queue_s=1.0, copy_s=2.0, compute_s=3.0)
    (stage,) = laid_out(timings, BEGAN_NS, BEGAN_NS + 1_000_000_000)
    assert stage == Stage("compute", BEGAN_NS, BEGAN_NS + 1_000_000_000)


@given(SOME, st.integers(0, 12_000_000_000))
def test_stages_lie_in_the_request_and_never_overlap(timings: Timings, length_ns: int) -> None:
    at = BEGAN_NS
    for stage in laid_out(timings, BEGAN_NS, BEGAN_NS + length_ns):
        assert at <= stage.began_ns < stage.ended_ns
        at = stage.ended_ns
    assert at in {BEGAN_NS, BEGAN_NS + length_ns}


@given(SOME)
def test_in_a_request_that_is_long_enough_every_stage_is_as_long_as_told(timings: Timings) -> None:
    found = lengths(list(laid_out(timings, BEGAN_NS, BEGAN_NS + 11_000_000_000)))
    for name in ("prepare", "queue", "copy", "embed", "compute"):
        told_ns = getattr(timings, f"{name}_s") * 1e9
        assert found.get(name, 0) == pytest.approx(told_ns, abs=1)
