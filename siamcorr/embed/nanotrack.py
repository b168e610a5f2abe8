"""NanoTrack v3, whole: its backbone, its two correlations and its heads.

HonglinChu/SiamTrackers has the network and its weights. A template of 127 pixels, (96, 8, 8), meets a search
region of 255 pixels, (96, 16, 16), pixel by pixel and, its middle (96, 4, 4), channel by channel, once for
the score and once for the box. The maps are ``cls``, (2, 15, 15), background and target before their softmax,
and ``loc``, (4, 15, 15): distances to the left, top, right and bottom side in pixels of the crop.

What is linear is folded, in float64: answers differ from the published graph's below 1e-5.

- Each pixel-wise correlation has a 1x1 convolution on either side. With W, b that of the search region x and
  z that of the template, already applied: z.(Wx + b) = (W'z).x + b.z. So both go into the template, and x
  gets a channel of ones for the last term; in a graph that is a bias. Score and box then share one
  correlation, and so do they with the channel-wise one: their templates are laid side by side.
- The 1x1 convolution behind the pixel-wise correlation goes into the next one.

Measured with ONNX Runtime against one operator a published layer, in turns (Intel, AVX-512, one thread): the
backbone takes 0.87 of the time, by means and scaled channels in blocks (:mod:`siamcorr.embed.exported`) and
pixels read as they lie; the heads, side by side and without copies that join maps, take 0.90.

A tracker adds errors up, and where a crop begins is rounded: 1e-6 pixels a frame in one direction tip it over
some day. In two of the six recorded sequences (David at frame 213, Crossing at 94) the published float32
passes such a tie by less than 1e-4 pixels, and in one of them float64 falls on the other side. So after
changing the order of a sum follow whole sequences; where a library multiplies, by all of its products
(MKL_CBWR=AVX2, COMPATIBLE).

Ways rejected:

- The last two convolutions of each head in one: its rounded bias moves all answers one way.
- The projection of the first block in the second block's expansion: 1 % faster.
- Means by pools in the first block too, or by other parts than quarters in the others: 0.01 at most, but of
  some thirty ways to add them up, all others tip David or Crossing over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.exported import and_with_ones, scaled
from siamcorr.embed.folding import chained, fold_batch_norm, in_groups, pointwise
from siamcorr.embed.mobilenet_v3 import CHANNELS, in_blocks, layers
from siamcorr.embed.weights import StateDict, load
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["build"]

_CELLS = 64  # of a template, 8x8
_MIDDLE = slice(2, 6)
_TOWER_BLOCKS = 6
_NAMES, _TOWERS, _LAST = ("cls", "reg"), ("cls_tower", "bbox_tower"), ("cls_logits", "bbox_pred")
_MAPS = (2, 4)  # background and target; left, top, right and bottom
_UNUSED = "neck."  # in the files: it would widen channels that are as wide already


def build(state: StateDict) -> Architecture:
    """Return NanoTrack v3 with the weights of its published state dict.

    Raises:
        InvalidArgument: names ``model``: tensors of ``backbone`` or ``ban_head`` are not those of the layout.
    """
    with torch.device("meta"):  # places and shapes only: no memory is filled, no random number drawn
        backbone, head = layers(), _published_head()
    published = nn.ModuleDict({"backbone": nn.ModuleDict({"features": backbone}), "ban_head": head})
    load(published, {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED)})
    fold_batch_norm(published.double().eval())
    backbone = in_blocks(backbone)
    score, box = (_Sides.of(head, name) for name in ("cls", "reg"))
    parts = _Template(backbone, score, box), _Search(backbone, score, box), _Head(head)
    template, search, maps = (part.float().requires_grad_(False) for part in parts)
    return Architecture(
        name="nanotrackv3",
        crop=CropSettings(context=0.5, template_px=127, search_px=255),
        stride=16,
        tensors=("features", "pixelwise", "depthwise"),
        template=template,
        search=search,
        branches=(
            Branch("pixelwise", Correlation("pixelwise"), without_ones="features"),
            Branch("depthwise", Correlation("depthwise", padding=1)),
        ),
        head=maps,
        maps=("cls", "loc"),
        in_graphs=True,
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """The convolutions on either side of the two correlations, for the score or for the box."""

    pixelwise_template: nn.Conv2d
    depthwise_template: nn.Conv2d
    depthwise_search: nn.Conv2d

    @staticmethod
    def of(head: nn.ModuleDict, name: str) -> _Sides:
        weight, bias = _weights(_convolution(head, f"corr_pw_{name}.conv_search.0"))
        into_template = pointwise(torch.cat([weight.T, bias[None]]), weight.new_zeros(CHANNELS + 1))
        return _Sides(
            chained(_convolution(head, f"corr_pw_{name}.conv_kernel.0"), into_template),
            _convolution(head, f"corr_dw_{name}.conv_kernel.0"),
            _convolution(head, f"corr_dw_{name}.conv_search.0"),
        )


class _Template(nn.Module):
    """Crops (N, 3, 127, 127) -> features (N, 96, 8, 8), (N, 97, 16, 8) and (N, 192, 4, 4)."""

    def __init__(self, backbone: nn.Module, score: _Sides, box: _Sides) -> None:
        super().__init__()
        self.backbone = backbone
        self.score, self.box = score.pixelwise_template, box.pixelwise_template
        self.depthwise = _side_by_side(score.depthwise_template, box.depthwise_template)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.backbone(crops)
        pixelwise = torch.cat([self.score(features), self.box(features)], dim=2)
        return features, pixelwise, self.depthwise(features[:, :, _MIDDLE, _MIDDLE])


class _Search(nn.Module):
    """Crops (N, 3, 255, 255) -> features (N, 96, 16, 16), the same and ones (N, 97, ...), (N, 192, ...)."""

    def __init__(self, backbone: nn.Module, score: _Sides, box: _Sides) -> None:
        super().__init__()
        self.backbone = backbone
        self.depthwise = _side_by_side(score.depthwise_search, box.depthwise_search)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.backbone(crops)
        return *and_with_ones(features), self.depthwise(features)


class _Head(nn.Module):
    """Responses (P, 128, 16, 16) and (P, 192, 15, 15) -> ``cls`` (P, 2, 15, 15), ``loc`` (P, 4, 15, 15).

    The two heads run side by side, as groups of channels. The pixel-wise response is scaled behind the
    convolution that filters each of its channels, and before the bias.
    """

    def __init__(self, head: nn.ModuleDict) -> None:
        super().__init__()
        squeezed, scales, self.filtered = (
            in_groups(*(_convolution(head, f"corr_pw_{name}.{place}") for name in _NAMES))
            for place in ("CA_layer.fc1", "CA_layer.fc2", "conv.0")
        )
        self.scales = nn.Sequential(nn.AdaptiveAvgPool2d(1), squeezed, nn.ReLU(), scales, nn.Sigmoid())
        self.offset, self.filtered.bias = self.filtered.bias, None
        self.activation = nn.ReLU6()
        attended, others = zip(*(_joining(head, name) for name in _NAMES), strict=True)
        self.attended, self.others = in_groups(*attended), in_groups(*others)
        towers = (cast(nn.Sequential, head[tower]) for tower in _TOWERS)
        layers = (
            in_groups(first, second) if isinstance(second, nn.Conv2d) else first
            for first, second in zip(*towers, strict=True)
        )
        self.blocks = nn.Sequential(*layers, _last(head))

    def forward(self, pixelwise: torch.Tensor, depthwise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        attended = self.activation(scaled(self.filtered(pixelwise), self.scales(pixelwise), self.offset))
        maps = self.blocks(self.attended(attended) + self.others(depthwise))
        score, box = maps.split(_MAPS, dim=1)
        return score, box.exp()


def _joining(head: nn.ModuleDict, name: str) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Return what makes one map of two, as a convolution of either: the results are added."""
    joined, bias = _weights(_convolution(head, f"down_{name}.0"))
    attended = chained(_convolution(head, f"corr_pw_{name}.conv.3"), pointwise(joined[:, :_CELLS], bias))
    return attended, pointwise(joined[:, _CELLS:], torch.zeros_like(bias))


