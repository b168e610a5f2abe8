"""Graphs that take a template where they have weights, in the order that ONNX Runtime wants these in.

A correlation is a convolution whose weights come from a template. ONNX Runtime puts a convolution on blocks
only if its weights are constant, and brings these into an order of its own. So a network is exported with a
template that is the numbers of its places. Once it is optimised, its constants tell by themselves in which
order a template has to come, and become inputs.

Numbers are in units so small that nothing is folded into them unseen that would change more than rounding
does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

from siamcorr.embed.architecture import Branch
from siamcorr.embed.exported import BLOCKED
from siamcorr.ops.operands import Form, Problem, view_as_weight

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Numbers", "Order", "Parts", "take_template"]

_Places: TypeAlias = npt.NDArray[np.int64]

_UNIT = 2.0**-30
_FIRST, _END = 1 << 20, 1 << 24  # of the numbers, in units: float32 tells them apart


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A network: ``search`` makes tensors of crops, by ``names``, and ``head`` makes maps of responses."""

    search: nn.Module
    names: Sequence[str]
    problems: Mapping[Branch, Problem]
    head: nn.Module

    def numbers(self) -> list[Numbers]:
        """Return numbers for the template of each of ``problems``.

        Raises:
            OverflowError: there are more than float32 tells apart.
        """
        all_numbers, first = [], _FIRST
        for problem in self.problems.values():
            all_numbers.append(Numbers(first, problem.template))
            first += prod(problem.template)
        if first > _END:
            raise OverflowError(f"templates of {first - _FIRST} places")
        return all_numbers

    def with_templates(self, templates: Sequence[torch.Tensor]) -> nn.Module:
        """Return crops to maps, for a stored template (1, ...) of each of ``problems``."""
        return _WithTemplates(self, templates).eval()


class _WithTemplates(nn.Module):
    def __init__(self, parts: Parts, templates: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.search, self.names, self.head = parts.search, parts.names, parts.head
        each = zip(parts.problems.items(), templates, strict=True)
        self.correlations = nn.ModuleList(
            _WithTemplate(branch, problem, template) for (branch, problem), template in each
        )

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        search = dict(zip(self.names, self.search(crops), strict=True))
        maps: tuple[torch.Tensor, ...] = self.head(*(one(search) for one in self.correlations))
        return maps


class _WithTemplate(nn.Module):
    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, branch: Branch, problem: Problem, template: torch.Tensor) -> None:
        super().__init__()
        self.branch, self.groups = branch, problem.resolved.groups
        weight, bias = view_as_weight(template, problem)[0], None
        if branch.without_ones is not None:
            weight, bias = weight[:, :-1], weight[:, -1, 0, 0]
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, search: Mapping[str, torch.Tensor]) -> torch.Tensor:
        tensor, settings = search[self.branch.without_ones or self.branch.tensor], self.branch.correlation
        geometry = settings.stride, settings.padding, settings.dilation
        return F.conv2d(tensor, self.weight, self.bias, *geometry, self.groups)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a template's places, counted from ``first`` on: a template of this ``shape``."""

    first: int
    shape: tuple[int, ...]

    def template(self) -> torch.Tensor:
        """Return it as it would be stored, (1, ...)."""
        numbers = torch.arange(self.first, self.first + prod(self.shape), dtype=torch.float32)
        return numbers.mul_(_UNIT).view(1, *self.shape)

    def places(self, constants: npt.NDArray[Any]) -> _Places | None:
        """Return which place each of some constants is, from 1 on, or 0 for a zero.

        None if not all of them are such numbers, or none is.
        """
        least, end = self.first * _UNIT, (self.first + prod(self.shape)) * _UNIT
        is_number = (constants >= least) & (constants < end)
        places = np.where(is_number, constants, least).astype(np.float64) / _UNIT - (self.first - 1)
        if not is_number.any() or not (is_number | (constants == 0)).all() or (places % 1).any():
            return None
        return np.where(is_number, places, 0).astype(np.int64)


class Order:
    """The order in which a graph has some of a template's numbers.

    Attributes:
        form: the shape of a template in this order, as the graph takes it, and what tells it from others.
    """

    def __init__(self, places: _Places) -> None:
        """Take which place in the template, from 1 on, each number is; 0 is none."""
        self._places = torch.from_numpy(places).flatten()
        self.form = Form(places.shape, torch.float32, ("in the order of a graph", places.tobytes()))

    def prepare(self, templates: torch.Tensor) -> torch.Tensor:
        """Return stored templates (T, ...) in this order, (T, \\*form.shape)."""
        numbers = F.pad(templates.flatten(1), (1, 0))
        return numbers.index_select(1, self._places).view(-1, *self.form.shape)


def take_template(model: ModelProto, numbers: Numbers) -> list[tuple[str, Order]] | None:
    """Let an optimised graph take a template in place of its numbers.

    Returns the names of these inputs, and what each takes. None, and the graph unchanged, unless it has every
    number once and as it was, and on blocks: outside of them a compiled kernel is faster.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - it is there where ONNX Runtime is used

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    found = {name: numbers.places(numpy_helper.to_array(tensor)) for name, tensor in constants.items()}
    orders = {name: places for name, places in found.items() if places is not None}
    all_places = sorted(place for places in orders.values() for place in places[places != 0].tolist())
    readers = [node for node in graph.node if not orders.keys().isdisjoint(node.input)]
    is_whole = all_places == list(range(1, prod(numbers.shape) + 1))
    if not is_whole or any(node.domain != BLOCKED for node in readers):
        return None
    for name, places in orders.items():
        graph.initializer.remove(constants[name])
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, places.shape))
    return [(name, Order(places)) for name, places in orders.items()]
