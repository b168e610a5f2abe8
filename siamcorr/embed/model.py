"""A model as the engine uses it: crops in, named features out; and where there is one, its network's maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from siamcorr.calls import DEFAULT_TENSOR
from siamcorr.embed.network import Network
from siamcorr.embed.transforms import Transform
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Shape

__all__ = ["Embed", "Embedder", "Model", "model_of", "network_of"]

Embed: TypeAlias = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]
"""From crops (N, S, S, 3) uint8 BGR, only read, to features (N, ...) float32 by name, both on the device."""


class Embedder(Protocol):
    """The simplest of models: one feature map, without a network behind it."""

    @property
    def name(self) -> str:
        """The name that it is asked for by."""

    @property
    def crop(self) -> CropSettings:
        """How it wants its crops cut."""

    @property
    def stride(self) -> int:
        """Pixels of the resized crop a feature cell, in rows and in columns."""

    def shape(self, size_px: int) -> tuple[int, int, int]:
        """Return (C, h, w), the shape of the features of a crop of ``size_px`` by ``size_px``."""

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the features (N, C, h, w) float32 of crops (N, S, S, 3) uint8 BGR.

        The crops may be somebody else's memory: they are not to be written to.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What a model's file and its transform come to.

    ``template_shapes`` and ``search_shapes`` are those of one template's and one search region's features:
    a template's tensor slides over the search region's of the same name. ``from_search`` says that templates
    are made from crops that are cut as search regions are. ``template_multiply_adds`` and
    ``search_multiply_adds`` are the work of one's features, where it is counted. ``network`` has the model's
    own maps, or is None.
    """

    name: str
    crop: CropSettings
    stride: int
    template_shapes: Mapping[str, Shape]
    search_shapes: Mapping[str, Shape]
    templates: Embed
    search: Embed
    from_search: bool = False
    template_multiply_adds: int = 0
    search_multiply_adds: int = 0
    network: Network | None = None

    @property
    def template_px(self) -> int:
        """The side of the crops that templates are made from."""
        return self.crop.search_px if self.from_search else self.crop.template_px


def network_of(model: Model) -> Network:
    """Return a model's network.

    Raises:
        InvalidArgument: names ``kind``: it has none.
    """
    if model.network is None:
        expected = "a kind of correlation: the model has features and no maps"
        raise InvalidArgument.found("kind", f"'network' for {model.name}", expected)
    return model.network


def model_of(embedder: Embedder, transform: Transform) -> Model:
    """Return an embedder as a model, with what ``transform`` makes of its templates' features.

    Raises:
        InvalidArgument: names ``model``: its features are not (C, h, w).
    """
    crop = embedder.crop
    shapes = [tuple(embedder.shape(size_px)) for size_px in (crop.template_px, crop.search_px)]
    for shape in shapes:
        if len(shape) != 3:
            raise InvalidArgument.found("model", f"{embedder.name} with features {shape}", "(C, h, w)")
    template, search = ({DEFAULT_TENSOR: shape} for shape in shapes)

    def templates(crops: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {DEFAULT_TENSOR: transform(embedder(crops), shapes[0])}

    return Model(
        name=embedder.name,
        crop=crop,
        stride=embedder.stride,
        template_shapes=template,
        search_shapes=search,
        templates=templates,
        search=lambda crops: {DEFAULT_TENSOR: embedder(crops)},
        from_search=transform.from_search,
    )
