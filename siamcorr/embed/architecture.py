"""A model as data: what its file builds, and :mod:`siamcorr.embed.hosted` runs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["Architecture", "Branch"]


@dataclass(frozen=True, slots=True)
class Branch:
    """A correlation of a network: the template's ``tensor`` on the search region's of the same name.

    If the last channel of a pixel-wise correlation's search region is all ones, so that the template's last
    channel acts as an offset, ``without_ones`` names the tensor that has the other channels alone.
    """

    tensor: str
    correlation: Correlation
    without_ones: str | None = None

    def __post_init__(self) -> None:
        """Refuse an offset where it would not be one.

        Raises:
            ValueError: the correlation is not pixel-wise.
        """
        if self.without_ones is not None and self.correlation.kind != "pixelwise":
            raise ValueError(f"without_ones: {self.correlation.kind}, expected pixelwise")


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """A model: how crops are cut, what makes features of them, and what makes maps of features.

    ``template`` and ``search`` take crops (N, 3, S, S) float32, BGR from 0 to 255, and return a tuple with
    a tensor (N, ...) for each of ``tensors``. Each of ``branches`` correlates a tensor of the one with
    that of the other. ``head`` takes their responses (P, O, H', W'), one an argument, and returns a tuple
    with a map (P, C, H, W) for each of ``maps``. A model without a head has features and no maps.

    ``stride`` is in pixels of the resized crop a feature cell. ``transform`` is what is made of a template's
    features unless the model's name says otherwise.

    ``in_graphs`` says whether pairs are computed by graphs of the whole network where that can be, see
    :mod:`siamcorr.embed.pair_graphs`. The smaller a network, the more that is worth. The graphs hold two more
    copies of its weights.

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
    in_graphs: bool = False

    def __post_init__(self) -> None:
        """Refuse branches that cannot be.

        Raises:
            ValueError: two are the same, or one has a tensor that there is not.
        """
        if len(set(self.branches)) < len(self.branches):
            raise ValueError("branches: found two that are the same, expected others")
        for branch in self.branches:
            for field, name in (("tensor", branch.tensor), ("without_ones", branch.without_ones)):
                if name is not None and name not in self.tensors:
                    expected = f"one of {', '.join(self.tensors)}"
                    raise ValueError(f"branches.{field}: found {name!r}, expected {expected}")