def _last(head: nn.ModuleDict) -> nn.Conv2d:
    """Return what makes the maps, from all channels: groups of so few channels are slower."""
    layers = (_convolution(head, f"{name}.0") for name in _LAST)
    weights, biases = zip(*map(_weights, layers), strict=True)
    diagonal = torch.block_diag(*weights)  # type: ignore[no-untyped-call]  # torch has no types for it
    return pointwise(diagonal, torch.cat(biases))


def _side_by_side(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    weights, biases = zip(*map(_weights, (first, second)), strict=True)
    return pointwise(torch.cat(weights), torch.cat(biases))


def _convolution(head: nn.Module, path: str) -> nn.Conv2d:
    return cast(nn.Conv2d, head.get_submodule(path))


def _weights(convolution: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (O, C) and bias (O,) of a 1x1 convolution with a bias."""
    return convolution.weight[:, :, 0, 0].detach(), cast(torch.Tensor, convolution.bias).detach()


def _published_head() -> nn.ModuleDict:
    """Return the head's layers with the places, and so the names, that they have in the published files."""
    head: dict[str, nn.Module] = {}
    for name, tower, last, outputs in zip(_NAMES, _TOWERS, _LAST, _MAPS, strict=True):
        sides = {side: _pointwise_and_norm(CHANNELS, bias=True) for side in ("conv_kernel", "conv_search")}
        head[f"corr_dw_{name}"] = nn.ModuleDict(sides)
        attention = {layer: nn.Conv2d(_CELLS, _CELLS, 1) for layer in ("fc1", "fc2")}
        smaller = nn.Conv2d(_CELLS, _CELLS, 2, groups=_CELLS, bias=False), nn.BatchNorm2d(_CELLS), nn.ReLU6()
        conv = nn.Sequential(*smaller, *_pointwise_and_norm(_CELLS, bias=True))
        more = {"CA_layer": nn.ModuleDict(attention), "conv": conv}
        sides = {side: _pointwise_and_norm(CHANNELS, bias=True) for side in ("conv_kernel", "conv_search")}
        head[f"corr_pw_{name}"] = nn.ModuleDict(sides | more)
        head[f"down_{name}"] = nn.Sequential(nn.Conv2d(CHANNELS + _CELLS, CHANNELS, 1))
        head[tower] = nn.Sequential(*(layer for _ in range(_TOWER_BLOCKS) for layer in _separable()))
        head[last] = nn.Sequential(nn.Conv2d(CHANNELS, outputs, 1))
    return nn.ModuleDict(head)


def _pointwise_and_norm(channels: int, *, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1, bias=bias), nn.BatchNorm2d(channels))


def _separable() -> list[nn.Module]:
    filtered = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False)
    return [filtered, nn.BatchNorm2d(CHANNELS), nn.ReLU6(), *_pointwise_and_norm(CHANNELS, bias=False)]
