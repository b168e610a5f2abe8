"""Graphs that correlate: the numbers of the definition, whatever the kind. Where there are none, stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
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
    architecture,
    hosted,
    is_in_graphs,
    needs_blocks,
)
from siamcorr.embed import Model, Workers, network_of
from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.hosted import host
from siamcorr.embed.numbered import Numbers, Order, Parts
from siamcorr.embed.onnx_session import Session
from siamcorr.ops import xcorr_reference
from siamcorr.ops.operands import Problem
from siamcorr.shapes import Correlation

Index: TypeAlias = tuple[Sequence[int], Sequence[int]]

CPU = torch.device("cpu")
BRANCHES = {
    "depthwise": [DEPTHWISE],
    "padded": [Branch("features", Correlation("depthwise", padding=(2, 1)))],
    "in strides": [Branch("features", Correlation("depthwise", stride=(2, 1)))],
    "dilated": [Branch("features", Correlation("depthwise", dilation=2))],
    "pixelwise": [Branch("features", Correlation("pixelwise"))],
    "with an offset": [OFFSET],
    "upchannel": [Branch("features", Correlation("upchannel", k=4))],
    "one output, which does not fill a block": [Branch("features", Correlation("naive"))],
    "two branches": [OFFSET, Branch("features", Correlation("depthwise", padding=7, dilation=2))],
}

pytestmark = pytest.mark.usefixtures("one_thread")


def crops(count: int, size_px: int) -> torch.Tensor:
    pixels = np.random.default_rng(count).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    return torch.from_numpy(pixels)


def maps_of(
    model: Model,
    templates: torch.Tensor,
    search: torch.Tensor,
    pairs: Index,
    on_embedded: Callable[[], object] = lambda: None,
) -> dict[str, torch.Tensor]:
    made, network = model.templates(templates), network_of(model)
    rows = [preparer.prepare(made[tensor]) for tensor, preparer in network.pairs.takes]
    return network.pairs(rows, search, *pairs, on_embedded)


def responses_of(
    built: Architecture, templates: torch.Tensor, search: torch.Tensor, pairs: Index
) -> torch.Tensor:
    """Return the responses of all branches side by side, by loops in float64."""
    sides = []
    for module, pixels in ((built.template, templates), (built.search, search)):
        tensors = module.double()(pixels.permute(0, 3, 1, 2).double())
        sides.append(dict(zip(built.tensors, tensors, strict=True)))
        module.float()
    template, region = sides
    responses = []
    for branch in built.branches:
        correlation = branch.correlation
        responses.append(
            xcorr_reference(
                template[branch.tensor],
                region[branch.tensor],
                correlation.kind,
                k=correlation.k,
                groups=correlation.groups,
                padding=correlation.padding,
                stride=correlation.stride,
                dilation=correlation.dilation,
                pairs=pairs,
            )
        )
    return torch.cat(responses, dim=1)


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("branches", BRANCHES.values(), ids=BRANCHES)
@pytest.mark.parametrize("pairs", [([0, 1, 0], [0, 1, 2]), ([0, 1, 1], [1, 1, 0])], ids=["own", "shared"])
def test_the_responses_are_those_of_the_definition(branches: Sequence[Branch], pairs: Index) -> None:
    needs_blocks()
    outputs = branches[0].correlation.k or 1
    built = architecture(*branches, outputs=outputs * CHANNELS)
    model = host(built, None, CPU, Workers(2))
    assert is_in_graphs(model)
    assert network_of(model).pairs.plan == "graph"
    template, search = crops(2, TEMPLATE_PX), crops(1 + max(pairs[1]), SEARCH_PX)
    found = maps_of(model, template, search, pairs)
    expected = responses_of(built, template, search, pairs)
    assert apart(found["all"], expected) < 1e-5
    assert found["sum"].shape == (3, 1, *expected.shape[2:])


@pytest.mark.parametrize("branches", [BRANCHES["two branches"], BRANCHES["depthwise"]], ids=["two", "one"])
def test_a_pair_has_the_same_bits_whoever_shares_its_search_region(
    branches: Sequence[Branch], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_blocks()
    model, run, used = hosted(*branches), Session.__call__, set[int]()

    def look(session: Session, inputs: Any) -> Any:
        used.add(id(session))
        return run(session, inputs)

    template, search = crops(4, TEMPLATE_PX), crops(4, SEARCH_PX)
    model.templates(template)
    monkeypatch.setattr(Session, "__call__", look)
    sessions, maps = [], []
    for pairs in (([0, 1, 2, 3], [3, 2, 1, 0]), ([0, 1, 1, 2, 3], [3, 2, 0, 1, 0])):
        used.clear()
        maps.append(maps_of(model, template, search, pairs))
        sessions.append(set(used))
    by_templates = sessions[0] & sessions[1]
    assert [len(some - by_templates) for some in sessions] == [1, 2]  # the whole, and the two halves
    own, shared = maps
    for name, map_ in own.items():
        assert torch.equal(shared[name][[0, 1, 3, 4]], map_)


@pytest.mark.parametrize("in_graphs", [True, False])
def test_features_are_told_of_once_they_are_there(in_graphs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_graphs:
        needs_blocks()
    else:
        monkeypatch.setenv("SIAMCORR_PLAN", "trick")
    events: list[str] = []
    each = Workers.each

    def look(workers: Workers, work: Callable[[int], object], count: int) -> None:
        each(workers, work, count)
        events.append(f"{count} done")

    model = hosted(DEPTHWISE)
    template, search = crops(1, TEMPLATE_PX), crops(2, SEARCH_PX)
    monkeypatch.setattr(Workers, "each", look)
    maps_of(model, template, search, ([0, 0], [0, 1]), lambda: events.append("told"))
    maps_of(model, template, search, ([0, 0, 0], [0, 1, 1]), lambda: events.append("told"))
    if in_graphs:
        assert events == ["1 done", "2 done", "told", "1 done", "2 done", "3 done", "told"]
    else:
        assert events == ["1 done", "2 done", "told", "2 done", "1 done", "2 done", "told", "2 done"]


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


def test_numbers_are_told_from_all_others() -> None:
    numbers = Numbers((1 << 24) - 12, (3, 2, 2))
    ours = numbers.template().numpy()
    assert len(np.unique(ours)) == 12
    places = numbers.places(ours)
    assert places is not None
    assert places.tolist() == np.arange(1, 13).reshape(1, 3, 2, 2).tolist()
    padded = numbers.places(np.append(ours, np.float32(0)))
    assert padded is not None
    assert padded.tolist() == [*range(1, 13), 0]
    others = (ours * 2, -ours, ours + np.float32(1e-8), np.append(ours, np.float32(1)), ours * 0, ours[:, :0])
    assert [numbers.places(other) for other in others] == [None] * len(others)
    assert Numbers(1 << 20, (3, 2, 2)).places(ours) is None


def test_all_templates_of_a_network_have_other_numbers() -> None:
    problems = {
        branch: Problem(branch.correlation, (CHANNELS, 8, 8), (CHANNELS, 16, 16))
        for branch in (DEPTHWISE, BRANCHES["padded"][0])
    }
    one, other = Parts(nn.Identity(), (), problems, nn.Identity()).numbers()
    assert other.first == one.first + CHANNELS * 8 * 8


def test_orders_are_equal_forms_only_if_they_are_equal() -> None:
    one, same, other = (Order(np.array(places, np.int64)) for places in ([1, 2, 0], [1, 2, 0], [2, 1, 0]))
    assert one.form == same.form
    assert one.form != other.form
    template = torch.tensor([[[5.0, 6.0]]])
    assert [order.prepare(template).tolist() for order in (one, other)] == [
        [[5.0, 6.0, 0.0]],
        [[6.0, 5.0, 0.0]],
    ]


def test_an_offset_is_for_pixelwise_correlations() -> None:
    with pytest.raises(ValueError, match="without_ones: upchannel, expected pixelwise"):
        Branch("with_ones", Correlation("upchannel", k=2), without_ones="features")
