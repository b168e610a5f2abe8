"""SiamFC: the published layout, and the response of the same network in straightforward torch."""

from __future__ import annotations

import pytest
import torch

import plain_networks as plain
import published_layouts as published
from siamcorr.embed import siamfc
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_layout_is_the_published_one() -> None:
    layout = published.siamfc_layout()
    assert len(layout) == 30
    assert layout["backbone.conv2.0.weight"] == (256, 48, 5, 5)
    assert "backbone.conv5.1.weight" not in layout
    architecture = siamfc.build(published.random_state(layout))
    assert (architecture.name, architecture.stride, architecture.maps) == ("siamfc", 8, ("response",))
    assert architecture.crop == CropSettings(context=0.5, template_px=127, search_px=255)


def test_the_response_is_that_of_straightforward_torch() -> None:
    state = published.random_state(published.siamfc_layout())
    z, x = plain.crops(2, 127, seed=1), plain.crops(2, 255, seed=2)
    found, expected = plain.maps_of(siamfc.build(state), z, x), plain.siamfc(state, z, x)
    assert found["response"].shape == (2, 1, 17, 17)
    assert plain.apart(found["response"], expected["response"]) <= 1e-4


def test_the_features_are_those_that_a_client_can_correlate_itself() -> None:
    architecture = siamfc.build(published.random_state(published.siamfc_layout()))
    with torch.no_grad():
        (template,), (search,) = (
            architecture.template(plain.crops(1, 127)),
            architecture.search(plain.crops(1, 255)),
        )
    assert architecture.tensors == ("features",)
    assert template.shape == (1, 256, 6, 6)
    assert search.shape == (1, 256, 22, 22)


def test_one_missing_one_extra_and_one_misshapen_tensor_are_all_named() -> None:
    state = published.random_state(published.siamfc_layout())
    del state["backbone.conv1.0.bias"]
    state["head.scale"] = torch.ones(1)
    state["backbone.conv2.0.weight"] = torch.ones(256, 96, 5, 5)
    with pytest.raises(InvalidArgument) as caught:
        siamfc.build(state)
    assert str(caught.value) == (
        "model: found backbone.conv1.0.bias missing; head.scale unexpected; "
        "backbone.conv2.0.weight of torch.float32 (256, 96, 5, 5) for floating point (256, 48, 5, 5), "
        "expected the 26 tensors of its layout"
    )
    assert caught.value.field == "model"


def test_the_callers_tensors_are_left_alone() -> None:
    for dtype in (torch.float32, torch.float64):
        state = {
            name: torch.nn.Parameter(tensor.to(dtype), requires_grad=False)
            for name, tensor in published.random_state(published.siamfc_layout()).items()
        }
        before = {name: tensor.clone() for name, tensor in state.items()}
        siamfc.build(state)
        assert all(
            tensor.dtype == dtype and torch.equal(tensor, before[name]) for name, tensor in state.items()
        )
