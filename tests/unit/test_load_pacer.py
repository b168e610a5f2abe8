"""When frames are due."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr.errors import InvalidArgument
from siamcorr_load.pacer import PATTERNS, Arrival, arrivals


def first_second(pattern: str, **options: int) -> list[Arrival]:
    frames: Iterator[Arrival] = arrivals(pattern, fps=25.0, **{"cameras": 8} | options)  # type: ignore[arg-type]
    return list(takewhile(lambda one: one.due_s < 0.99999, frames))


@given(pattern=st.sampled_from(PATTERNS), cameras=st.integers(1, 9), processes=st.integers(1, 4))
def test_cameras_send_alike_however_they_are_spread_over_processes(
    pattern: str, cameras: int, processes: int
) -> None:
    whole = first_second(pattern, cameras=cameras)
    parts = [
        list(
            takewhile(
                lambda one: one.due_s < 0.99999,
                arrivals(pattern, cameras=cameras, fps=25.0, mine=range(number, cameras, processes)),
            )
        )
        for number in range(min(processes, cameras))
    ]
    assert sorted(whole) == sorted(one for part in parts for one in part)
    assert whole == sorted(whole)


@pytest.mark.parametrize("pattern", ["jittered", "burst", "constant"])
def test_a_camera_sends_a_frame_each_period(pattern: str) -> None:
    due = [one.due_s for one in islice(arrivals(pattern, cameras=8, fps=25.0, mine=[3]), 50)]
    gaps = [later - sooner for sooner, later in pairwise(due)]
    assert gaps == pytest.approx([0.04] * 49)
    assert 0 <= due[0] < 0.04


def test_in_bursts_all_cameras_send_at_once_and_else_they_do_not() -> None:
    assert len({one.due_s for one in first_second("burst")}) == 25
    assert len({one.due_s for one in first_second("jittered")}) == 200
    constant = [one.due_s for one in first_second("constant")]
    assert constant == pytest.approx([n / 200 for n in range(200)])


def test_poisson_has_the_rate_and_the_spread_of_chance() -> None:
    due = [one.due_s for one in islice(arrivals("poisson", cameras=4, fps=25.0, seed=1), 4001)]
    gaps = [later - sooner for sooner, later in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.01, rel=0.1)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance == pytest.approx(mean**2, rel=0.2)


def test_another_seed_is_another_chance() -> None:
    assert (
        first_second("poisson", seed=1) == first_second("poisson", seed=1) != first_second("poisson", seed=2)
    )


def test_an_unknown_pattern_is_named() -> None:
    with pytest.raises(InvalidArgument, match="pattern: found 'waves', expected one of jittered"):
        next(arrivals("waves", cameras=1, fps=1.0))
