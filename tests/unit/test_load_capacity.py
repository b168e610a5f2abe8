"""The search for the capacity, on servers and machines that are simulated, under a clock that is."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from load_simulated import PERIOD_S, START_S, WINDOW_S, Simulated, a_run, a_window
from siamcorr.errors import InvalidArgument
from siamcorr_load.capacity import WITHIN_S, find_capacity, is_enough
from siamcorr_load.result_json import from_json, to_json
from siamcorr_load.results import Capacity as Found
from siamcorr_load.results import CapacityPoint, Run, Window

PAIRS = 50


@given(limit=st.integers(1, 5000), first=st.integers(1, 300))
def test_on_a_calm_machine_the_answer_is_within_a_twentieth_and_never_more_than_is_carried(
    limit: int, first: int
) -> None:
    found = Simulated(limit + 0.5).search(first)
    assert found.answer is not None
    assert 0.95 * limit - 1 <= found.answer <= limit
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.answer <= found.high
    assert found.verdict.is_valid


@given(limit=st.integers(1, 5000), first=st.integers(1, 300))
@example(limit=28, first=271)
def test_few_trials_are_needed(limit: int, first: int) -> None:
    assert len(Simulated(limit + 0.5).search(first).points) <= 30


def test_on_average_fourteen_trials_are_needed() -> None:
    chance = random.Random(1)
    draws = [(int(2 ** chance.uniform(0, 12.3)) + 0.5, chance.randint(1, 300)) for _ in range(100)]
    assert sum(len(Simulated(limit).search(first).points) for limit, first in draws) <= 15 * len(draws)


@pytest.mark.parametrize("limit", [20.5, 70.5, 400.5])
def test_on_a_noisy_machine_two_searches_agree_within_a_tenth_nine_times_in_ten(limit: float) -> None:
    servers = [
        (
            Simulated(limit, spoils=0.15, wobble=0.03, seed=seed),
            Simulated(limit, spoils=0.15, wobble=0.03, seed=~seed),
        )
        for seed in range(PAIRS)
    ]
    pairs = [(one.search(), two.search()) for one, two in servers]
    agreeing = [abs((a.answer or 0) - (b.answer or 0)) <= 0.1 * limit for a, b in pairs]
    assert sum(agreeing) >= 0.9 * PAIRS
    assert sum(found.verdict.is_valid for pair in pairs for found in pair) >= 0.85 * 2 * PAIRS
    assert max(server.now_s for pair in servers for server in pair) <= WITHIN_S + 5 * WINDOW_S + START_S


def test_on_a_machine_too_noisy_most_searches_that_went_wrong_say_so() -> None:
    found = [Simulated(200.5, spoils=0.5, wobble=0.1, seed=seed).search() for seed in range(PAIRS)]
    wrong = [one for one in found if abs((one.answer or 0) - 200) > 40]
    assert len(wrong) > 10
    assert sum(one.verdict.is_valid for one in wrong) <= 0.4 * len(wrong)


@pytest.mark.parametrize(
    ("windows", "enough"),
    [
        ([a_window()], True),
        ([a_window(on_time=0.5)], True),
        ([a_window(p99_s=0.035)], False),
        ([a_window(p99_s=0.035)] * 2, True),
        ([a_window(p99_s=0.035), a_window(on_time=0.99)], False),
        ([a_window(p99_s=0.035), a_window(on_time=0.99), a_window(on_time=0.99)], True),
        ([a_window(on_time=0.99, stalled_s=0.02)] * 4, False),
        ([a_window(on_time=0.99, stalled_s=0.02)] * 5, True),
        ([a_window(on_time=0.5, slow=0.2)], False),
        ([a_window(on_time=0.5, slow=0.1)], True),
        ([a_window(slow=0.5)], True),
    ],
)
def test_a_window_far_from_the_line_ends_a_trial_and_near_it_two_have_to_agree(
    windows: list[Window], enough: bool
) -> None:
    assert is_enough(windows, PERIOD_S) is enough


def test_a_window_that_is_spoilt_once_is_outvoted() -> None:
    server = Simulated(100.5)

    def paused(targets: int) -> Run:
        run = server.run(targets)
        return a_run([a_window(on_time=0.5)]) if len(server.tried) == 2 else run

    found = find_capacity(paused, clock=lambda: server.now_s)
    assert found.answer is not None
    assert 95 <= found.answer <= 100


@pytest.mark.parametrize("spoilt", [a_window(on_time=0.9, stalled_s=0.05), a_window(on_time=0.5, slow=0.4)])
def test_what_the_machine_explains_proves_nothing(spoilt: Window) -> None:
    found = find_capacity(lambda _: a_run([spoilt] * 5), limit=8)
    assert found.answer is None
    windows = 5 * len(found.points)
    assert found.verdict.reasons == (
        f"{windows} of {windows} windows do not count, because the machine stood still or was slow in them: "
        "a neighbour?",
    )
    assert found.verdict.notes[-1].startswith(f"{windows} windows do not count")
    assert ("slow in" if spoilt.slow else "stood still for") in found.verdict.notes[0]


@pytest.mark.parametrize("limit", [30.5, 200.5])
def test_on_a_machine_that_neighbours_slow_half_of_the_time_what_is_valid_is_within_a_tenth(
    limit: float,
) -> None:
    found = [
        Simulated(limit, slow=0.5, unseen=0.1, spoils=0.05, wobble=0.03, seed=seed).search()
        for seed in range(PAIRS)
    ]
    valid = [one.answer or 0 for one in found if one.verdict.is_valid]
    assert len(valid) >= 0.5 * PAIRS
    assert sum(abs(answer - limit) <= 0.1 * limit for answer in valid) >= 0.9 * len(valid)


def test_a_server_that_answers_nobody_in_time_has_no_capacity() -> None:
    found = find_capacity(lambda _: a_run([a_window(on_time=0.0)]), first=8)
    assert found.answer is None
    assert [point.targets for point in found.points] == [8, 4, 2, 1, 1, 1]
    assert found.verdict.is_valid


def test_a_wrong_answer_ends_the_search_without_an_answer() -> None:
    found = find_capacity(lambda targets: a_run([a_window()], wrong=int(targets >= 32)), first=8)
    assert found.answer is None
    assert found.verdict.reasons == ("wrong answers at 32 targets: 1",)
    assert found.points[-1].targets == 32


def tired(targets: int, **why: float) -> Run:
    """A generator that can send for 100 targets."""
    return a_run([a_window()]) if targets <= 100 else a_run([a_window(on_time=0.5)], **why)  # type: ignore[arg-type]


def test_generators_without_processor_time_are_said() -> None:
    found = find_capacity(lambda targets: tired(targets, busy=0.97))
    assert "no processor time left" in found.verdict.reasons[0]
    assert find_capacity(lambda targets: tired(targets, busy=0.7)).verdict.is_valid


def test_generators_that_were_late_are_said_unless_they_share_the_servers_machine() -> None:
    found = find_capacity(lambda targets: tired(targets, late_sends=500))
    assert "late themselves" in found.verdict.reasons[0]
    shared = find_capacity(lambda targets: tired(targets, late_sends=500), shares_machine=True)
    assert shared.verdict.is_valid
    assert shared.verdict.notes == (
        "server and generators share this machine: the server alone may carry more",
    )


def test_a_server_that_slows_down_during_the_search_is_followed_down_or_not_trusted() -> None:
    server = Simulated(100.5)

    def slowing(targets: int) -> Run:
        server.limit = 100.5 if len(server.tried) < 8 else 50.5
        return server.run(targets)

    found = find_capacity(slowing, clock=lambda: server.now_s)
    assert found.answer is not None
    assert 45 <= found.answer <= 53 or not found.verdict.is_valid


def test_a_search_without_time_says_what_it_knows() -> None:
    server = Simulated(1000.5)
    found = find_capacity(server.run, within_s=20.0, clock=lambda: server.now_s)
    (reason,) = found.verdict.reasons
    assert reason.startswith("no time to find it to 5 % either way: after 20 s it lies between")
    assert server.now_s <= 20.0 + START_S + 5 * WINDOW_S


def test_a_server_that_pauses_at_loads_that_it_carries_is_not_trusted() -> None:
    server = Simulated(100.5)

    def pausing(targets: int) -> Run:
        run = server.run(targets)
        return a_run([a_window(on_time=0.6)]) if targets == 32 and server.tried.count(32) == 1 else run

    found = find_capacity(pausing, clock=lambda: server.now_s)
    assert "the server paused at 32 targets, which it carries otherwise" in found.verdict.reasons


def test_a_machine_on_which_windows_contradict_each_other_is_not_trusted() -> None:
    server = Simulated(100.5)

    def fickle(targets: int) -> Run:
        run = server.run(targets)
        spoilt = a_window(p99_s=0.03, on_time=0.99)
        return a_run([*run.windows, *run.windows, spoilt]) if targets < 90 else run

    found = find_capacity(fickle, clock=lambda: server.now_s)
    assert any("windows well below the answer were late" in reason for reason in found.verdict.reasons)


def test_a_server_that_carries_all_that_may_be_tried_may_carry_more() -> None:
    found = find_capacity(lambda _: a_run([a_window()]), first=8, limit=50)
    assert found.answer == 50
    assert "may carry more" in found.verdict.reasons[0]


def test_a_camera_has_several_targets_and_the_answer_counts_targets() -> None:
    server = Simulated(12.5)
    found = find_capacity(server.run, targets_each=5, clock=lambda: server.now_s)
    assert found.answer == 60
    assert [point.targets for point in found.points] == [5 * cameras for cameras in server.tried]


def test_each_trial_is_told_and_kept_in_order() -> None:
    told: list[CapacityPoint] = []
    found = find_capacity(Simulated(20.5).run, tell=told.append)
    assert tuple(told) == found.points
    assert from_json(to_json(found), Found) == found


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"first": 0}, "first"),
        ({"targets_each": 0}, "targets_each"),
        ({"first": 9, "limit": 8}, "first"),
        ({"limit": 0}, "limit"),
    ]
    + [({"precision": bad}, "precision") for bad in (0.0, 1.0, -1.0)],
)
def test_an_argument_out_of_range_is_named(arguments: dict[str, float], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        find_capacity(Simulated(5.5).run, **arguments)  # type: ignore[arg-type]
    assert caught.value.field == field
