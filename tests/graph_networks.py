"""Small networks that can be computed in graphs: their layers fill ONNX Runtime's blocks of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
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
from siamcorr.ops import xcorr_reference
from siamcorr.shapes import Correlation

__all__ = [
    "CHANNELS",
    "DEPTHWISE",
    "OFFSET",
    "SEARCH_PX",
    "TEMPLATE_PX",
    "Head",
    "Index",
    "apart",
    "architecture",
    "crops",
    "hosted",
    "is_in_graphs",
    "maps_of",
    "needs_blocks",
    "responses_of",
]

Index: TypeAlias = tuple[Sequence[int], Sequence[int]]

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


def crops(count: int, size_px: int) -> torch.Tensor:
    """Return crops of noise."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    return torch.from_numpy(pixels)


def maps_of(
    model: Model,
    templates: torch.Tensor,
    search: torch.Tensor,
    pairs: Index,
    on_embedded: Callable[[], object] = lambda: None,
) -> dict[str, torch.Tensor]:
    """Return the maps of pairs of templates and search regions, all as they are cut."""
    made, network = model.templates(templates), network_of(model)
    rows = [preparer.prepare(made[tensor]) for tensor, preparer in network.pairs.takes]
    return network.pairs(rows, search, *pairs, on_embedded)


def responses_of(
    built: Architecture, templates: torch.Tensor, search: torch.Tensor, pairs: Index
) -> torch.Tensor:
    """Return the responses of all branches side by side, by loops in float64."""
    sides = []
    for module, pixels in ((built.template, templates), (built.search, search)):
        tensors = module.double()(pixels.permute(0, 3, 1, 2).double())
        sides.append(dict(zip(built.tensors, tensors, strict=True)))
        module.float()
    template, region = sides
    responses = []
    for branch in built.branches:
        correlation = branch.correlation
        responses.append(
            xcorr_reference(
                template[branch.tensor],
                region[branch.tensor],
                correlation.kind,
                k=correlation.k,
                groups=correlation.groups,
                padding=correlation.padding,
                stride=correlation.stride,
                dilation=correlation.dilation,
                pairs=pairs,
            )
        )
    return torch.cat(responses, dim=1)


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest number."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())
