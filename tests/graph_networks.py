"""Small networks that can be computed in graphs: their layers fill ONNX Runtime's blocks of channels."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from siamcorr.embed import Model, Workers, network_of
from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.exported import BLOCKED
from siamcorr.embed.hosted import host
from siamcorr.embed.onnx_session import export, optimise
from siamcorr.embed.pair_graphs import PairGraphs
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = [
    "CHANNELS",
    "DEPTHWISE",
    "OFFSET",
    "SEARCH_PX",
    "TEMPLATE_PX",
    "Head",
    "architecture",
    "hosted",
    "is_in_graphs",
    "needs_blocks",
]

CHANNELS, TEMPLATE_PX, SEARCH_PX = 32, 15, 31
DEPTHWISE = Branch("features", Correlation("depthwise"))
OFFSET = Branch("with_ones", Correlation("pixelwise"), without_ones="features")


class _Side(nn.Module):
    """Crops to features of half the size, and the same with a channel of ones behind."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.layer(crops / 256 - 0.5)
        return features, torch.cat([features, torch.ones_like(features[:, :1])], dim=1)


class Head(nn.Module):
    """Two maps: the first response's channels added up, and all responses side by side."""

    def forward(self, *responses: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return responses[0].sum(1, keepdim=True), torch.cat(responses, dim=1)


def architecture(*branches: Branch, head: nn.Module | None = None, outputs: int = CHANNELS) -> Architecture:
    """Return a network with random weights; its templates have so many ``outputs``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [nn.Conv2d(3, channels, 3, 2, 1) for channels in (outputs, CHANNELS)]
    template, search = (_Side(layer).requires_grad_(False) for layer in layers)
    return Architecture(
        name="small",
        crop=CropSettings(template_px=TEMPLATE_PX, search_px=SEARCH_PX),
        stride=2,
        tensors=("features", "with_ones"),
        template=template,
        search=search,
        branches=branches,
        head=head or Head(),
        maps=("sum", "all"),
        in_graphs=True,
    )


def hosted(*branches: Branch, head: nn.Module | None = None) -> Model:
    """Return such a network, ready to run on two threads."""
    return host(architecture(*branches, head=head), None, torch.device("cpu"), Workers(2))


def is_in_graphs(model: Model) -> bool:
    """Return whether graphs make its maps."""
    return isinstance(network_of(model).pairs, PairGraphs)


def needs_blocks() -> None:
    """Skip a test where ONNX Runtime puts no convolution on blocks of channels."""
    if not _has_blocks():
        pytest.skip("no blocks of channels on this processor")


@cache
def _has_blocks() -> bool:
    layer = nn.Conv2d(CHANNELS, CHANNELS, 1).requires_grad_(False)
    graph = optimise(export(layer, [torch.zeros(1, CHANNELS, 8, 8)])).graph
    return any((node.op_type, node.domain) == ("Conv", BLOCKED) for node in graph.node)
