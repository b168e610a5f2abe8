"""Numbers for a template's places, what a graph makes of them, and branches that there cannot be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from graph_networks import CHANNELS, DEPTHWISE, OFFSET, SEARCH_PX, architecture, needs_blocks
from siamcorr.embed.architecture import Branch
from siamcorr.embed.numbered import Numbers, Order, Parts, take_template
from siamcorr.embed.onnx_session import export, optimise
from siamcorr.ops.operands import Problem
from siamcorr.shapes import Correlation

PADDED = Branch("features", Correlation("depthwise", padding=1))


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
        for branch in (DEPTHWISE, PADDED)
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


class Crops(nn.Module):
    """A layer, of pixels as they are cut."""

    def __init__(self, side: nn.Module) -> None:
        super().__init__()
        self.side = side

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made: tuple[torch.Tensor, ...] = self.side(crops.permute(0, 3, 1, 2).float())
        return made


@pytest.fixture
def graph() -> tuple[onnx.ModelProto, Numbers]:
    """Return an optimised graph with a template of numbers, and these."""
    needs_blocks()
    built, (h, w) = architecture(DEPTHWISE), (8, 8)
    assert built.head is not None
    problems = {DEPTHWISE: Problem(DEPTHWISE.correlation, (CHANNELS, h, w), (CHANNELS, 16, 16))}
    parts = Parts(Crops(built.search), built.tensors, problems, built.head)
    [numbers] = parts.numbers()
    crop = torch.zeros(1, SEARCH_PX, SEARCH_PX, 3, dtype=torch.uint8)
    return optimise(export(parts.with_templates([numbers.template()]), [crop])), numbers


def test_a_graph_takes_a_template_in_place_of_its_numbers(graph: tuple[onnx.ModelProto, Numbers]) -> None:
    model, numbers = graph
    taken = take_template(model, numbers)
    assert taken is not None
    [(name, order)] = taken
    assert [one.name for one in model.graph.input][1:] == [name]
    assert name not in {tensor.name for tensor in model.graph.initializer}
    assert (
        sorted(order.prepare(numbers.template()).flatten().tolist()) == numbers.template().flatten().tolist()
    )


@pytest.mark.parametrize("how", ["one is missing", "one is there twice", "read outside of blocks"])
def test_a_graph_that_has_not_each_number_once_on_blocks_is_left_alone(
    how: str, graph: tuple[onnx.ModelProto, Numbers]
) -> None:
    model, numbers = graph
    if how == "one is missing":
        numbers = Numbers(numbers.first, (CHANNELS + 1, 8, 8))
    elif how == "one is there twice":
        again = numbers.template().flatten()[:1].numpy()
        model.graph.initializer.append(onnx.numpy_helper.from_array(again, "again"))
    else:
        [name] = [
            tensor.name
            for tensor in model.graph.initializer
            if numbers.places(onnx.numpy_helper.to_array(tensor)) is not None
        ]
        model.graph.node.append(onnx.helper.make_node("Identity", [name], ["elsewhere"]))
    before = model.SerializeToString(deterministic=True)
    assert take_template(model, numbers) is None
    assert model.SerializeToString(deterministic=True) == before


def test_an_offset_is_for_pixelwise_correlations() -> None:
    with pytest.raises(ValueError, match="without_ones: upchannel, expected pixelwise"):
        Branch("with_ones", Correlation("upchannel", k=2), without_ones="features")


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ([DEPTHWISE, DEPTHWISE], "branches: found two that are the same"),
        (
            [Branch("other", Correlation("naive"))],
            "branches.tensor: found 'other', expected one of features, with",
        ),
        (
            [Branch(OFFSET.tensor, OFFSET.correlation, without_ones="featurse")],
            "branches.without_ones: found 'featurse', expected one of features",
        ),
    ],
    ids=["the same twice", "tensor", "without_ones"],
)
def test_branches_that_cannot_be_are_refused(branches: Sequence[Branch], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        architecture(*branches)
