"""SiamRPN++ with ResNet-50, pysot's ``siamrpn_r50_l234_dwxcorr``: three levels.

The backbone is that of K. He et al. (arXiv:1512.03385), which takes BGR from 0 to 255 as it is. It stops
at an eighth of the size: later strides became dilations. The first convolution and those of stride 2 have
no padding, and the ways around the first blocks of layers 2 to 4 are 3x3. A template of 127 pixels
becomes 15x15 at each level and 5x5 in the end, a search region of 255 pixels 31x31 and 29x29, their maps
25x25. See :mod:`siamcorr.embed.depthwise_rpn`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import nn

from siamcorr.embed.architecture import Architecture
from siamcorr.embed.depthwise_rpn import siamrpnpp
from siamcorr.embed.weights import StateDict

__all__ = ["build"]


class _Layer(NamedTuple):
    """Blocks in a row. The first has the stride, ``first_dilation`` and a way around of ``around`` cells."""

    width: int
    blocks: int
    stride: int
    first_dilation: int
    dilation: int
    around: int


_STEM_CHANNELS = 64
_EXPANSION = 4
_LAYERS = (
    _Layer(64, 3, 1, 1, 1, 1),
    _Layer(128, 4, 2, 1, 1, 3),
    _Layer(256, 6, 1, 1, 2, 3),
    _Layer(512, 3, 1, 2, 4, 3),
)


def build(state: StateDict) -> Architecture:
    """Return the network with the weights of pysot's state dict.

    Raises:
        InvalidArgument: names ``model``: the tensors are not those of the layout.
    """
    channels = [layer.width * _EXPANSION for layer in _LAYERS[1:]]
    return siamrpnpp("siamrpnpp_resnet50", state, backbone=_ResNet50, channels=channels, search_px=255)


class _ResNet50(nn.Sequential):
    """Crops -> (N, 512, h, w), (N, 1024, h, w) and (N, 2048, h, w)."""

    def __init__(self) -> None:
        stem = {
            "conv1": nn.Conv2d(3, _STEM_CHANNELS, 7, stride=2, bias=False),
            "bn1": nn.BatchNorm2d(_STEM_CHANNELS),
            "relu": nn.ReLU(inplace=True),
            "maxpool": nn.MaxPool2d(3, 2, padding=1),
        }
        inputs = (_STEM_CHANNELS, *(layer.width * _EXPANSION for layer in _LAYERS))
        layers = enumerate(map(_blocks, inputs, _LAYERS), start=1)
        super().__init__(OrderedDict(stem | {f"layer{number}": layer for number, layer in layers}))

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        *first, second, third, fourth = self
        features = crops
        for layer in first:
            features = layer(features)
        features = second(features)
        deeper = third(features)
        return features, deeper, fourth(deeper)


class _Bottleneck(nn.Sequential):
    """Fewer channels, filter, more channels; and a way around them, which is the last of the modules."""

    def __init__(self, inputs: int, width: int, *, stride: int, dilation: int, around: int) -> None:
        outputs = width * _EXPANSION
        padding = dilation if stride == 1 else 0
        layers = {
            "conv1": nn.Conv2d(inputs, width, 1, bias=False),
            "bn1": nn.BatchNorm2d(width),
            "relu1": nn.ReLU(inplace=True),
            "conv2": nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False),
            "bn2": nn.BatchNorm2d(width),
            "relu2": nn.ReLU(inplace=True),
            "conv3": nn.Conv2d(width, outputs, 1, bias=False),
            "bn3": nn.BatchNorm2d(outputs),
            "downsample": nn.Identity(),
        }
        if around:
            padding = padding if around > 1 else 0
            way = nn.Conv2d(inputs, outputs, around, stride, padding, dilation, bias=False)
            layers["downsample"] = nn.Sequential(way, nn.BatchNorm2d(outputs))
        super().__init__(OrderedDict(layers))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        *layers, around = self
        changed: torch.Tensor = features
        for layer in layers:
            changed = layer(changed)
        return changed.add(around(features)).relu_()


def _blocks(inputs: int, layer: _Layer) -> nn.Sequential:
    outputs = layer.width * _EXPANSION
    first = _Bottleneck(
        inputs, layer.width, stride=layer.stride, dilation=layer.first_dilation, around=layer.around
    )
    others = (
        _Bottleneck(outputs, layer.width, stride=1, dilation=layer.dilation, around=0)
        for _ in range(layer.blocks - 1)
    )
    return nn.Sequential(first, *others)
