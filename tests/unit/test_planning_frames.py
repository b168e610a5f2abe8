"""Plans of calls with frames: what embedding their crops weighs, in work and in bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gates import IMAGE
from networks import small_network
from refusals import refused
from siamcorr.calls import Frame
from siamcorr.checks import correlate_call
from siamcorr.embed import Model
from siamcorr.planning import plan_correlate, plan_templates
from siamcorr.resident import Lease, Origin
from siamcorr.slabs import Row, RowForm, Slab
from siamcorr.tasks import CorrelateTask, PrepareTask

BOXES = np.array([(10.0, 10.0, 20.0, 20.0), (5.0, 5.0, 9.0, 9.0)])


def lease(handle: str) -> Lease:
    slab = Slab(RowForm((3, 2, 2), torch.float32), 1, 1, torch.device("cpu"))
    rows = {name: Row(slab, 0) for name in ("features", "centred")}
    return Lease(handle, 1, rows, Origin("small", (0, 0, 0)))


def network(template: int = 5, search: int = 7) -> Model:
    """Return a small network whose features take as many multiply-adds."""
    return replace(small_network(), template_multiply_adds=template, search_multiply_adds=search)


def test_templates_whose_features_are_too_much_work_are_refused() -> None:
    frame = Frame(IMAGE, BOXES, "small")
    assert isinstance(plan_templates(frame, "small", {"small": network()}, 10), PrepareTask)
    error = refused(plan_templates, frame, "small", {"small": network()}, 9)
    assert str(error) == "request: found 10 multiply-adds, expected at most 9 (max_multiply_adds)"


@pytest.mark.parametrize("options", [{"kind": "network"}, {"tensor": "centred", "kind": "depthwise"}])
def test_a_search_regions_features_are_work_once_for_all_its_templates(options: dict[str, Any]) -> None:
    templates = {name: lease(name) for name in "abc"}
    call = correlate_call(list(templates), image=IMAGE, box=BOXES, pairs=([0, 1, 2], [0, 0, 1]), **options)
    error = refused(plan_correlate, call, templates, {"small": network(search=10**9)}, 10**9)
    assert str(error).startswith("request: found 2e+09 multiply-adds")


def test_the_features_of_new_templates_are_counted_in_bytes() -> None:
    made = plan_templates(Frame(IMAGE, BOXES, "small"), "small", {"small": network()})
    assert isinstance(made, PrepareTask)
    (task,) = made.tasks
    assert task.size_bytes == len(BOXES) * 2 * (3 * 2 * 2) * 4, "two tensors each, and no crop yet"


@pytest.mark.parametrize("options", [{"kind": "network"}, {"tensor": "centred"}])
def test_all_features_of_search_regions_are_counted_in_bytes(options: dict[str, Any]) -> None:
    call = correlate_call("a", image=IMAGE, box=BOXES[0], **options)
    waiting = plan_correlate(call, {"a": lease("a")}, {"small": network()})
    assert isinstance(waiting, PrepareTask)
    (task,) = waiting.tasks
    assert isinstance(task, CorrelateTask)
    assert task.load.region_bytes == 2 * (3 * 6 * 6) * 4
