"""AlexNet as pysot has it (``AlexNetLegacy``): 256 channels at an eighth of the size.

It takes BGR from 0 to 255 as it is. A. Krizhevsky et al., ImageNet Classification with Deep Convolutional
Neural Networks (NIPS 2012), without padding, without groups, and with batch normalisation, also behind
the last layer.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["CHANNELS", "AlexNet"]

CHANNELS = 256
"""Of the features."""


class AlexNet(nn.Module):
    """Crops (N, 3, S, S) -> features (N, 256, h, w): 127 pixels make 6 cells, 271 make 24, 287 make 26."""

    def __init__(self) -> None:
        """Lay the layers out with the places, and so the names, that they have in the published files."""
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(3, 96, 11, stride=2),
            nn.MaxPool2d(3, 2),
            nn.ReLU(inplace=True),
            *_convolution(96, 256, 5),
            nn.MaxPool2d(3, 2),
            nn.ReLU(inplace=True),
            *_convolution(256, 384, 3),
            nn.ReLU(inplace=True),
            *_convolution(384, 384, 3),
            nn.ReLU(inplace=True),
            *_convolution(384, CHANNELS, 3),
        )

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the features, alone in a tuple: other backbones have several levels."""
        return (self.features(crops),)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs)]
