"""SiamRPN: pysot's layout, and the maps of the same network in straightforward torch."""

from __future__ import annotations

import pytest
import torch

import plain_networks as plain
import published_layouts as published
from siamcorr.embed import siamrpn
from siamcorr.embed.architecture import Architecture
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return published.random_state(published.siamrpn_layout())


@pytest.fixture(scope="module")
def architecture(state: dict[str, torch.Tensor]) -> Architecture:
    return siamrpn.build(state)


def test_the_layout_is_the_published_one(architecture: Architecture) -> None:
    layout = published.siamrpn_layout()
    assert len(layout) == 35 + 10
    assert layout["rpn_head.template_loc_conv.weight"] == (5120, 256, 3, 3)
    assert layout["rpn_head.search_cls_conv.weight"] == (256, 256, 3, 3)
    assert layout["backbone.features.15.running_var"] == (256,)
    assert architecture.crop == CropSettings(context=0.5, template_px=127, search_px=271)
    assert (architecture.name, architecture.stride) == ("siamrpn", 8)


def test_the_maps_are_those_of_straightforward_torch(
    state: dict[str, torch.Tensor], architecture: Architecture
) -> None:
    z, x = plain.crops(2, 127, seed=1), plain.crops(2, 271, seed=2)
    found, expected = plain.maps_of(architecture, z, x), plain.siamrpn(state, z, x)
    assert {name: tuple(map_.shape) for name, map_ in found.items()} == {
        "cls": (2, 10, 19, 19),
        "loc": (2, 20, 19, 19),
    }
    for name, map_ in found.items():
        assert plain.apart(map_, expected[name]) <= 1e-4


def test_the_layout_of_another_head_is_refused(state: dict[str, torch.Tensor]) -> None:
    backbone = {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}
    other = published.random_state(published.rpn_layout("rpn_head"))
    with pytest.raises(
        InvalidArgument, match=r"rpn_head.template_cls_conv.weight.* missing; .* 26 more unexp"
    ):
        siamrpn.build(backbone | other)
