"""Plans: which calls may share a launch, what each task holds, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gates import IMAGE, Gate
from refusals import refused
from siamcorr.calls import Family, Frame
from siamcorr.checks import correlate_call
from siamcorr.embed import model_of, transform_of
from siamcorr.errors import ModelNotFound
from siamcorr.planning import plan_correlate, plan_templates
from siamcorr.resident import Lease, Origin
from siamcorr.slabs import Row, RowForm, Slab
from siamcorr.tasks import CorrelateKey, CorrelateTask, PrepareTask, TemplateTask

X = np.zeros((2, 8, 9, 9), np.float32)
BOXES = [(10.0, 10.0, 20.0, 20.0), (5.0, 5.0, 9.0, 9.0)]
GATE = Gate()
MODELS = {name: model_of(GATE, transform_of("none")) for name in ("gate", "other")}


def lease(
    handle: str, shape: tuple[int, ...] = (8, 3, 3), model: str | None = None, names: str = "features"
) -> Lease:
    slab = Slab(RowForm(shape, torch.float32), 1, 1, torch.device("cpu"))
    origin = None if model is None else Origin(model, (0, 0, 0))
    return Lease(handle, 1, {name: Row(slab, 0) for name in names.split()}, origin)


def plan(leases: Mapping[str, Lease], **options: Any) -> list[CorrelateTask]:
    call = correlate_call(list(leases), **({"features": X[0]} | options))
    planned = plan_correlate(call, leases, MODELS)
    assert isinstance(planned, list)
    return planned


def correlation(task: CorrelateTask) -> CorrelateKey:
    assert isinstance(task.key, CorrelateKey)
    return task.key


def leased(**templates: Any) -> dict[str, Lease]:
    return {handle: lease(handle, **more) for handle, more in templates.items()}


def key(shape: tuple[int, ...] = (8, 3, 3), **options: Any) -> Any:
    (task,) = plan(leased(a={"shape": shape}), **options)
    return task.key


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"features": X[1] + 1},
        {"features": X},
        {"gain": 0.5, "bias": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "kind": "depthwise"},
        {"head": np.ones((2, 1), np.float32)},
        {"padding": 1, "tensor": "features"},
        {"padding": (1, 1)},
    ],
)
def test_calls_alike_in_all_but_their_numbers_share_a_launch(options: dict[str, Any]) -> None:
    again: dict[str, Any] = {
        name: np.array(value) if name in {"bias", "head"} else value for name, value in options.items()
    }
    pairs: dict[str, Any] = {"pairs": ([0, 0], [0, 1])} if options.get("features") is X else {}
    first, second = key(**options, **pairs), key(**again, **pairs)
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (8, 3, 2)},
        {"features": X[0, :, :8]},
        {"features": X[0].astype(np.float16)},
        {"kind": "depthwise"},
        {"kind": "groupwise", "groups": 2},
        {"padding": 1},
        {"stride": 2},
        {"dilation": 2},
        {"gain": 0.5},
        {"bias": 1.0},
        {"head": np.ones((1, 1), np.float32)},
        {"head": (np.ones((1, 1), np.float32), [1.0])},
        {"output": "peaks"},
        {"output": "both", "top_k": 2},
        {"map_dtype": "float16"},
        {"sum_channels": True},
    ],
)
def test_calls_that_differ_never_share_a_launch(options: dict[str, Any]) -> None:
    assert key(**options) != key()


def test_weights_of_one_size_and_other_axes_are_other_weights() -> None:
    weight = np.arange(8, dtype=np.float32)
    flat, deep = (key(kind="depthwise", head=weight.reshape(shape)) for shape in ((8, 1), (1, 8)))
    assert flat != deep


def test_a_family_is_planned_once_and_each_call_gets_its_own_leases_and_regions() -> None:
    family = Family()
    templates = leased(a={}, b={"shape": (8, 5, 5)})
    first, second = (
        plan_correlate(replace(correlate_call(["a", "b"], features=x), family=family), templates, MODELS)
        for x in X
    )
    assert isinstance(first, list)
    assert isinstance(second, list)
    for one, other, lease_ in zip(first, second, templates.values(), strict=True):
        assert one.key is other.key
        assert one.leases == other.leases == [lease_]
    assert np.shares_memory(first[0].regions[0], X[0])
    assert np.shares_memory(second[1].regions[0], X[1])


def test_others_of_a_family_bring_their_own_templates() -> None:
    family = Family()

    def planned(templates: Mapping[str, Lease]) -> list[CorrelateTask]:
        call = replace(correlate_call(list(templates), features=X[0]), family=family)
        tasks = plan_correlate(call, templates, MODELS)
        assert isinstance(tasks, list)
        return tasks

    ours, theirs = leased(a={}, b={"shape": (8, 5, 5)}), leased(c={}, d={"shape": (8, 5, 5)})
    for one, other, lease_ in zip(planned(ours), planned(theirs), theirs.values(), strict=True):
        assert one.key is other.key
        assert other.leases == [lease_]
    (task,) = planned(leased(e={}, f={}))
    assert (task.size, correlation(task).template.shape) == (2, (8, 3, 3)), "of other forms: planned anew"
    for rows in range(1, 40):
        planned(leased(a={"shape": (8, 1, 1 + rows % 9)}, b={"shape": (8, 1 + rows // 9, 1)}))
    assert 1 <= len(family.plans) <= 16


def test_a_template_that_is_named_twice_is_held_once_in_a_family_too() -> None:
    family, templates = Family(), leased(a={})
    for names in (["a", "a"], ["a"]):
        call = replace(correlate_call(names, features=X[0]), family=family)
        (task,) = plan_correlate(call, templates, MODELS)  # type: ignore[misc]
        assert isinstance(task, CorrelateTask)
        assert (len(task.leases), task.size) == (1, len(names))


def test_each_template_and_each_search_region_is_held_once() -> None:
    (task,) = plan(leased(a={}, b={}), features=X, pairs=([1, 0, 1, 1], [0, 1, 1, 0]))
    assert [one.handle for one in task.leases] == ["b", "a"]
    assert (task.template_index, task.search_index) == ([0, 1, 0, 0], [0, 1, 1, 0])
    assert (task.slots, task.size, task.search_slots) == ([0, 1, 2, 3], 4, [0, 1])
    assert [region.base is X or np.shares_memory(region, X) for region in task.regions] == [True, True]
    assert task.size_bytes == X.nbytes + 4 * 7 * 7 * 4


def test_the_same_handle_twice_is_one_template() -> None:
    call = correlate_call(["a", "a"], features=X)
    (task,) = plan_correlate(call, leased(a={}), MODELS)  # type: ignore[misc]
    assert len(task.leases) == 1
    assert task.template_index == [0, 0]


def test_each_form_of_template_is_a_task_of_its_own() -> None:
    templates = leased(a={}, b={"shape": (8, 2, 2)}, c={}, d={"shape": (8, 2, 2)})
    first, second = plan(templates, features=X, pairs=([1, 0, 3, 2], [0, 0, 1, 0]))
    assert [one.handle for one in first.leases] == ["a", "c"]
    assert (first.slots, first.search_slots) == ([1, 3], [0])
    assert [one.handle for one in second.leases] == ["b", "d"]
    assert (second.slots, second.search_slots) == ([0, 2], [0, 1])


def test_features_do_not_ask_who_made_the_template() -> None:
    (task,) = plan(leased(a={"model": "gate"}, b={"model": "other"}, c={}), features=X[0])
    assert len(task.leases) == 3
    assert task.key.model is None


def test_a_template_that_meets_nothing_is_in_no_task_but_must_fit() -> None:
    templates = leased(a={}, idle={"shape": (8, 2, 2)})
    (task,) = plan(templates, pairs=([0], [0]))
    assert [one.handle for one in task.leases] == ["a"]
    call = correlate_call(["a", "idle"], features=X[0], pairs=([0], [0]))
    unfit = leased(a={}, idle={"shape": (4, 2, 2)})
    assert refused(plan_correlate, call, unfit, MODELS).field == "template"


def test_a_frame_is_embedded_as_each_template_was() -> None:
    shape = (3, 8, 8)
    templates = leased(a={"shape": shape, "model": "gate"}, b={"shape": shape, "model": "other"})
    call = correlate_call(["a", "b"], image=IMAGE, box=BOXES, pairs=([0, 0, 1], [0, 1, 1]))
    planned = plan_correlate(call, templates, MODELS)
    assert isinstance(planned, PrepareTask)
    first, second = planned.tasks
    assert isinstance(first, CorrelateTask)
    assert isinstance(second, CorrelateTask)
    assert (first.key.model, first.search_slots) == ("gate", [0, 1])
    assert (second.key.model, second.search_slots) == ("other", [1])
    assert correlation(first).search == (3, 16, 16)
    assert planned.size_bytes == IMAGE.nbytes + 3 * 3 * 16 * 16
    named = correlate_call(["a", "b"], image=IMAGE, box=BOXES, model="other")
    (task,) = plan_correlate(named, templates, MODELS).tasks  # type: ignore[union-attr]
    assert task.key.model == "other"


def test_two_frames_share_no_key() -> None:
    frame = Frame(b"jpeg", np.array(BOXES), "gate")
    first, second = (plan_templates(frame, "gate", MODELS) for _ in range(2))
    assert first.key != second.key
    assert first.size_bytes == 4 + 2 * 3 * 8 * 8


@pytest.mark.parametrize("head", [(1, 1), (300, 1)])
def test_what_comes_of_a_head_is_counted(head: tuple[int, int]) -> None:
    (plain,) = plan(leased(a={}))
    (headed,) = plan(leased(a={}), head=np.ones(head, np.float32))
    assert headed.size_bytes == plain.size_bytes + head[0] * 7 * 7 * 4 + head[0] * head[1] * 4


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tensor": "loc"}, "tensor"),
        ({"features": X[0, :4]}, "template"),
        ({"features": X[0, :, :2]}, "template"),
        ({"kind": "groupwise", "groups": 3}, "groups"),
        ({"bias": [1.0, 2.0]}, "bias"),
        ({"head": np.ones((1, 2), np.float32)}, "head"),
        ({"features": None, "image": IMAGE, "box": BOXES[0]}, "model"),
    ],
)
def test_what_does_not_fit_the_template_is_named(options: dict[str, Any], field: str) -> None:
    call = correlate_call("a", **({"features": X[0]} | options))
    assert refused(plan_correlate, call, leased(a={}), MODELS).field == field


def test_of_several_tensors_one_has_to_be_named() -> None:
    templates = leased(a={"names": "cls loc"})
    call = correlate_call("a", features=X[0])
    assert "cls, loc" in str(refused(plan_correlate, call, templates, MODELS))
    (task,) = plan(templates, tensor="loc")
    assert correlation(task).tensor == "loc"


@pytest.mark.parametrize("model", ["alexnet", None])
def test_templates_of_a_model_that_is_not_loaded_are_refused(model: str | None) -> None:
    with pytest.raises(ModelNotFound, match="expected one that is loaded: gate, other"):
        plan_templates(Frame(b"jpeg", np.array(BOXES)), model, MODELS)


def test_features_are_one_template_whatever_their_tensors() -> None:
    source = {"cls": X[0], "loc": X[1]}
    task = plan_templates(source, None, {}, updated=lease("tpl_a"), rate=0.5)
    assert isinstance(task, TemplateTask)
    assert (task.size, task.size_bytes, task.handle, task.rate) == (1, X.nbytes, "tpl_a", 0.5)
    assert task.key == plan_templates({"features": X[0]}, None, {}).key


def _work(task: CorrelateTask) -> int:
    return task.size * task.load.pair_multiply_adds


def test_what_a_call_makes_of_its_regions_and_weights_is_counted() -> None:
    (plain,) = plan(leased(a={}), features=X[0])
    (half,) = plan(leased(a={}), features=X[0].astype(np.float16))
    (padded,) = plan(leased(a={}), features=X[0], padding=(2, 1))
    (headed,) = plan(leased(a={}), features=X[0], head=np.ones((5, 1), np.float32))
    rows, cols = X.shape[2:]
    assert half.size_bytes == plain.size_bytes + X[0].nbytes // 2
    assert padded.load.region_bytes == 8 * (rows + 4) * (cols + 2) * 4
    assert headed.size_bytes == plain.size_bytes + 5 * 7 * 7 * 4 + 5 * 4
    assert _work(plain) == 8 * 3 * 3 * 7 * 7
    assert _work(headed) == _work(plain) + 5 * 7 * 7


def test_the_work_of_a_call_is_bounded() -> None:
    templates = leased(a={}, b={"shape": (8, 2, 2)})
    call = correlate_call(["a", "b"], features=X[0])
    work = 8 * (9 * 49 + 4 * 64)
    assert plan_correlate(call, templates, MODELS, max_multiply_adds=work)
    error = refused(plan_correlate, call, templates, MODELS, max_multiply_adds=work - 1)
    assert error.field == "request"
    assert "multiply-adds" in error.message
