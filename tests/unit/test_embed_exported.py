"""Layers in the form that ONNX Runtime is given: the numbers are torch's, and scaling takes one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from siamcorr.embed import Workers
from siamcorr.embed.exported import OnPixels, and_with_ones, has_scales, scaled, scales_as_weights
from siamcorr.embed.mobilenet_v3 import _Squeeze, _SqueezeInBlocks
from siamcorr.embed.onnx_session import export, optimise
from siamcorr.embed.runtime import runtime_of

CHANNELS = 32


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


class Attended(nn.Module):
    """A map between two convolutions, scaled by a number a channel of it; ``biased``: and a bias added."""

    def __init__(self, *, biased: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.before, self.after = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2))
            self.scales = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.bias = random(CHANNELS) if biased else None

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.before(features)
        scales = self.scales(nn.functional.adaptive_avg_pool2d(features, 1))
        return (self.after(nn.functional.hardswish(scaled(features, scales, self.bias))),)


def graph_of(module: nn.Module, examples: Sequence[torch.Tensor]) -> onnx.ModelProto:
    """Return the graph that ONNX Runtime makes of a module."""
    return optimise(export(module, examples))


def has_blocks(model: onnx.ModelProto) -> bool:
    return any(node.domain == "com.microsoft.nchwc" and node.op_type == "Conv" for node in model.graph.node)


def answer(model: onnx.ModelProto, features: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input0": features.numpy()})
    return torch.from_numpy(found)


@pytest.mark.parametrize("biased", [False, True])
def test_a_scaled_map_is_that_of_torch(biased: bool) -> None:
    module, features = Attended(biased=biased).requires_grad_(False), random(3, CHANNELS, 9, 9)
    (expected,) = module(features)
    (found,) = runtime_of(module, [features[:1]], Workers(1))(features)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("biased", [False, True])
def test_scaling_by_weights_saves_passes_and_changes_no_bit(biased: bool) -> None:
    module, features = Attended(biased=biased).eval(), random(1, CHANNELS, 9, 9)
    model = graph_of(module, [features])
    if not has_blocks(model):
        pytest.skip("no blocks of channels on this processor")
    expected, nodes = answer(model, features), len(model.graph.node)
    assert scales_as_weights(model)
    assert len(model.graph.node) == nodes - 1
    assert not {"Upsample", "Mul", "HardSwish", "HardSigmoid"} & {node.op_type for node in model.graph.node}
    assert [node.op_type for node in model.graph.node].count("ReorderOutput") == 1  # of the answer
    assert torch.equal(answer(model, features), expected)


def test_without_an_export_features_are_a_view_of_themselves_and_ones() -> None:
    features = random(1, CHANNELS, 9, 9)
    part, whole = and_with_ones(features)
    assert part.data_ptr() == whole.data_ptr()
    assert torch.equal(part, features)
    assert (whole[:, CHANNELS:] == 1).all()


def test_a_graph_without_scales_is_left_alone() -> None:
    convolution = nn.Conv2d(CHANNELS, CHANNELS, 1, groups=CHANNELS, bias=False).requires_grad_(False)
    convolution.weight.fill_(1)  # which is not enough
    model = graph_of(convolution, [random(1, CHANNELS, 9, 9)])
    before = model.SerializeToString(deterministic=True)
    assert not has_scales(model)
    assert not scales_as_weights(model)
    assert model.SerializeToString(deterministic=True) == before


def test_without_blocks_scaling_is_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siamcorr.embed.exported._HAS_BLOCKS", False)
    module, features = Attended(biased=True).requires_grad_(False), random(1, CHANNELS, 9, 9)
    assert not has_scales(onnx.load_from_string(export(module, [features])))
    (found,) = runtime_of(module, [features], Workers(1))(features)
    torch.testing.assert_close(found, module(features)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (5, 1, 0), (4, 3, 2)])
def test_pixels_are_read_as_they_lie(kernel: int, stride: int, padding: int) -> None:
    class Crops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = OnPixels(nn.Conv2d(3, 8, kernel, stride, padding))

        def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.layer(crops.permute(0, 3, 1, 2).float()),)

    module = Crops().requires_grad_(False)
    crops = random(2, 31, 31, 3).mul(255).byte()
    (found,) = runtime_of(module, [crops[:1]], Workers(1))(crops)
    torch.testing.assert_close(found, module(crops)[0], rtol=1e-4, atol=1e-3)
    nodes = {node.op_type for node in graph_of(module, [crops[:1]]).graph.node}
    assert "Transpose" not in nodes


@pytest.mark.parametrize(("rows", "pooled"), [(64, False), (16, True)])
def test_means_lose_no_digits(rows: int, pooled: bool) -> None:
    squeeze = _Squeeze(16, 16).requires_grad_(False)
    for layer in squeeze.fc:
        if isinstance(layer, nn.Linear):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
    features = random(1, 16, rows, rows) + 1

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.squeeze = _SqueezeInBlocks(squeeze, pooled=pooled)

        def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.squeeze(features),)

    (found,) = runtime_of(Scaled(), [features], Workers(1))(features)
    expected = squeeze.double()(features.double())
    assert float((found / expected - 1).abs().max()) < 2e-7


class SharedScales(Attended):
    """What is scaled is read once more, unscaled scales too: nothing of it can be taken away."""

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.before(features)
        scales = self.scales(nn.functional.adaptive_avg_pool2d(features, 1))
        once = scaled(features, scales, self.bias)
        return (self.after(once) + self.before(scaled(once, scales, self.bias)),)


def test_scales_of_several_maps_are_right() -> None:
    module, features = SharedScales(biased=True).requires_grad_(False), random(2, CHANNELS, 9, 9)
    (found,) = runtime_of(module, [features[:1]], Workers(1))(features)
    torch.testing.assert_close(found, module(features)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("also_read", ["product", "spread"])
def test_what_somebody_else_reads_is_left_alone(also_read: str) -> None:
    model = graph_of(Attended(biased=False).eval(), [random(1, CHANNELS, 9, 9)])
    if not has_blocks(model):
        pytest.skip("no blocks of channels on this processor")
    kind = {"product": "Mul", "spread": "Upsample"}[also_read]
    [name] = [node.output[0] for node in model.graph.node if node.op_type == kind]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    before = model.SerializeToString(deterministic=True)
    assert not scales_as_weights(model)
    assert model.SerializeToString(deterministic=True) == before


def no_room() -> None:
    raise FileNotFoundError("no usable temporary directory")


def broken(model: onnx.ModelProto) -> bool:
    model.graph.node[-1].input[0] = "nowhere"
    return True


@pytest.mark.parametrize(
    ("place", "failing"),
    [("onnx_session.TemporaryDirectory", no_room), ("runtime.scales_as_weights", broken)],
)
def test_where_rewriting_fails_it_runs_as_it_was_exported(
    place: str, failing: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module, features = Attended(biased=True).requires_grad_(False), random(1, CHANNELS, 9, 9)
    (expected,) = runtime_of(module, [features], Workers(1))(features)
    monkeypatch.setattr(f"siamcorr.embed.{place}", failing)
    (found,) = runtime_of(module, [features], Workers(1))(features)
    assert torch.equal(found, expected)
    assert "slower form" in caplog.text
