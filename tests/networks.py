"""A whole network small enough for tests, whose answers can be told from its weights."""

from __future__ import annotations

import torch
from torch import nn

from siamcorr.embed import Model, Workers
from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.hosted import host
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["small_network"]


class _Features(nn.Module):
    """Means of 4x4 pixels, as they are and less a constant: (N, 3, s, s) each."""

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        means = nn.functional.avg_pool2d(crops, 4)
        return means, means / 128 - 1


class _Head(nn.Module):
    """Two maps of one response: its channels' sum, and each channel plus one."""

    def forward(self, response: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return response.sum(1, keepdim=True), response + 1


def small_network(threads: int = 1) -> Model:
    """Return a network called ``small``: templates of 8 pixels, search regions of 24."""
    architecture = Architecture(
        name="small",
        crop=CropSettings(template_px=8, search_px=24),
        stride=4,
        tensors=("features", "centred"),
        template=_Features(),
        search=_Features(),
        branches=(Branch("centred", Correlation("depthwise", padding=1)),),
        head=_Head(),
        maps=("sum", "each"),
    )
    return host(architecture, None, torch.device("cpu"), Workers(threads))
