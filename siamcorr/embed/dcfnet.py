"""DCFNet's two layers: the smallest of learned features, made for correlation filters.

Q. Wang et al., DCFNet: Discriminant Correlation Filters Network for Visual Tracking, arXiv:1704.04057. Names,
layers and numbers are those of foolwood/DCFNet_pytorch, ``param.pth``: BGR less its mean, a 3x3 convolution,
ReLU, another, and normalisation across five neighbouring channels.

Its tracker searches as far as its filter reaches, three times the target's size, and computes at every pixel.
Here a template slides over a search region:

- Crops are cut so that a target has the 42 pixels that it has there: a template's side is twice the target's,
  84 pixels, and a search region's 164.
- Features are averaged over 4x4 pixels: (32, 21, 21) and (32, 41, 41). At every pixel one response would take
  some 240 times as many products.
- Colours are BGR, as in the repository's later code; its first had RGB with the same weights.

Ways rejected, by the SiamFC tracker's mean overlap on 120 frames each of six sequences of OTB and VOT2015:

- Averages over 2x2 pixels: no gain above 0.006, for 15 times as many products.
- RGB: 0.63 instead of 0.69, on 60 frames.
- No template transform: 0.25, for 0.63 with ``ridge``.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from siamcorr.embed.architecture import Architecture
from siamcorr.embed.weights import StateDict, load
from siamcorr.geometry import CropSettings

__all__ = ["build"]

_MEAN_BGR = (104.0, 117.0, 123.0)
_CHANNELS = 32
_STRIDE = 4


def build(state: StateDict) -> Architecture:
    """Return DCFNet's features with the weights of its published state dict.

    Raises:
        InvalidArgument: names ``model``: the tensors are not those of the layout.
    """
    with torch.device("meta"):  # places and shapes only: no memory is filled, no random number drawn
        layers = nn.Sequential(
            nn.Conv2d(3, _CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
        )
    load(nn.ModuleDict({"feature": layers}), state)
    features = _Features(layers).float().eval().requires_grad_(False)
    return Architecture(
        name="dcfnet",
        crop=CropSettings(context=0.5, template_px=84, search_px=164),
        stride=_STRIDE,
        tensors=("features",),
        template=features,
        search=features,
        transform="ridge",
    )


class _Features(nn.Module):
    """Crops (N, 3, S, S) BGR -> features (N, 32, S / 4, S / 4)."""

    mean: torch.Tensor

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).reshape(1, 3, 1, 1))
        self.layers = layers
        self.normalise = _AcrossChannels(_CHANNELS)
        self.pool = nn.AvgPool2d(_STRIDE)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.pool(self.normalise(self.layers(crops - self.mean))),)


class _AcrossChannels(nn.Module):
    """Local response normalisation: the sums over neighbours as a 1x1 convolution of the squares.

    A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012.
    """

    neighbours: Final = 5
    alpha: Final = 1e-4
    beta: Final = 0.75
    k: Final = 1.0
    band: torch.Tensor
    ones: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        index = torch.arange(channels)
        near = (index[:, None] - index).abs() <= self.neighbours // 2
        self.register_buffer("band", near[:, :, None, None] * (self.alpha / self.neighbours))
        self.register_buffer("ones", torch.full((channels,), self.k))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scales = nn.functional.conv2d(features.square(), self.band, self.ones)
        return features * scales.pow(-self.beta)
