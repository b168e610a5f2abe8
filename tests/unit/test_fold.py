"""A head with one output a group is folded into the templates: the same answer without the many maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamcorr.ops import Correlator, Head, xcorr, xcorr_reference
from siamcorr.ops.planner import PLAN_VARIABLE
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": (1, 2), "stride": (2, 1), "dilation": (1, 2)},
    {"gain": 0.25, "bias": 0.5},
    {"gain": -3.0, "bias": torch.arange(12.0)},
    {"pairs": ([2, 0, 0, 1], [0, 0, 2, 1])},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("outputs", "depth"), [(1, 12), (3, 4)])
def test_it_is_the_correlation_and_the_head_after_it(
    outputs: int, depth: int, with_bias: bool, options: dict[str, Any]
) -> None:
    template, search = random(3, 12, 3, 4), random(3, 12, 9, 11)
    head = Head(random(outputs, depth), random(outputs, seed=1) if with_bias else None)
    response = xcorr(template, search, "depthwise", head=head, **options)
    expected = xcorr_reference(template, search, "depthwise", head=head, **options)
    assert response.shape == expected.shape
    assert (response - expected).abs().max() < 1e-5 * expected.abs().max()
    correlator = Correlator(Correlation("depthwise"), (12, 3, 4), (12, 9, 11), head=head)
    assert correlator.is_folded
    assert correlator.problem.resolved.weight == (outputs, depth, 3, 4), "nothing has twelve channels"
    assert correlator.response_shape == (outputs, 7, 8)


@pytest.mark.parametrize(
    ("kind", "head", "options"),
    [
        ("depthwise", (4, 12), {}),
        ("depthwise", (12, 1), {}),
        ("naive", (1, 1), {}),
        ("groupwise", (1, 3), {"groups": 3}),
    ],
)
def test_other_heads_are_a_step_of_their_own(kind: str, head: tuple[int, int], options: Any) -> None:
    template, search, weight = random(2, 12, 3, 3), random(2, 12, 8, 8), random(*head)
    response = xcorr(template, search, kind, head=weight, **options)
    before = xcorr(template, search, kind, **options)
    after = xcorr(weight[None, :, :, None, None], before, "grouped", groups=before.shape[1] // head[1])
    assert torch.equal(response, after)


def test_the_plain_trick_stays_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAN_VARIABLE, "trick")
    template, search, head = random(2, 12, 3, 3), random(2, 12, 8, 8), random(1, 12)
    response = xcorr(template, search, "depthwise", head=head)
    correlator = Correlator(Correlation("depthwise"), (12, 3, 3), (12, 8, 8), head=Head(head))
    assert (correlator.plan.name, correlator.problem.resolved.groups) == ("trick", 12)
    expected = xcorr_reference(template, search, "depthwise", head=head)
    assert (response - expected).abs().max() < 1e-5 * expected.abs().max()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_bits_do_not_depend_on_the_batch(data: st.DataObject) -> None:
    channels, groups = data.draw(st.sampled_from([(4, 1), (6, 2), (32, 1), (30, 5)]))
    h, w, rows, cols = (data.draw(st.integers(least, least + 5)) for least in (1, 1, 6, 6))
    batch = data.draw(st.integers(2, 9))
    template, search = random(batch, channels, h, w), random(batch, channels, rows, cols)
    head = Head(random(groups, channels // groups), random(groups, seed=2))
    together = xcorr(template, search, "depthwise", head=head)
    for pair in range(batch):
        alone = xcorr(template[pair : pair + 1], search[pair : pair + 1], "depthwise", head=head)
        assert torch.equal(alone[0], together[pair])
