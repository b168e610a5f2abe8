"""NanoTrack v3's backbone: the first ten layers of MobileNetV3-Small, 96 channels at a sixteenth of the size.

The network is that of A. Howard et al., Searching for MobileNetV3 (arXiv:1905.02244), table 2, up to its
first layer of 96 channels, whose projection is the answer. As published with NanoTrack, it takes BGR from
0 to 255 as it is. In the first block the squeeze comes after the activation, in the others before it.

Rules:

- Batch normalisation is folded into the convolutions before it, in float64, once.
- Crops run one by one. torch picks a convolution's algorithm by the batch size, so that a crop's features
  would have other last bits beside other crops.

Ways rejected:

- The whole batch at once: on one core 2.2 ms instead of 2.7 ms a crop of 255 pixels, and answers that are
  1e-6 of the largest value apart between batches of 1, 3 and 16.
- ONNX Runtime: 1.6 ms, for one more large dependency and published files that are tied to batch 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from siamcorr.embed.weights import StateDict, select
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings
from siamcorr.precision import in_full_precision

__all__ = ["NanoTrackV3"]


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


class NanoTrackV3:
    """The backbone of NanoTrack v3 as an embedder: 127 pixels -> (96, 8, 8), 255 pixels -> (96, 16, 16).

    Args:
        state: the tracker's state dict, of which ``backbone.features.*`` is taken.
        device: where the crops are and the features shall be.

    Raises:
        InvalidArgument: names ``model``: the backbone's tensors are not those of the layout.
    """

    name = "nanotrackv3"
    crop = CropSettings(context=0.5, template_px=127, search_px=255)
    stride = 16

    def __init__(self, state: StateDict, device: torch.device) -> None:
        """Check, load and fold the weights."""
        with torch.device("meta"):  # places and shapes only: no memory is filled, no random number drawn
            layers = _layers()
        layout = {name: tensor.shape for name, tensor in layers.state_dict().items()}
        layers.load_state_dict(select(state, "backbone.features.", layout), strict=False, assign=True)
        self._features = _fold(layers.double().eval()).float().requires_grad_(False).to(device)

    def shape(self, size_px: int) -> tuple[int, int, int]:
        """Return (96, h, w): a cell for each 16 pixels, begun ones included."""
        cells = -(-size_px // self.stride)
        return _BLOCKS[-1].channels, cells, cells

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the features (N, 96, h, w) float32 of crops (N, S, S, 3) uint8 BGR.

        Raises:
            InvalidArgument: names ``crops``: another shape or dtype.
        """
        size_px = crops.shape[1] if crops.ndim == 4 else 0
        if size_px < 1 or crops.shape[2:] != (size_px, 3) or crops.dtype != torch.uint8:
            raise InvalidArgument.found("crops", f"{crops.dtype} {tuple(crops.shape)}", "uint8 (N, S, S, 3)")
        features = torch.empty((len(crops), *self.shape(size_px)), device=crops.device)
        with in_full_precision(crops.device):
            for index in range(len(crops)):
                pixels = crops[index : index + 1].permute(0, 3, 1, 2)
                pixels = pixels.to(torch.float32, memory_format=torch.channels_last)
                features[index] = self._features(pixels)[0]
        return features


class _Squeeze(nn.Module):
    """Squeeze-and-excitation: each channel scaled by what all channels' means say (arXiv:1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        down, up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)
        self.fc = nn.Sequential(down, nn.ReLU(inplace=True), up, nn.Hardsigmoid(inplace=True))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scales: torch.Tensor = self.fc(features.mean((2, 3)))
        return features * scales[:, :, None, None]


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


def _layers() -> nn.Sequential:
    """Return the layers with the places, and so the names, that they have in the published files."""
    stem = nn.Sequential(*_convolution(3, _STEM_CHANNELS, 3, stride=2), nn.Hardswish(inplace=True))
    inputs = (_STEM_CHANNELS, *(block.channels for block in _BLOCKS))
    return nn.Sequential(stem, *map(_InvertedResidual, inputs, _BLOCKS))


def _fold(layers: nn.Sequential) -> nn.Sequential:
    """Return the layers with each batch normalisation folded into the convolution before it."""
    folded: list[nn.Module] = []
    for layer in layers:
        before = folded[-1] if folded else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            folded[-1] = fuse_conv_bn_eval(before, layer)
        elif isinstance(layer, nn.Sequential):
            folded.append(_fold(layer))
        elif not isinstance(layer, nn.Identity):
            if isinstance(layer, _InvertedResidual):
                layer.conv = _fold(layer.conv)
            folded.append(layer)
    return nn.Sequential(*folded)
