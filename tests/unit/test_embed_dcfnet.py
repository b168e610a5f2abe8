"""DCFNet's features: the published layout, and the same layers in straightforward torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from siamcorr.embed import Workers, load_model
from siamcorr.embed.dcfnet import build
from siamcorr.embed.weights import StateDict, read_state_dict
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings
from siamcorr.ops import xcorr

pytestmark = pytest.mark.usefixtures("one_thread")

LAYOUT = {
    "feature.0.weight": (32, 3, 3, 3),
    "feature.0.bias": (32,),
    "feature.2.weight": (32, 32, 3, 3),
    "feature.2.bias": (32,),
}


def random_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in LAYOUT.items()}


def crops(count: int, size_px: int, seed: int = 1) -> torch.Tensor:
    """Return soft coloured blots, (N, S, S, 3) uint8."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size_px // 8 + 2, size_px // 8 + 2, generator=generator)
    smooth = functional.interpolate(coarse, size=(size_px, size_px), mode="bicubic")
    return (smooth.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def plain(state: StateDict, images: torch.Tensor) -> torch.Tensor:
    """Return the published layers' features at every pixel, averaged over 4x4."""
    bgr = images.permute(0, 3, 1, 2).float() - torch.tensor([104.0, 117.0, 123.0]).reshape(3, 1, 1)
    first = functional.conv2d(bgr, state["feature.0.weight"], state["feature.0.bias"], padding=1)
    second = functional.conv2d(first.relu(), state["feature.2.weight"], state["feature.2.bias"], padding=1)
    whole = functional.local_response_norm(second, size=5, alpha=1e-4, beta=0.75, k=1.0)
    return functional.avg_pool2d(whole, 4)


def features(state: StateDict, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        (found,) = build(state).search(images.permute(0, 3, 1, 2).float())
    return torch.as_tensor(found)


def test_the_architecture_is_as_announced() -> None:
    architecture = build(random_state())
    assert architecture.crop == CropSettings(context=0.5, template_px=84, search_px=164)
    assert (architecture.name, architecture.stride, architecture.transform) == ("dcfnet", 4, "ridge")
    assert architecture.tensors == ("features",)
    assert architecture.head is None


@pytest.mark.parametrize(("size_px", "cells"), [(84, 21), (164, 41)])
def test_features_are_those_of_straightforward_torch(size_px: int, cells: int) -> None:
    state, images = random_state(), crops(2, size_px)
    expected = plain(state, images)
    found = features(state, images)
    assert found.shape == (2, 32, cells, cells)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_features_with_the_published_weights_are_those_of_straightforward_torch(shared: Path) -> None:
    state = read_state_dict(str(shared / "weights/dcfnet/param.pth"))
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == LAYOUT
    images = crops(2, 164)
    expected = plain(state, images)
    assert (features(state, images) - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", ["dcfnet", "dcfnet+mean"])
def test_the_published_model_finds_its_template_where_it_was_cut(shared: Path, name: str) -> None:
    model = load_model(name, str(shared / "weights/dcfnet/param.pth"), torch.device("cpu"), Workers(1))
    search = crops(1, 164)
    middle = slice(40, 124)
    template = model.templates(search if model.from_search else search[:, middle, middle])["features"]
    for rows, cols in ((0, 0), (8, -12)):
        moved = model.search(search.roll((rows, cols), dims=(1, 2)))["features"]
        response = xcorr(template, moved)[0, 0]
        assert divmod(int(response.argmax()), 21) == (10 + rows // 4, 10 + cols // 4)
        assert response.max() == pytest.approx(1, abs=0.02)


def test_a_black_crop_makes_finite_templates(shared: Path) -> None:
    for name in ("dcfnet", "dcfnet+mean"):
        model = load_model(name, str(shared / "weights/dcfnet/param.pth"), torch.device("cpu"), Workers(1))
        size_px = model.template_px
        template = model.templates(torch.zeros(1, size_px, size_px, 3, dtype=torch.uint8))["features"]
        assert template.isfinite().all()


def test_what_is_missing_unexpected_and_misshapen_is_named() -> None:
    state = random_state()
    del state["feature.0.bias"]
    state["feature.3.bias"] = torch.zeros(32)
    state["feature.2.bias"] = torch.zeros(31)
    expected = "feature.0.bias missing; feature.3.bias unexpected; feature.2.bias of .*for floating point"
    with pytest.raises(InvalidArgument, match=expected) as caught:
        build(state)
    assert caught.value.field == "model"
