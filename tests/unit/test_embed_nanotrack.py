"""NanoTrack v3, whole: the published network's answers, and the published files' names and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from graph_networks import is_in_graphs, needs_blocks
from plain_nanotrack import PlainNanoTrack
from siamcorr.embed import Workers, onnx_session, pair_graphs, runtime
from siamcorr.embed.exported import BLOCKED, scales_as_weights
from siamcorr.embed.hosted import host
from siamcorr.embed.mobilenet_v3 import layers
from siamcorr.embed.model import Model, network_of
from siamcorr.embed.nanotrack import _published_head, build
from siamcorr.embed.weights import read_state_dict
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import search_crop, template_crop
from siamcorr.images import channel_mean, cut, decode

CPU = torch.device("cpu")
PREFIXES = ("backbone.features.", "ban_head.")

pytestmark = pytest.mark.usefixtures("one_thread")


def published(seed: int = 0) -> tuple[nn.Sequential, nn.ModuleDict]:
    """Return backbone and head before anything is folded, with random weights and statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = layers(), _published_head()
        for module in (module for part in parts for module in part.modules()):
            if isinstance(module, nn.BatchNorm2d):
                for values in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                    assert values is not None
                    nn.init.uniform_(values, 0.5, 1.5)
    for part in parts:
        part.eval()
    return parts


def state_of(parts: tuple[nn.Module, ...]) -> dict[str, torch.Tensor]:
    return {
        prefix + name: tensor.clone()
        for prefix, part in zip(PREFIXES, parts, strict=True)
        for name, tensor in part.state_dict().items()
    }


def crops(count: int, size_px: int) -> torch.Tensor:
    pixels = np.random.default_rng(count).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    return torch.from_numpy(pixels)


@pytest.fixture(scope="module")
def model() -> Model:
    return host(build(state_of(published())), None, CPU, Workers(2))


def maps_of(model: Model, template: torch.Tensor, search: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the maps of template i on search region i."""
    pairs, made = network_of(model).pairs, model.templates(template)
    rows = [preparer.prepare(made[name]) for name, preparer in pairs.takes]
    each = range(len(search))
    return pairs(rows, search, each, each)


@pytest.mark.parametrize("by", ["graphs", "stages", "torch"])
def test_folding_changes_nothing_but_the_last_bits(
    by: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "graphs":
        needs_blocks()
    elif by == "stages":
        monkeypatch.setenv("SIAMCORR_PLAN", "trick")
    else:
        monkeypatch.setattr(onnx_session, "find_spec", lambda _: None)
    if by != "graphs":
        model = host(build(state_of(published())), None, CPU, Workers(2))
    assert is_in_graphs(model) == (by == "graphs")
    template, search = crops(1, 127), crops(1, 255)
    found = maps_of(model, template, search)
    plain = PlainNanoTrack(state_of(published())).double()
    expected = plain.maps(plain.features(template[0]), plain.features(search[0]))
    for name, map_ in zip(("cls", "loc"), expected, strict=True):
        assert found[name].shape == map_.shape
        assert float((found[name] - map_).abs().max() / map_.abs().max()) < 1e-5


def test_all_scaling_is_by_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []

    def look(graph: Any) -> bool:
        is_found = scales_as_weights(graph)
        graphs.append((is_found, [node.op_type for node in graph.graph.node if node.domain == BLOCKED]))
        return is_found

    for place in (runtime, pair_graphs):
        monkeypatch.setattr(place, "scales_as_weights", look)
    host(build(state_of(published())), None, CPU, Workers(1))
    if not any("Conv" in operators for _, operators in graphs):
        pytest.skip("no blocks of channels on this processor")
    assert [is_found for is_found, _ in graphs] == [True] * 3  # templates, search regions, pairs
    assert not any("Upsample" in operators for _, operators in graphs)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 5, 9])
def test_a_pair_has_the_same_bits_alone_and_in_a_batch(threads: int) -> None:
    model = host(build(state_of(published())), None, CPU, Workers(threads))
    template, search = crops(5, 127), crops(5, 255)
    together = maps_of(model, template, search)
    for index in range(5):
        alone = maps_of(model, template[index : index + 1], search[index : index + 1])
        assert all(torch.equal(alone[name][0], together[name][index]) for name in together)


def test_the_answers_are_those_of_the_published_network(shared: Path) -> None:
    weights = shared / "weights/nanotrackv3"
    state = read_state_dict(str(weights / "derived/nanotrackv3_state_dict.pt"))
    model = host(build(state), None, CPU, Workers(1))
    backbone, head = (
        cv2.dnn.readNetFromONNX(str(weights / f"nanotrack_{part}.onnx")) for part in ("backbone", "head")
    )
    frame = decode((shared / "sequences/Crossing/img/0001.jpg").read_bytes(), 10**6)
    box, fill = (205, 151, 17, 50), channel_mean(frame)
    template = cut(frame, template_crop(box, model.crop), model.crop.template_px, fill)
    search = cut(frame, search_crop(box, model.crop), model.crop.search_px, fill)
    for name, pixels in (("input1", template), ("input2", search)):
        backbone.setInput(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None].astype(np.float32)))
        head.setInput(backbone.forward().copy(), name)
    expected = dict(zip(("cls", "loc"), head.forward(["output1", "output2"]), strict=True))
    found = maps_of(model, torch.from_numpy(template)[None], torch.from_numpy(search)[None])
    for name, map_ in expected.items():
        assert found[name].shape == map_.shape
        assert np.abs(found[name].numpy() - map_).max() / np.abs(map_).max() <= 1e-4


def test_the_callers_tensors_and_random_numbers_are_left_alone() -> None:
    state = state_of(published())
    before = {name: tensor.clone() for name, tensor in state.items()}
    random_state = torch.get_rng_state()
    build(state)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone.features.9.conv.8.bias": None}, r"backbone\.features\.9\.conv\.8\.bias"),
        ({"ban_head.cls_logits.0.bias": None}, r"ban_head\.cls_logits\.0\.bias"),
        ({"ban_head.down_cls.1.weight": torch.ones(1)}, r"ban_head\.down_cls\.1\.weight"),
        ({"backbone.features.0.0.weight": torch.ones(16, 3, 5, 5)}, r"0\.0\.weight.*\(16, 3, 5, 5\)"),
    ],
    ids=["missing", "missing head", "unexpected", "shape"],
)
def test_weights_of_another_network_are_refused(change: dict[str, Any], message: str) -> None:
    changed = state_of(published()) | change
    state = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(InvalidArgument, match=message) as caught:
        build(state)
    assert caught.value.field == "model"
