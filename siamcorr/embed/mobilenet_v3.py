"""NanoTrack v3's backbone: the first ten layers of MobileNetV3-Small, 96 channels at a sixteenth of the size.

The network is that of A. Howard et al., Searching for MobileNetV3 (arXiv:1905.02244), table 2, up to its
first layer of 96 channels, whose projection is the answer. As published with NanoTrack, it takes BGR from
0 to 255 as it is. In the first block the squeeze comes after the activation, in the others before it.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import nn

from siamcorr.embed.exported import BLOCK, OnPixels, scaled
from siamcorr.embed.folding import padded, pointwise

__all__ = ["CHANNELS", "in_blocks", "layers"]


class _Block(NamedTuple):
    """One row of the table: ``squeezed`` is the width of the squeeze-and-excitation, 0 for none."""

    kernel: int
    stride: int
    expanded: int
    channels: int
    squeezed: int
    activation: type[nn.ReLU] | type[nn.Hardswish]


_STEM_CHANNELS = 16
_BLOCKS = (
    _Block(3, 2, 16, 16, 8, nn.ReLU),
    _Block(3, 2, 72, 24, 0, nn.ReLU),
    _Block(3, 1, 88, 24, 0, nn.ReLU),
    _Block(5, 2, 96, 40, 24, nn.Hardswish),
    _Block(5, 1, 240, 40, 64, nn.Hardswish),
    _Block(5, 1, 240, 40, 64, nn.Hardswish),
    _Block(5, 1, 120, 48, 32, nn.Hardswish),
    _Block(5, 1, 144, 48, 40, nn.Hardswish),
    _Block(5, 1, 288, 96, 72, nn.Hardswish),
)

CHANNELS = _BLOCKS[-1].channels
"""Of the features."""


class _Squeeze(nn.Module):
    """Squeeze-and-excitation: each channel scaled by what all channels' means say (arXiv:1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        down, up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)
        self.fc = nn.Sequential(down, nn.ReLU(inplace=True), up, nn.Hardsigmoid(inplace=True))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scales: torch.Tensor = self.fc(features.mean((2, 3)))
        return features * scales[:, :, None, None]


class _SqueezeInBlocks(nn.Module):
    """The same of channels in whole blocks: convolutions of one cell, and pools, stay in them.

    A pool adds cell by cell, which rounds off more the more there are. So means are ``pooled`` only where a
    map is small, and quarters come first.
    """

    def __init__(self, squeeze: _Squeeze, *, pooled: bool) -> None:
        super().__init__()
        self.fc = nn.Sequential(*map(_in_whole_blocks, squeeze.fc))
        self.means = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.AdaptiveAvgPool2d(1)) if pooled else _Means()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return scaled(features, self.fc(self.means(features)))


class _Means(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean((2, 3), keepdim=True)


def _in_whole_blocks(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, nn.Linear):
        return layer
    convolution = pointwise(layer.weight.detach(), layer.bias.detach())
    return padded(convolution, *map(_whole_blocks, (layer.in_features, layer.out_features)))


class _InvertedResidual(nn.Module):
    """Expand, filter each channel, project; added to the input where the shapes agree."""

    def __init__(self, inputs: int, block: _Block) -> None:
        super().__init__()
        self.adds = block.stride == 1 and inputs == block.channels
        activation = block.activation(inplace=True)
        squeeze = _Squeeze(block.expanded, block.squeezed) if block.squeezed else nn.Identity()
        filtered = _convolution(block.expanded, block.expanded, block.kernel, block.stride, block.expanded)
        projected = _convolution(block.expanded, block.channels, 1)
        if inputs == block.expanded:
            layers = [*filtered, activation, squeeze, *projected]
        else:
            expanded = _convolution(inputs, block.expanded, 1)
            layers = [*expanded, activation, *filtered, squeeze, activation, *projected]
        self.conv = nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.conv(features)
        return projected.add_(features) if self.adds else projected


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    padding = kernel // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


def layers() -> nn.Sequential:
    """Return the layers with the places, and so the names, that they have in the published files."""
    stem = nn.Sequential(*_convolution(3, _STEM_CHANNELS, 3, stride=2), nn.Hardswish(inplace=True))
    inputs = (_STEM_CHANNELS, *(block.channels for block in _BLOCKS))
    return nn.Sequential(stem, *map(_InvertedResidual, inputs, _BLOCKS))


def in_blocks(network: nn.Sequential) -> nn.Sequential:
    """Let :func:`layers`, once batch normalisation is folded, do the same in fewer passes, in place.

    Where channels are scaled there are as many as fill blocks: see :mod:`siamcorr.embed.exported`.
    """
    stem, *residuals = (cast(nn.Sequential, layer) for layer in network)
    stem[0] = OnPixels(cast(nn.Conv2d, stem[0]))
    for residual, block in zip(residuals, _BLOCKS, strict=True):
        if block.squeezed:
            inside = cast(nn.Sequential, residual.conv)
            residual.conv = nn.Sequential(*(_in_blocks(layer, block) for layer in inside))
    return network


def _in_blocks(layer: nn.Module, block: _Block) -> nn.Module:
    if isinstance(layer, _Squeeze):
        return _SqueezeInBlocks(layer, pooled=block != _BLOCKS[0])  # whose map is 16 times as large
    expanded = block.expanded
    if isinstance(layer, nn.Conv2d):
        channels = _whole_blocks(expanded)
        sides = layer.in_channels, layer.out_channels
        return padded(layer, *(channels if side == expanded else side for side in sides))
    return layer


def _whole_blocks(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
