"""What every way of computing the operator takes: templates, search regions, and which meets which.

Rules:

- Tensors here are checked and on one device. Each template is contiguous, and each search region.
- Pairs are indices. A template that meets many search regions is held once; a way copies it only if it must.
- Templates, and search regions too, are one tensor, or a list of tensors that lie anywhere: what was prepared
  one by one, or came in one by one, is joined without a copy.
- A way computes from :class:`Operands` alone. What it makes of a template first, and what can be kept, it
  says by a :class:`Form`.
- A way that promises bits takes care of where its operands start in memory. The kernels below look at it, and
  row i of a batch starts elsewhere than the same row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Protocol, TypeAlias

import torch

from siamcorr.shapes import Correlation, Resolved, Shape, resolve

__all__ = [
    "CACHE_LINE_BYTES",
    "Form",
    "Operands",
    "Preparer",
    "Problem",
    "Rows",
    "Way",
    "aligned",
    "any_of",
    "empty_aligned",
    "gathered",
    "is_aligned",
    "used_rows",
    "view_as_weight",
]

CACHE_LINE_BYTES = 64
"""Where operands start: also where torch starts every tensor on a CPU, and the widest vector of any."""

Rows: TypeAlias = torch.Tensor | Sequence[torch.Tensor]
"""Samples (N, ...), or N tensors (...): templates or search regions."""


@dataclass(frozen=True)
class Problem:
    """The operator of one pair, as shapes; see :mod:`siamcorr.shapes` for its letters.

    ``template`` is the shape as stored, ``search`` is (C, H, W). ``dtype`` is that of sums and responses,
    ``device`` the kind of device that it is computed on.
    """

    correlation: Correlation
    template: Shape
    search: Shape
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    @cached_property
    def resolved(self) -> Resolved:
        """The weight, the groups and the response of one pair."""
        return resolve(self.correlation, self.template, self.search)

    @cached_property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of a search region with its padding."""
        (pad_rows, pad_cols), (_, rows, cols) = self.correlation.padding, self.search
        return rows + 2 * pad_rows, cols + 2 * pad_cols

    @cached_property
    def meets_all_cells(self) -> bool:
        """Whether each cell of a search region is multiplied by some cell of the template.

        >>> [Problem(Correlation(dilation=d), (1, 2, 2), (1, 9, 9)).meets_all_cells for d in (4, 5)]
        [True, False]
        """
        correlation, (_, rows, cols) = self.correlation, self.resolved.response
        *_, h, w = self.resolved.weight
        down, right = correlation.dilation
        return correlation.stride == (1, 1) and (h == 1 or rows >= down) and (w == 1 or cols >= right)


@dataclass(frozen=True, slots=True)
class Form:
    """What a template was made into. Of one template, equal forms hold equal numbers.

    ``shape`` and ``dtype`` are those of one prepared template, ``source`` is all else that its numbers depend
    on: the way's own name for it, the view as a weight, the head that is folded in.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    source: tuple[object, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of one prepared template.

        >>> Form((256, 6, 6), torch.bfloat16, ()).size_bytes
        18432
        """
        return prod(self.shape) * self.dtype.itemsize


