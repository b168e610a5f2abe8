"""SiamRPN++ with MobileNetV2, 1.4 times as wide, pysot's ``siamrpn_mobilev2_l234_dwxcorr``: three levels.

The backbone is that of M. Sandler et al. (arXiv:1801.04381), which takes BGR from 0 to 255 as it is. It
stops at an eighth of the size: later strides became dilations. Where the stride is 2 there is no padding.
A template of 127 pixels becomes 15x15 at each level and 5x5 in the end, a search region of 255 pixels
31x31 and 29x29, their maps 25x25. See :mod:`siamcorr.embed.depthwise_rpn`.
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


class _Stage(NamedTuple):
    """Blocks in a row. The first has the stride, and ``first_dilation``; the others have ``dilation``."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    first_dilation: int
    dilation: int


_STEM_CHANNELS = 44  # widths are the published ones times 1.4, rounded down
_STAGES = (
    _Stage(1, 22, 1, 1, 1, 1),
    _Stage(6, 33, 2, 2, 1, 1),
    _Stage(6, 44, 3, 2, 1, 1),
    _Stage(6, 89, 4, 1, 1, 2),
    _Stage(6, 134, 3, 1, 2, 2),
    _Stage(6, 224, 3, 1, 2, 4),
    _Stage(6, 448, 1, 1, 4, 4),
)
_LEVELS = (3, 5, 7)  # of the layers: the stem is 0, the first stage 1


def build(state: StateDict) -> Architecture:
    """Return the network with the weights of pysot's state dict.

    Raises:
        InvalidArgument: names ``model``: the tensors are not those of the layout.
    """
    channels = [_STAGES[level - 1].channels for level in _LEVELS]
    return siamrpnpp("siamrpnpp_mobilenetv2", state, backbone=_MobileNetV2, channels=channels, search_px=255)


class _MobileNetV2(nn.Sequential):
    """Crops -> (N, 44, h, w), (N, 134, h, w) and (N, 448, h, w)."""

    def __init__(self) -> None:
        stem = nn.Sequential(*_convolution(3, _STEM_CHANNELS, 3, stride=2), nn.ReLU6(inplace=True))
        inputs = (_STEM_CHANNELS, *(stage.channels for stage in _STAGES))
        layers = (stem, *map(_blocks, inputs, _STAGES))
        super().__init__(OrderedDict((f"layer{index}", layer) for index, layer in enumerate(layers)))

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features, levels = crops, []
        for index, layer in enumerate(self):
            features = layer(features)
            if index in _LEVELS:
                levels.append(features)
        return tuple(levels)


class _InvertedResidual(nn.Module):
    """Expand, filter each channel, project; added to the input where the shapes agree (arXiv:1801.04381)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        expanded = inputs * expansion
        self.conv = nn.Sequential(
            *_convolution(inputs, expanded, 1),
            nn.ReLU6(inplace=True),
            *_convolution(
                expanded,
                expanded,
                3,
                stride=stride,
                padding=dilation if stride == 1 else 0,
                dilation=dilation,
                groups=expanded,
            ),
            nn.ReLU6(inplace=True),
            *_convolution(expanded, outputs, 1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.conv(features)
        return projected + features if self.adds else projected


def _blocks(inputs: int, stage: _Stage) -> nn.Sequential:
    first = _InvertedResidual(inputs, stage.channels, stage.expansion, stage.stride, stage.first_dilation)
    others = (
        _InvertedResidual(stage.channels, stage.channels, stage.expansion, 1, stage.dilation)
        for _ in range(stage.blocks - 1)
    )
    return nn.Sequential(first, *others)


def _convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs)]
