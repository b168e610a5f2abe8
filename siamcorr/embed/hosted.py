"""From an architecture to a model that runs: its modules with a runtime, its correlations set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from siamcorr.calls import DEFAULT_TENSOR
from siamcorr.embed.architecture import Architecture
from siamcorr.embed.model import Model, model_of
from siamcorr.embed.network import Network
from siamcorr.embed.runtime import Selected, runtime_of
from siamcorr.embed.transforms import transform_of
from siamcorr.embed.workers import Workers
from siamcorr.errors import InvalidArgument
from siamcorr.ops import Correlator

__all__ = ["host"]


def host(architecture: Architecture, transform: str | None, device: torch.device, workers: Workers) -> Model:
    """Return the model of an architecture.

    Args:
        architecture: what its file built.
        transform: what is made of a template's features; None is the architecture's own choice. With any but
            ``none`` the model has its features alone: its head was trained on templates as they are.
        device: where crops are and features shall be.
        workers: who runs its layers.

    Raises:
        InvalidArgument: names ``model``: there is no such transform, or nothing that it could be made of.
    """
    chosen = architecture.transform if transform is None else transform
    if chosen != "none" or (architecture.tensors == (DEFAULT_TENSOR,) and architecture.head is None):
        return _features_alone(architecture, chosen, device, workers)
    crop, names = architecture.crop, architecture.tensors
    template = _Side(architecture.template, names, crop.template_px, device, workers)
    search = _Side(architecture.search, names, crop.search_px, device, workers)
    return Model(
        name=architecture.name,
        crop=crop,
        stride=architecture.stride,
        template_shapes=template.shapes,
        search_shapes=search.shapes,
        templates=template,
        search=search,
        template_multiply_adds=template.multiply_adds,
        search_multiply_adds=search.multiply_adds,
        network=_network(architecture, template, search, device, workers),
    )


def _features_alone(
    architecture: Architecture, transform: str, device: torch.device, workers: Workers
) -> Model:
    features = _Features(architecture, device, workers)
    model = model_of(features, transform_of(transform))
    template, search = (features.multiply_adds(size) for size in (model.template_px, model.crop.search_px))
    return replace(model, template_multiply_adds=template, search_multiply_adds=search)


def _network(
    architecture: Architecture, template: _Side, search: _Side, device: torch.device, workers: Workers
) -> Network | None:
    if architecture.head is None:
        return None
    correlators = {
        branch: Correlator(
            branch.correlation,
            template.shapes[branch.tensor],
            search.shapes[branch.tensor],
            device=device,
        )
        for branch in architecture.branches
    }
    examples = [torch.zeros(1, *one.response_shape, device=device) for one in correlators.values()]
    head = runtime_of(architecture.head.to(device), examples, workers)
    return Network(
        correlators,
        head,
        architecture.maps,
        search=search.runtime,
        features=architecture.tensors,
        workers=workers,
    )


class _Side:
    """Crops to features by name: of templates, or of search regions."""

    def __init__(
        self, module: nn.Module, names: Sequence[str], size_px: int, device: torch.device, workers: Workers
    ) -> None:
        crop = torch.zeros(1, size_px, size_px, 3, dtype=torch.uint8, device=device)
        self.runtime = runtime_of(_FromPixels(module).to(device), [crop], workers)
        self.shapes = dict(zip(names, self.runtime.shapes, strict=True))
        self.multiply_adds = self.runtime.multiply_adds

    def __call__(self, crops: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return dict(zip(self.shapes, self.runtime(crops), strict=True))


class _Features:
    """An architecture's own features as an embedder."""

    def __init__(self, architecture: Architecture, device: torch.device, workers: Workers) -> None:
        if DEFAULT_TENSOR not in architecture.tensors:
            found = f"a template transform for {architecture.name}"
            raise InvalidArgument.found("model", found, "a model whose templates are features")
        self.name, self.crop, self.stride = architecture.name, architecture.crop, architecture.stride
        index = architecture.tensors.index(DEFAULT_TENSOR)
        sides = {self.crop.template_px: architecture.template, self.crop.search_px: architecture.search}
        self._sides = {
            size_px: _Side(Selected(module, [index]), [DEFAULT_TENSOR], size_px, device, workers)
            for size_px, module in sides.items()
        }

    def shape(self, size_px: int) -> tuple[int, int, int]:
        channels, rows, cols = self._sides[size_px].shapes[DEFAULT_TENSOR]
        return channels, rows, cols

    def multiply_adds(self, size_px: int) -> int:
        return self._sides[size_px].multiply_adds

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        return self._sides[crops.shape[1]](crops)[DEFAULT_TENSOR]


class _FromPixels(nn.Module):
    """Crops as they are cut, (N, S, S, 3) uint8, for a module that takes (N, 3, S, S) float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: tuple[torch.Tensor, ...] = self.module(crops.permute(0, 3, 1, 2).float())
        return outputs
