"""A model as data: what its file builds, and :mod:`siamcorr.embed.hosted` runs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["Architecture", "Branch"]


@dataclass(frozen=True, slots=True)
class Branch:
    """A correlation of a network: the template's ``tensor`` on the search region's of the same name."""

    tensor: str
    correlation: Correlation


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """A model: how crops are cut, what makes features of them, and what makes maps of features.

    ``template`` and ``search`` take crops (N, 3, S, S) float32, BGR from 0 to 255, and return a tuple with
    a tensor (N, ...) for each of ``tensors``. Each of ``branches`` correlates a tensor of the one with
    that of the other. ``head`` takes their responses (P, O, H', W'), one an argument, and returns a tuple
    with a map (P, C, H, W) for each of ``maps``. A model without a head has features and no maps.

    ``stride`` is in pixels of the resized crop a feature cell. ``transform`` is what is made of a template's
    features unless the model's name says otherwise.

    Weights are loaded, and batch normalisation is folded in. Modules are traced: they decide nothing by what
    the numbers are, nor by how many crops there are.
    """

    name: str
    crop: CropSettings
    stride: int
    tensors: tuple[str, ...]
    template: nn.Module
    search: nn.Module
    branches: tuple[Branch, ...] = ()
    head: nn.Module | None = None
    maps: tuple[str, ...] = ()
    transform: str = "none"
