"""SiamRPN++: pysot's layouts for three backbones, and the same networks' maps in straightforward torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import plain_networks as plain
import published_layouts as published
from siamcorr.embed import siamrpnpp_alexnet, siamrpnpp_mobilenetv2, siamrpnpp_resnet50
from siamcorr.embed.architecture import Architecture
from siamcorr.embed.weights import StateDict
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings

Build = Callable[[StateDict], Architecture]

pytestmark = pytest.mark.usefixtures("one_thread")


def alexnet_layout() -> published.Layout:
    return published.alexnet_layout() | published.rpn_layout("rpn_head")


def mobilenet_layout(*, weighted: bool = False) -> published.Layout:
    return published.mobilenet_layout() | published.levels_layout([44, 134, 448], weighted=weighted)


def resnet_layout() -> published.Layout:
    return published.resnet_layout() | published.levels_layout([512, 1024, 2048], weighted=True)


@pytest.mark.parametrize(
    ("layout", "count", "some"),
    [
        (
            alexnet_layout(),
            35 + 40,
            {
                "backbone.features.0.weight": (96, 3, 11, 11),
                "rpn_head.cls.conv_kernel.0.weight": (256, 256, 3, 3),
                "rpn_head.loc.head.3.bias": (20,),
            },
        ),
        (
            mobilenet_layout(),
            312 + 18 + 120,  # torchvision's MobileNetV2 has 314 with its classifier
            {
                "backbone.layer1.0.conv.0.weight": (44, 44, 1, 1),
                "backbone.layer4.0.conv.3.weight": (264, 1, 3, 3),
                "backbone.layer7.0.conv.7.bias": (448,),
                "neck.downsample3.downsample.0.weight": (256, 134, 1, 1),
            },
        ),
        (
            resnet_layout(),
            318 + 18 + 120 + 2,  # torchvision's ResNet-50 has 320 with its classifier
            {
                "backbone.layer1.0.downsample.0.weight": (256, 64, 1, 1),
                "backbone.layer2.0.downsample.0.weight": (512, 256, 3, 3),
                "backbone.layer4.2.conv3.weight": (2048, 512, 1, 1),
                "neck.downsample4.downsample.0.weight": (256, 2048, 1, 1),
                "rpn_head.rpn4.cls.head.3.weight": (10, 256, 1, 1),
                "rpn_head.loc_weight": (3,),
            },
        ),
    ],
    ids=["alexnet", "mobilenetv2", "resnet50"],
)
def test_the_layouts_are_the_published_ones(
    layout: published.Layout, count: int, some: published.Layout
) -> None:
    assert len(layout) == count
    assert {name: layout[name] for name in some} == some


def test_alexnet_has_one_level() -> None:
    state = published.random_state(alexnet_layout())
    architecture = siamrpnpp_alexnet.build(state)
    assert architecture.crop == CropSettings(context=0.5, template_px=127, search_px=287)
    z, x = plain.crops(2, 127, seed=1), plain.crops(2, 287, seed=2)
    (template,), (search,) = plain.alexnet(state, z), plain.alexnet(state, x)
    expected = {name: plain.rpn(state, "rpn_head", name, template, search) for name in ("cls", "loc")}
    same_maps(plain.maps_of(architecture, z, x), expected, cells=21)


@pytest.mark.parametrize("weighted", [False, True])
def test_mobilenet_has_three_levels_averaged_with_or_without_learned_weights(weighted: bool) -> None:
    state = published.random_state(mobilenet_layout(weighted=weighted))
    architecture = siamrpnpp_mobilenetv2.build(state)
    z, x = plain.crops(2, 127, seed=1), plain.crops(2, 255, seed=2)
    expected = plain.levels(state, plain.mobilenet(state, z), plain.mobilenet(state, x))
    same_maps(plain.maps_of(architecture, z, x), expected, cells=25)


def test_resnet_has_three_levels() -> None:
    state = published.random_state(resnet_layout())
    architecture = siamrpnpp_resnet50.build(state)
    assert architecture.crop == CropSettings(context=0.5, template_px=127, search_px=255)
    z, x = plain.crops(1, 127, seed=1), plain.crops(1, 255, seed=2)
    expected = plain.levels(state, plain.resnet(state, z), plain.resnet(state, x))
    same_maps(plain.maps_of(architecture, z, x), expected, cells=25)


def same_maps(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], cells: int) -> None:
    assert {name: tuple(map_.shape[1:]) for name, map_ in found.items()} == {
        "cls": (10, cells, cells),
        "loc": (20, cells, cells),
    }
    for name, map_ in found.items():
        assert plain.apart(map_, expected[name]) <= 1e-4


@pytest.mark.parametrize(
    ("build", "layout"),
    [
        (siamrpnpp_alexnet.build, alexnet_layout()),
        (siamrpnpp_mobilenetv2.build, mobilenet_layout()),
        (siamrpnpp_resnet50.build, resnet_layout()),
    ],
    ids=["alexnet", "mobilenetv2", "resnet50"],
)
def test_one_missing_one_extra_and_one_misshapen_tensor_are_all_named(
    build: Build, layout: published.Layout
) -> None:
    state = {name: torch.empty(shape, dtype=torch.float32) for name, shape in layout.items()}
    name = next(name for name in state if name.endswith("loc.head.3.weight"))
    state[name] = torch.empty(4, 256, 1, 1)
    state["mask_head.bias"] = torch.empty(1)
    missing = next(iter(state))
    del state[missing]
    with pytest.raises(InvalidArgument) as caught:
        build(state)
    found = str(caught.value)
    assert (
        f"model: found {missing} missing; mask_head.bias unexpected; {name} of torch.float32 (4, 256,"
        in found
    )


def test_of_two_learned_weights_one_alone_is_refused() -> None:
    state = {name: torch.empty(shape) for name, shape in resnet_layout().items()}
    del state["rpn_head.cls_weight"]
    with pytest.raises(InvalidArgument, match=r"^model: found rpn_head.cls_weight missing, expected the 3"):
        siamrpnpp_resnet50.build(state)
