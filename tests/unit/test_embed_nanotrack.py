"""NanoTrack v3's backbone: the published network's answers, and the same bits in any company."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from siamcorr.embed.nanotrack import NanoTrackV3, _layers
from siamcorr.embed.weights import read_state_dict
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings, search_crop, template_crop
from siamcorr.images import channel_mean, cut, decode

CPU = torch.device("cpu")
PREFIX = "backbone.features."


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Spare small networks the threads that cost them more than they bring on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def published_layers(seed: int = 0) -> nn.Sequential:
    """Return the network before anything is folded, with random weights and statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = _layers()
        for layer in layers.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for values in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                    assert values is not None
                    nn.init.uniform_(values, 0.5, 1.5)
    return layers.eval()


def state_of(layers: nn.Sequential) -> dict[str, torch.Tensor]:
    return {PREFIX + name: tensor.clone() for name, tensor in layers.state_dict().items()}


@pytest.fixture(scope="module")
def embedder() -> NanoTrackV3:
    return NanoTrackV3(state_of(published_layers()), CPU)


def crops(count: int, size_px: int) -> torch.Tensor:
    pixels = np.random.default_rng(count).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    return torch.from_numpy(pixels)


def test_the_shapes_are_the_published_ones(embedder: NanoTrackV3) -> None:
    assert embedder.crop == CropSettings(context=0.5, template_px=127, search_px=255)
    assert embedder.shape(127) == (96, 8, 8)
    assert embedder.shape(255) == (96, 16, 16)
    for size_px in (1, 16, 17, 100, 127):
        assert embedder(crops(1, size_px)).shape == (1, *embedder.shape(size_px))


@pytest.mark.parametrize(("threads", "size_px", "count"), [(1, 127, 5), (1, 255, 3), (2, 64, 3)])
def test_a_crop_has_the_same_bits_alone_in_a_batch_and_in_another_order(
    embedder: NanoTrackV3, threads: int, size_px: int, count: int
) -> None:
    torch.set_num_threads(threads)
    batch = crops(count, size_px)
    together = embedder(batch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(2))
    assert torch.equal(embedder(batch[order]), together[order])
    for index in range(count):
        assert torch.equal(embedder(batch[index : index + 1]), together[index : index + 1])
        assert torch.equal(embedder(batch[index:]), together[index:])


def test_folding_changes_nothing_but_the_last_bits(embedder: NanoTrackV3) -> None:
    batch = crops(2, 127)
    with torch.no_grad():
        expected = published_layers().double()(batch.permute(0, 3, 1, 2).double())
    found = embedder(batch)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def test_the_answers_are_those_of_the_published_network(shared: Path) -> None:
    weights = shared / "weights/nanotrackv3"
    embedder = NanoTrackV3(read_state_dict(str(weights / "derived/nanotrackv3_state_dict.pt")), CPU)
    network = cv2.dnn.readNetFromONNX(str(weights / "nanotrack_backbone.onnx"))
    frame = decode((shared / "sequences/Crossing/img/0001.jpg").read_bytes(), 10**6)
    box, fill = (205, 151, 17, 50), channel_mean(frame)
    for crop, size_px in (
        (template_crop(box, embedder.crop), embedder.crop.template_px),
        (search_crop(box, embedder.crop), embedder.crop.search_px),
    ):
        pixels = cut(frame, crop, size_px, fill)
        network.setInput(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None].astype(np.float32)))
        expected = network.forward()
        found = embedder(torch.from_numpy(pixels)[None]).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() / np.abs(expected).max() <= 1e-4


def test_features_are_plain_float32_and_carry_no_gradients(embedder: NanoTrackV3) -> None:
    features = embedder(crops(2, 31))
    assert features.dtype == torch.float32
    assert features.is_contiguous()
    assert not features.requires_grad
    assert not features.is_inference()


def test_no_crops_give_no_features(embedder: NanoTrackV3) -> None:
    assert embedder(crops(0, 127)).shape == (0, 96, 8, 8)


def test_crops_that_lie_anywhere_in_memory_give_the_same_bits(embedder: NanoTrackV3) -> None:
    whole = crops(3, 64)
    inside = whole[:, 10:41, 20:51]
    assert torch.equal(embedder(inside), embedder(inside.contiguous()))


def test_a_callers_autocast_does_not_lower_the_precision(embedder: NanoTrackV3) -> None:
    batch = crops(1, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = embedder(batch)
    assert torch.equal(found, embedder(batch))


def test_the_callers_tensors_and_random_numbers_are_left_alone() -> None:
    state = state_of(published_layers())
    before = {name: tensor.clone() for name, tensor in state.items()}
    random_state = torch.get_rng_state()
    embedder = NanoTrackV3(state, CPU)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())
    expected = embedder(crops(1, 64))
    for tensor in state.values():
        tensor.zero_()
    assert torch.equal(embedder(crops(1, 64)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_weights_of_another_floating_point_type_are_taken(embedder: NanoTrackV3, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in state_of(published_layers()).items()}
    found, expected = NanoTrackV3(state, CPU)(crops(1, 64)), embedder(crops(1, 64))
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-2


def test_the_head_and_the_counters_of_training_are_not_needed() -> None:
    state = state_of(published_layers()) | {"ban_head.cls_logits.0.bias": torch.zeros(2)}
    without = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(without) < len(state)
    assert torch.equal(NanoTrackV3(without, CPU)(crops(1, 31)), NanoTrackV3(state, CPU)(crops(1, 31)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"9.conv.8.bias": None}, r"found backbone\.features\.9\.conv\.8\.bias missing"),
        ({"10.conv.0.weight": torch.ones(1)}, r"found backbone\.features\.10\.conv\.0\.weight unexpected"),
        ({"0.0.weight": torch.ones(16, 3, 5, 5)}, r"0\.0\.weight of torch.float32 \(16, 3, 5, 5\), expected"),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_weights_of_another_network_are_refused(change: dict[str, Any], message: str) -> None:
    changed = state_of(published_layers()) | {PREFIX + name: value for name, value in change.items()}
    state = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(InvalidArgument, match=message) as caught:
        NanoTrackV3(state, CPU)
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(127, 127, 3, dtype=torch.uint8),
        torch.zeros(1, 3, 127, 127, dtype=torch.uint8),
        torch.zeros(1, 127, 255, 3, dtype=torch.uint8),
        torch.zeros(1, 0, 0, 3, dtype=torch.uint8),
        torch.zeros(1, 127, 127, 3),
    ],
    ids=lambda bad: f"{bad.dtype}{tuple(bad.shape)}",
)
def test_what_are_no_crops_is_refused(embedder: NanoTrackV3, bad: torch.Tensor) -> None:
    with pytest.raises(InvalidArgument, match=r"^crops: found .*, expected uint8 \(N, S, S, 3\)") as caught:
        embedder(bad)
    assert caught.value.field == "crops"