class Preparer(Protocol):
    """What prepares templates."""

    @property
    def form(self) -> Form | None:
        """What it makes of one; None if it is taken as it is stored."""

    def prepare(self, templates: torch.Tensor) -> torch.Tensor:
        """Return what calls take of stored templates (T, ...): (T, \\*form.shape) if there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Operands:
    """B pairs: template ``template_index[i]`` on search region ``search_index[i]`` is pair i.

    ``templates`` are T, as stored or as the way prepared them, ``search`` are S regions (C, H, W). ``dtype``
    is what the way computes in: stored templates have it already, search regions are converted by the way.
    """

    problem: Problem
    dtype: torch.dtype
    templates: Rows
    search: Rows
    template_index: tuple[int, ...]
    search_index: tuple[int, ...]

    @property
    def pairs(self) -> int:
        """B."""
        return len(self.template_index)

    def part(self, start: int, stop: int) -> Operands:
        """Return pairs ``start`` to ``stop``."""
        return replace(
            self,
            template_index=self.template_index[start:stop],
            search_index=self.search_index[start:stop],
        )


def _as_stored(problem: Problem) -> Form | None:
    return None


def _unprepared(problem: Problem, templates: torch.Tensor) -> torch.Tensor:
    return templates


@dataclass(frozen=True, slots=True)
class Way:
    """How to compute responses (B, O, H', W').

    ``form`` says what ``prepare`` makes of stored templates (T, ...), each of it on its own; None where
    ``compute`` takes them as they are stored. ``dtype`` is that of templates and search regions, None that of
    the responses.
    """

    name: str
    compute: Callable[[Operands], torch.Tensor]
    form: Callable[[Problem], Form | None] = _as_stored
    prepare: Callable[[Problem, torch.Tensor], torch.Tensor] = _unprepared
    dtype: torch.dtype | None = None


def view_as_weight(templates: torch.Tensor, problem: Problem) -> torch.Tensor:
    """View stored templates (T, ...) as weights (T, O, C/g, h, w), without a copy.

    >>> pixelwise = Problem(Correlation("pixelwise"), (96, 8, 8), (96, 16, 16))
    >>> view_as_weight(torch.zeros(3, 96, 8, 8), pixelwise).shape
    torch.Size([3, 64, 96, 1, 1])
    """
    if problem.correlation.kind == "pixelwise":
        return templates.flatten(2).transpose(1, 2)[..., None, None]
    return templates.view(-1, *problem.resolved.weight)


def any_of(rows: Rows) -> torch.Tensor:
    """Return a tensor that has the dtype of all ``rows`` and lies on their device."""
    return rows if isinstance(rows, torch.Tensor) else rows[0]


def gathered(rows: Rows, index: Sequence[int]) -> torch.Tensor:
    """Return the ``rows`` that ``index`` names as one tensor: a view where they lie in order, else a copy."""
    if not isinstance(rows, torch.Tensor):
        return rows[index[0]][None] if len(index) == 1 else torch.stack([rows[at] for at in index])
    first = index[0]
    if list(index) == list(range(first, first + len(index))):
        return rows[first : first + len(index)]
    return rows.index_select(0, torch.tensor(index, device=rows.device))


def used_rows(rows: torch.Tensor, index: tuple[int, ...]) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return the ``rows`` that ``index`` names, each once, and where in these its entries are.

    A view where the rows lie side by side, else a copy.

    >>> used_rows(torch.arange(10) * 10, (7, 5, 7, 6))
    (tensor([50, 60, 70]), (2, 0, 2, 1))
    """
    used = sorted(set(index))
    if len(used) == len(rows):
        return rows, index
    place = {row: at for at, row in enumerate(used)}
    return gathered(rows, used), tuple(place[row] for row in index)


def aligned(samples: torch.Tensor) -> torch.Tensor:
    """Return ``samples`` (N, ...), each one contiguous from a cache line on; copied only if they are not."""
    return samples if is_aligned(samples) else empty_aligned(tuple(samples.shape), samples).copy_(samples)


def is_aligned(samples: torch.Tensor) -> bool:
    """Tell whether each of ``samples`` (N, ...) is contiguous from a cache line on."""
    size_bytes = prod(samples.shape[1:]) * samples.element_size()
    starts = size_bytes % CACHE_LINE_BYTES == samples.data_ptr() % CACHE_LINE_BYTES == 0
    return starts and samples.is_contiguous()


def empty_aligned(
    shape: tuple[int, ...], like: torch.Tensor, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Return new memory for samples (N, ...), each one contiguous from a cache line on."""
    dtype = dtype or like.dtype
    line = CACHE_LINE_BYTES // dtype.itemsize
    size = prod(shape[1:])
    samples = like.new_empty(shape[0], (size + line - 1) // line * line, dtype=dtype)
    return samples.narrow(1, 0, size).view(shape)
