"""NanoTrack v3, whole: its backbone, its two correlations and its heads.

HonglinChu/SiamTrackers has the network and its weights. A template of 127 pixels, (96, 8, 8), meets a search
region of 255 pixels, (96, 16, 16), pixel by pixel and, its middle (96, 4, 4), channel by channel, once for
the score and once for the box. The maps are ``cls``, (2, 15, 15), background and target before their softmax,
and ``loc``, (4, 15, 15): distances to the left, top, right and bottom side in pixels of the crop.

What is linear is folded, in float64: answers differ from the published graph's below 1e-5.

- Each pixel-wise correlation has a 1x1 convolution on either side. With W, b that of the search region x and
  z that of the template, already applied: z.(Wx + b) = (W'z).x + b.z. So both go into the template, and x
  gets a channel of ones for the last term. Score and box then share one correlation, and so do they with the
  channel-wise one: their templates are laid side by side.
- The 1x1 convolution behind the pixel-wise correlation goes into the next one.

Way rejected: the last two convolutions of each head in one. Its rounded bias moves all answers one way, by
1e-6 pixels a frame, and a tracker adds them up: where a crop begins is rounded, and tips over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.folding import chained, fold_batch_norm, pointwise
from siamcorr.embed.mobilenet_v3 import CHANNELS, layers
from siamcorr.embed.weights import StateDict, load
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["build"]

_CELLS = 64  # of a template, 8x8
_MIDDLE = slice(2, 6)
_TOWER_BLOCKS = 6
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
            Branch("pixelwise", Correlation("pixelwise")),
            Branch("depthwise", Correlation("depthwise", padding=1)),
        ),
        head=maps,
        maps=("cls", "loc"),
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
        with_ones = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
        return features, with_ones, self.depthwise(features)


class _Head(nn.Module):
    """Responses (P, 128, 16, 16) and (P, 192, 15, 15) -> ``cls`` (P, 2, 15, 15), ``loc`` (P, 4, 15, 15)."""

    def __init__(self, head: nn.ModuleDict) -> None:
        super().__init__()
        self.score, self.box = _Tower(head, "cls", "cls"), _Tower(head, "reg", "bbox")

    def forward(self, pixelwise: torch.Tensor, depthwise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        score = self.score(pixelwise[:, :_CELLS], depthwise[:, :CHANNELS])
        return score, self.box(pixelwise[:, _CELLS:], depthwise[:, CHANNELS:]).exp()


class _Tower(nn.Module):
    """From the two responses of one head to its map."""

    def __init__(self, head: nn.ModuleDict, name: str, tower: str) -> None:
        super().__init__()
        fc1, fc2 = (_convolution(head, f"corr_pw_{name}.CA_layer.{layer}") for layer in ("fc1", "fc2"))
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), fc1, nn.ReLU(), fc2, nn.Sigmoid())
        self.smaller = nn.Sequential(_convolution(head, f"corr_pw_{name}.conv.0"), nn.ReLU6())
        joined, bias = _weights(_convolution(head, f"down_{name}.0"))
        mixed = chained(_convolution(head, f"corr_pw_{name}.conv.3"), pointwise(joined[:, :_CELLS], bias))
        weight, bias = _weights(mixed)
        self.joined = pointwise(torch.cat([weight, joined[:, _CELLS:]], dim=1), bias)
        self.blocks = nn.Sequential(
            *cast(nn.Sequential, head[f"{tower}_tower"]), _convolution(head, f"{_LAST[name]}.0")
        )

    def forward(self, pixelwise: torch.Tensor, depthwise: torch.Tensor) -> torch.Tensor:
        attended = self.smaller(pixelwise * self.attention(pixelwise))
        response: torch.Tensor = self.blocks(self.joined(torch.cat([attended, depthwise], dim=1)))
        return response


_LAST = {"cls": "cls_logits", "reg": "bbox_pred"}


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
    for name, tower, outputs in (("cls", "cls_tower", 2), ("reg", "bbox_tower", 4)):
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
        head[_LAST[name]] = nn.Sequential(nn.Conv2d(CHANNELS, outputs, 1))
    return nn.ModuleDict(head)


def _pointwise_and_norm(channels: int, *, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1, bias=bias), nn.BatchNorm2d(channels))


def _separable() -> list[nn.Module]:
    filtered = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False)
    return [filtered, nn.BatchNorm2d(CHANNELS), nn.ReLU6(), *_pointwise_and_norm(CHANNELS, bias=False)]
