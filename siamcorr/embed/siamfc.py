"""SiamFC: AlexNet features and one correlation (L. Bertinetto et al., arXiv:1606.09549).

Names, layers and numbers are those of huanglianghua/siamfc-pytorch, ``siamfc_alexnet_e50.pth``. A
template of 127 pixels, (256, 6, 6), meets a search region of 255 pixels, (256, 22, 22). The one map is
``response``, (1, 17, 17).

The published network takes RGB from 0 to 255. Here the first convolution's weights are turned round
instead of each crop's colours.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.folding import fold_batch_norm
from siamcorr.embed.weights import StateDict, load
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["build"]

_EPS = 1e-6  # of batch normalisation; torch's own is 1e-5
_GAIN = 1e-3


def build(state: StateDict) -> Architecture:
    """Return SiamFC with the weights of its published state dict.

    Raises:
        InvalidArgument: names ``model``: the tensors are not those of the layout.
    """
    with torch.device("meta"):  # places and shapes only: no memory is filled, no random number drawn
        first, layers = _layers()
        published = nn.ModuleDict({"backbone": layers})
    load(published, state)
    first.weight.data = first.weight.data.flip(1)
    fold_batch_norm(published.double().eval())
    features = _Features(layers).float().requires_grad_(False)
    return Architecture(
        name="siamfc",
        crop=CropSettings(context=0.5, template_px=127, search_px=255),
        stride=8,
        tensors=("features",),
        template=features,
        search=features,
        branches=(Branch("features", Correlation("naive")),),
        head=_Head(),
        maps=("response",),
    )


class _Features(nn.Module):
    """Crops (N, 3, S, S) BGR -> features (N, 256, h, w)."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.layers(crops),)


class _Head(nn.Module):
    """The published scale of the response (P, 1, 17, 17)."""

    def forward(self, response: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (response * _GAIN,)


def _layers() -> tuple[nn.Conv2d, nn.Sequential]:
    """Return the first convolution, and the layers with the names that they have in the published files."""
    first = nn.Conv2d(3, 96, 11, stride=2)
    blocks = {
        "conv1": nn.Sequential(first, *_norm_and_relu(96), nn.MaxPool2d(3, 2)),
        "conv2": nn.Sequential(nn.Conv2d(96, 256, 5, groups=2), *_norm_and_relu(256), nn.MaxPool2d(3, 2)),
        "conv3": nn.Sequential(nn.Conv2d(256, 384, 3), *_norm_and_relu(384)),
        "conv4": nn.Sequential(nn.Conv2d(384, 384, 3, groups=2), *_norm_and_relu(384)),
        "conv5": nn.Sequential(nn.Conv2d(384, 256, 3, groups=2)),
    }
    return first, nn.Sequential(OrderedDict(blocks))


def _norm_and_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels, eps=_EPS), nn.ReLU(inplace=True)]
