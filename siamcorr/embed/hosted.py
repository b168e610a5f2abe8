"""From an architecture to a model that runs: its modules with a runtime, its correlations set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import nn

from siamcorr.calls import DEFAULT_TENSOR
from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.model import Model, model_of
from siamcorr.embed.network import Network, Pairs, Stages
from siamcorr.embed.numbered import Parts
from siamcorr.embed.onnx_session import is_available
from siamcorr.embed.pair_graphs import PairGraphs, pair_graphs
from siamcorr.embed.runtime import Runtime, Selected, measured, runtime_of
from siamcorr.embed.transforms import transform_of
from siamcorr.embed.workers import Workers
from siamcorr.errors import InvalidArgument
from siamcorr.ops import Correlator
from siamcorr.ops.operands import Problem
from siamcorr.ops.planner import forced_plan
from siamcorr.shapes import Shape

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
    hosting = _Hosting(architecture, device, workers)
    template = hosting.side(architecture.template, architecture.crop.template_px)
    search = hosting.side(architecture.search, architecture.crop.search_px)
    return Model(
        name=architecture.name,
        crop=architecture.crop,
        stride=architecture.stride,
        template_shapes=template.shapes,
        search_shapes=search.shapes,
        templates=template,
        search=search,
        template_multiply_adds=template.multiply_adds,
        search_multiply_adds=search.multiply_adds,
        network=None if architecture.head is None else hosting.network(architecture.head, template, search),
    )


def _features_alone(
    architecture: Architecture, transform: str, device: torch.device, workers: Workers
) -> Model:
    features = _Features(architecture, device, workers)
    model = model_of(features, transform_of(transform))
    template, search = (features.multiply_adds(size) for size in (model.template_px, model.crop.search_px))
    return replace(model, template_multiply_adds=template, search_multiply_adds=search)


@dataclass(frozen=True, slots=True)
class _Hosting:
    """A network on its way to ``device``, where ``workers`` shall run it."""

    architecture: Architecture
    device: torch.device
    workers: Workers

    def side(self, module: nn.Module, size_px: int) -> _Side:
        return _Side(module, self.architecture.tensors, size_px, self.device, self.workers)

    def network(self, head: nn.Module, template: _Side, search: _Side) -> Network:
        problems = {
            branch: Problem(
                branch.correlation,
                template.shapes[branch.tensor],
                search.shapes[branch.tensor],
                device=self.device.type,
            )
            for branch in self.architecture.branches
        }
        resolved = [problem.resolved for problem in problems.values()]
        responses = [torch.zeros(1, *one.response, device=self.device) for one in resolved]
        known = measured(head.to(self.device).eval(), responses)
        maps = dict(zip(self.architecture.maps, known.shapes, strict=True))
        pairs: Pairs | None = self._graphs(head, problems, maps, template)
        if pairs is None:
            pairs = self._stages(runtime_of(head, responses, self.workers), problems, search)
        correlations = sum(prod(one.response[1:]) * prod(one.weight) for one in resolved)
        return Network(
            maps=maps,
            pair_multiply_adds=known.multiply_adds + correlations,
            pair_bytes=sum(response.nbytes for response in responses) + 4 * sum(map(prod, known.shapes)),
            pairs=pairs,
        )

    def _graphs(
        self, head: nn.Module, problems: Mapping[Branch, Problem], maps: Mapping[str, Shape], template: _Side
    ) -> PairGraphs | None:
        """Return what makes maps with ONNX Runtime alone; None where that is not asked for, or cannot be."""
        architecture, is_on_cpu = self.architecture, self.device.type == "cpu"
        if not (architecture.in_graphs and is_on_cpu and is_available() and forced_plan() == "auto"):
            return None
        parts = Parts(_FromPixels(architecture.search), architecture.tensors, problems, head)
        z, x = (_noise(size) for size in (architecture.crop.template_px, architecture.crop.search_px))
        return pair_graphs(parts, x, template(z), maps, self.workers)

    def _stages(self, head: Runtime, problems: Mapping[Branch, Problem], search: _Side) -> Stages:
        correlators = {
            branch: Correlator(branch.correlation, problem.template, problem.search, device=self.device)
            for branch, problem in problems.items()
        }
        return Stages(
            correlators,
            head,
            self.architecture.maps,
            search=search.runtime,
            features=self.architecture.tensors,
            workers=self.workers,
        )


def _noise(size_px: int) -> torch.Tensor:
    """Return a crop (1, size_px, size_px, 3) to try a network on: always the same."""
    pixels = torch.randint(256, (1, size_px, size_px, 3), generator=torch.Generator().manual_seed(0))
    return pixels.to(torch.uint8)


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
