"""Graphs that correlate: the numbers of the definition, the same bits in any company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    Index,
    apart,
    architecture,
    crops,
    hosted,
    is_in_graphs,
    maps_of,
    needs_blocks,
    responses_of,
)
from siamcorr.embed import Workers, network_of, onnx_session
from siamcorr.embed.architecture import Branch
from siamcorr.embed.hosted import host
from siamcorr.embed.onnx_session import Session
from siamcorr.shapes import Correlation

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
def test_a_callers_autocast_at_loading_changes_no_bit(
    in_graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_graphs:
        needs_blocks()
    else:
        monkeypatch.setenv("SIAMCORR_PLAN", "trick")
    expected = hosted(*BRANCHES["two branches"])
    with torch.autocast("cpu", torch.bfloat16):
        model = hosted(*BRANCHES["two branches"])
    assert is_in_graphs(model) == in_graphs
    template, search = crops(2, TEMPLATE_PX), crops(2, SEARCH_PX)
    maps = maps_of(model, template, search, ([0, 1], [1, 0]))
    for name, map_ in maps_of(expected, template, search, ([0, 1], [1, 0])).items():
        assert torch.equal(maps[name], map_)


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


def test_no_graph_is_optimised_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_blocks()
    opened: list[bool] = []
    open_graph = onnx_session._opened

    def look(model: bytes, *, is_optimised: bool = False, **settings: Any) -> Any:
        opened.append(is_optimised)
        return open_graph(model, is_optimised=is_optimised, **settings)

    monkeypatch.setattr(onnx_session, "_opened", look)
    hosted(DEPTHWISE)
    assert opened == [False] * 3 + [True] * 3  # two sides and what is optimised; the graph and its halves


class Headed(nn.Module):
    """A head with a convolution of its own, to four channels, and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(CHANNELS, 4, 1).requires_grad_(False)

    def forward(self, response: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = self.layer(response)
        return made.sum(1, keepdim=True), made


@pytest.mark.parametrize("by", ["graphs", "stages"])
def test_a_pairs_work_and_bytes_are_counted(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "stages":
        monkeypatch.setenv("SIAMCORR_PLAN", "trick")
    network = network_of(hosted(DEPTHWISE, head=Headed()))
    cells = 9 * 9  # 8x8 on 16x16
    assert dict(network.maps) == {"sum": (1, 9, 9), "all": (4, 9, 9)}
    assert network.pair_multiply_adds == (CHANNELS * 8 * 8 + 4 * CHANNELS) * cells
    assert network.pair_bytes == 4 * (CHANNELS + 1 + 4) * cells
