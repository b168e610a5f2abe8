"""A launch: each task of a batch gets its own answer, its own error, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from gates import Gate
from siamcorr.answers import Template
from siamcorr.arguments import Array
from siamcorr.bank import Bank
from siamcorr.checks import correlate_call
from siamcorr.device import Device
from siamcorr.embed import model_of, transform_of
from siamcorr.errors import BankFull, InternalError, InvalidArgument, TemplateNotFound
from siamcorr.launch import Launched, Launcher
from siamcorr.ops import xcorr
from siamcorr.peaks import find_peaks
from siamcorr.planning import plan_correlate
from siamcorr.resident import Origin
from siamcorr.settings import EngineSettings
from siamcorr.shared_bank import SharedBank
from siamcorr.tasks import CorrelateTask, TemplateKey, TemplateTask

RANDOM = np.random.default_rng(5)
Z = RANDOM.standard_normal((3, 8, 3, 3), np.float32)
X = RANDOM.standard_normal((4, 8, 7, 7), np.float32)
CPU = torch.device("cpu")
GATE = Gate()
GATE.opened.set()


@pytest.fixture
def bank() -> Iterator[SharedBank]:
    bank = SharedBank(Bank(CPU, budget_bytes=1 << 20), lambda: 0.0)
    yield bank
    bank.check_invariants()
    assert bank.stats().reserved == 0


@pytest.fixture
def launcher(bank: SharedBank) -> Launcher:
    ticks = count()
    return launching(bank, lambda: float(next(ticks)))


def launching(bank: SharedBank, clock: Callable[[], float] = lambda: 0.0) -> Launcher:
    return Launcher(
        Device(CPU), {"gate": model_of(GATE, transform_of("none"))}, bank, EngineSettings(), clock
    )


@pytest.fixture
def task_of(launcher: Launcher) -> Callable[..., CorrelateTask]:
    """Plan one task with templates of its own, made of the named ``z``."""

    def plan(z: Array, **options: Any) -> CorrelateTask:
        handles = [make(launcher, {"features": one})[0].handle for one in z]
        (task,) = plan_correlate(correlate_call(handles, **options), launcher.bank.lease(handles), {})  # type: ignore[misc]
        assert isinstance(task, CorrelateTask)
        return task

    return plan


def make(launcher: Launcher, features: dict[str, Array], **more: Any) -> Any:
    (outcome,) = launcher.serve([TemplateTask(TemplateKey(None), 1, features, **more)])
    return outcome


def answers(outcome: object) -> list[Any]:
    assert isinstance(outcome, Launched)
    return [response for _, response in sorted(outcome.responses(outcome.timings), key=lambda pair: pair[0])]


def expected(z: Array, x: Array, **options: Any) -> Array:
    response: Array = xcorr(torch.from_numpy(z)[None], torch.from_numpy(x)[None], **options)[0].numpy()
    return response


def test_each_task_of_a_batch_has_its_own_answers(
    launcher: Launcher, task_of: Callable[..., CorrelateTask]
) -> None:
    first = task_of(Z[:2], features=X[:2], pairs=([1, 0, 1], [0, 1, 1]))
    second = task_of(Z[2:], features=X[3])
    outcomes = launcher.serve([first, second])
    pairs = [(1, 0), (0, 1), (1, 1)]
    for response, (z, x) in zip(answers(outcomes[0]), pairs, strict=True):
        np.testing.assert_array_equal(response.map, expected(Z[z], X[x]))
        assert response.template == first.leases[[1, 0].index(z)].handle
    (response,) = answers(outcomes[1])
    np.testing.assert_array_equal(response.map, expected(Z[2], X[3]))
    assert response.timings.batch_pairs == 4


@pytest.mark.parametrize(("output", "has_map", "has_peaks"), [("map", 1, 0), ("peaks", 0, 1), ("both", 1, 1)])
def test_what_was_asked_for_comes_back(
    launcher: Launcher,
    task_of: Callable[..., CorrelateTask],
    output: str,
    has_map: int,
    has_peaks: int,
) -> None:
    (response,) = answers(launcher.serve([task_of(Z[:1], features=X[0], output=output, top_k=2)])[0])
    assert (response.map is not None) == has_map
    assert response.peaks == (find_peaks(expected(Z[0], X[0]), top_k=2) if has_peaks else ())


def test_the_epilogue_is_done_for_the_whole_batch(
    launcher: Launcher, task_of: Callable[..., CorrelateTask]
) -> None:
    bias, weight = RANDOM.standard_normal(8, np.float32), RANDOM.standard_normal((2, 8), np.float32)
    options: dict[str, Any] = {"kind": "depthwise", "gain": 0.5, "bias": bias, "head": (weight, [1.0, -1.0])}
    tasks = [task_of(Z[:1], features=x, sum_channels=True, map_dtype="float16", **options) for x in X[:2]]
    for outcome, x in zip(launcher.serve(tasks), X[:2], strict=True):
        (response,) = answers(outcome)
        plain = 0.5 * expected(Z[0], x, kind="depthwise").astype(np.float64) + bias[:, None, None]
        by_hand = np.einsum("ko,ohw->hw", weight.astype(np.float64), plain)
        assert response.map.dtype == np.float16
        np.testing.assert_allclose(response.map[0], by_hand, rtol=2e-3, atol=2e-3)


def test_what_is_kept_for_later_launches_holds_no_large_heads(
    launcher: Launcher, task_of: Callable[..., CorrelateTask]
) -> None:
    for outputs, kept in ((4, 1), (1 << 14, 1), (8, 2)):  # of 8 channels: the second has 512 KiB
        head = np.full((outputs, 8), outputs, np.float32)
        (response,) = answers(launcher.serve([task_of(Z[:1], features=X[0], kind="depthwise", head=head)])[0])
        np.testing.assert_allclose(response.map[0], outputs * expected(Z[0], X[0])[0], rtol=1e-4, atol=1e-3)
        assert launcher._kept_pass.cache_info().currsize == kept


def test_stages_are_timed_by_the_clock_that_is_given(
    launcher: Launcher, task_of: Callable[..., CorrelateTask]
) -> None:
    (response,) = answers(launcher.serve([task_of(Z[:1], features=X[0])])[0])
    assert (response.timings.copy_s, response.timings.compute_s, response.timings.embed_s) == (2.0, 1.0, 0.0)


def test_many_templates_on_one_search_region_are_computed_together_but_not_with_those_of_others(
    launcher: Launcher, task_of: Callable[..., CorrelateTask]
) -> None:
    half: dict[str, Any] = {"precision": "bfloat16"}
    many = RANDOM.standard_normal((32, 32, 6, 6), np.float32)
    regions = RANDOM.standard_normal((3, 32, 22, 22), np.float32)
    tasks = [task_of(many, features=regions[0], **half), task_of(many[::-1], features=regions[1], **half)]
    assert tasks[0].key == tasks[1].key != task_of(many[:1], features=regions[2], **half).key
    alone = [launcher.serve([task])[0] for task in tasks]
    for outcome, lonely, z, x in zip(launcher.serve(tasks), alone, (many, many[::-1]), regions, strict=False):
        together = xcorr(torch.from_numpy(z.copy()), torch.from_numpy(x)[None], **half).numpy()
        for response, same, by_xcorr in zip(answers(outcome), answers(lonely), together, strict=True):
            np.testing.assert_array_equal(response.map, same.map)
            np.testing.assert_array_equal(response.map, by_xcorr)
            assert response.timings.plan == "one search bfloat16"


@pytest.mark.parametrize(
    ("options", "plan"),
    [
        ({}, "matmul"),
        ({"kind": "depthwise"}, "trick"),
        ({"precision": "bfloat16"}, "matmul bfloat16"),
        ({"kind": "depthwise", "sum_channels": True}, "matmul"),
    ],
)
def test_the_answer_tells_how_it_was_computed(
    launcher: Launcher, task_of: Callable[..., CorrelateTask], options: dict[str, Any], plan: str
) -> None:
    (response,) = answers(launcher.serve([task_of(Z[:1], features=X[0], **options)])[0])
    assert response.timings.plan == plan


def test_precision_is_the_callers_choice_and_not_shared_with_others(
    launcher: Launcher, task_of: Callable[..., CorrelateTask]
) -> None:
    half, full = (task_of(Z[:1], features=X[0], precision=precision) for precision in ("bfloat16", "float32"))
    assert half.key != full.key
    (response,) = answers(launcher.serve([half])[0])
    np.testing.assert_array_equal(response.map, expected(Z[0], X[0], precision="bfloat16"))
    exact = expected(Z[0], X[0])
    assert 0 < np.linalg.norm(response.map - exact) < 1e-2 * np.linalg.norm(exact)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(3))
def test_what_is_not_finite_fails_alone(
    launcher: Launcher, task_of: Callable[..., CorrelateTask], poison: float, place: int
) -> None:
    tasks = [task_of(Z[:2], features=np.stack([x, x]), pairs=([0, 1], [0, 1])) for x in X[:3]]
    poisoned = np.array(tasks[place].regions[1])
    poisoned[7, 6, 6] = poison
    tasks[place].regions = [tasks[place].regions[0], poisoned]
    for index, outcome in enumerate(launcher.serve(tasks)):
        if index == place:
            assert isinstance(outcome, InvalidArgument)
            assert outcome.field == "features"
        else:
            responses = answers(outcome)
            np.testing.assert_array_equal(responses[0].map, expected(Z[0], X[index]))
            assert responses[0].timings.batch_pairs == 4


def test_a_batch_of_nothing_but_poison_is_refused_task_by_task(
    launcher: Launcher, task_of: Callable[..., CorrelateTask]
) -> None:
    outcomes = launcher.serve([task_of(Z[:1], features=X[0] * np.nan) for _ in range(2)])
    assert [type(outcome) for outcome in outcomes] == [InvalidArgument, InvalidArgument]
    assert outcomes[0] is not outcomes[1]


def test_templates_are_made_one_by_one_so_one_that_fails_spoils_no_other(launcher: Launcher) -> None:
    large = np.ones((1024, 32, 32), np.float32)
    sources = [Z[0], Z[1] * np.nan, large, Z[2]]
    tasks = [TemplateTask(TemplateKey(None), 1, {"features": one}) for one in sources]
    first, poisoned, too_large, last = launcher.serve(tasks)
    assert [made[0].size_bytes for made in (first, last)] == [Z[0].nbytes] * 2  # type: ignore[index]
    assert isinstance(poisoned, InvalidArgument)
    assert isinstance(too_large, InvalidArgument)
    assert launcher.bank.stats().templates == 2


def test_a_poisoned_tensor_is_named(launcher: Launcher) -> None:
    outcome = make(launcher, {"cls": Z[0], "loc": Z[1] * np.nan})
    assert isinstance(outcome, InvalidArgument)
    assert outcome.field == "features['loc']"


def test_crops_become_templates_all_or_none(bank: SharedBank) -> None:
    launcher = launching(bank)
    crops = RANDOM.integers(0, 256, (3, 8, 8, 3), np.uint8)
    (made,) = launcher.serve(
        [TemplateTask(TemplateKey("gate"), 3, {}, crops=list(crops), origin=Origin("gate", (0, 0, 0)))]
    )
    assert isinstance(made, list)
    templates = [one for one in made if isinstance(one, Template)]
    assert [template.model for template in templates] == ["gate"] * 3
    many = [crops[0]] * 2000
    (outcome,) = launcher.serve([TemplateTask(TemplateKey("gate"), len(many), {}, crops=many)])
    assert isinstance(outcome, BankFull)
    assert bank.stats().templates == 3


def test_an_update_may_come_too_late_or_fail_by_itself(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handle = make(launcher, {"features": Z[0]})[0].handle
    assert make(launcher, {"features": Z[1]}, handle=handle, rate=0.5)[0].generation == 2
    assert isinstance(make(launcher, {"features": Z[1, :4]}, handle=handle), InvalidArgument)
    assert isinstance(make(launcher, {"features": Z[1]}, handle="tpl_gone"), TemplateNotFound)

    def out_of_memory(*_: object) -> None:
        raise RuntimeError("out of memory at 0x1234")

    monkeypatch.setattr("siamcorr.shared_bank.write", out_of_memory)
    outcome = make(launcher, {"features": Z[1]}, handle=handle)
    assert isinstance(outcome, InternalError)
    assert "0x1234" not in str(outcome)
    assert "0x1234" in caplog.text
    assert launcher.bank.info(handle).generation == 2
