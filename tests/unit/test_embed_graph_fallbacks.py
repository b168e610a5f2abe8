"""Networks whose graphs cannot be made, or give other numbers: stages have the right ones."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from graph_networks import (
    CHANNELS,
    DEPTHWISE,
    OFFSET,
    SEARCH_PX,
    TEMPLATE_PX,
    Head,
    apart,
    architecture,
    crops,
    hosted,
    is_in_graphs,
    maps_of,
    needs_blocks,
    responses_of,
)
from siamcorr.embed import Workers, network_of, pair_graphs
from siamcorr.embed.architecture import Branch
from siamcorr.embed.hosted import host
from siamcorr.embed.numbered import Order
from siamcorr.embed.onnx_session import Session
from siamcorr.embed.pair_graphs import Graphs
from siamcorr.shapes import Correlation

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


class Times(Head):
    """A head that begins with a product, which a convolution may take in."""

    def forward(self, *responses: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return super().forward(*(response * 2 for response in responses))


class Plus(Head):
    """A head that begins with a sum, which a convolution with an offset may take in."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self.more = nn.Parameter(torch.linspace(0, largest, 64)[:, None, None], requires_grad=False)

    def forward(self, *responses: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return super().forward(*(response + self.more for response in responses))


@pytest.mark.parametrize(
    ("head", "branch", "right"),
    [
        (Times(), DEPTHWISE, lambda response: response * 2),
        *((Plus(most), OFFSET, Plus(most).more.add) for most in (1e-6, 0.045, 0.9, 50.0)),
        (Head(), Branch("features", Correlation("groupwise", groups=2)), lambda response: response),
    ],
    ids=["a product", "a tiny sum", "a small sum", "a sum", "a large sum", "outside of blocks"],
)
def test_what_a_graph_does_not_take_as_it_is_is_computed_in_stages(
    head: nn.Module,
    branch: Branch,
    right: Callable[[torch.Tensor], torch.Tensor],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    built = architecture(branch, head=head)
    model = host(built, None, CPU, Workers(2))
    assert not is_in_graphs(model)
    assert "computed in stages" in caplog.text
    template, search, pairs = crops(2, TEMPLATE_PX), crops(2, SEARCH_PX), ([0, 1], [1, 0])
    expected = right(responses_of(built, template, search, pairs))
    assert apart(maps_of(model, template, search, pairs)["all"], expected) < 1e-5


def test_graphs_that_give_other_numbers_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needs_blocks()
    prepare = Order.prepare
    monkeypatch.setattr(Order, "prepare", lambda order, templates: prepare(order, templates) * 1.001)
    assert not is_in_graphs(hosted(DEPTHWISE))
    assert "away from torch's" in caplog.text


@pytest.mark.parametrize("wrong", Graphs._fields)
def test_each_graph_is_tried_before_it_is_used(
    wrong: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needs_blocks()

    def with_a_wrong_one(*sessions: Session) -> Graphs:
        graphs = Graphs(*sessions)
        right = getattr(graphs, wrong)
        other: Any = lambda inputs: [array * 1.001 for array in right(inputs)]  # noqa: E731
        return graphs._replace(**{wrong: other})

    monkeypatch.setattr(pair_graphs, "Graphs", with_a_wrong_one)
    assert not is_in_graphs(hosted(DEPTHWISE))
    assert "away from torch's" in caplog.text


class Over(Head):
    """A head that divides its response by a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, *responses: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return super().forward(*(response.relu() / self.number for response in responses))


@pytest.mark.parametrize(("number", "can_be_tried"), [(float("inf"), True), (0.0, False)])
def test_maps_of_zeros_can_be_tried_and_others_not(number: float, can_be_tried: bool) -> None:
    needs_blocks()
    assert is_in_graphs(hosted(DEPTHWISE, head=Over(number))) == can_be_tried


def test_graphs_are_made_only_if_they_are_asked_for() -> None:
    needs_blocks()
    built = architecture(DEPTHWISE)
    for in_graphs in (True, False):
        model = host(replace(built, in_graphs=in_graphs), None, CPU, Workers(2))
        assert is_in_graphs(model) == in_graphs


def test_another_plan_is_computed_in_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAMCORR_PLAN", "trick")
    assert network_of(hosted(DEPTHWISE)).pairs.plan == "trick"


def test_where_no_graph_can_be_made_stages_remain(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room() -> None:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr("siamcorr.embed.onnx_session.TemporaryDirectory", no_room)
    assert not is_in_graphs(hosted(DEPTHWISE))
    assert "no usable temporary directory" in caplog.text


def test_a_template_of_too_many_places_is_computed_in_stages(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("siamcorr.embed.numbered._END", (1 << 20) + CHANNELS * 8 * 8 - 1)
    assert not is_in_graphs(hosted(DEPTHWISE))
    assert "templates of 2048 places" in caplog.text
