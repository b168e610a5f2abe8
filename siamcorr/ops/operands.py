"""What every way of computing the operator takes: weights, search regions, and which meets which.

Rules:

- Tensors here are checked, contiguous or a plain view, of one dtype (float32 or float64) and on one device.
- Pairs are indices. A template that meets many search regions is held once; a way copies it only if it must.
- A way is a function ``Operands -> (B, O, H', W')``. It may not look at anything else.
- A way that promises bits takes care of where its operands start in memory. The kernels below look at it, and
  row i of a batch starts elsewhere than the same row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch

from siamcorr.shapes import Correlation, Resolved

__all__ = ["CACHE_LINE_BYTES", "Operands", "Way", "used_rows", "view_as_weight"]

CACHE_LINE_BYTES = 64
"""Where operands start: also where torch starts every tensor on a CPU, and the widest vector of any."""


@dataclass(frozen=True, slots=True, eq=False)
class Operands:
    """B pairs of the one operator; see :mod:`siamcorr.shapes` for its letters.

    ``weight`` is (T, O, C/g, h, w) and ``search`` is (S, C, H, W). Pair i is weight ``template_index[i]`` on
    search region ``search_index[i]``.
    """

    weight: torch.Tensor
    search: torch.Tensor
    template_index: tuple[int, ...]
    search_index: tuple[int, ...]
    correlation: Correlation
    resolved: Resolved

    @property
    def pairs(self) -> int:
        """B."""
        return len(self.template_index)

    def part(self, start: int, stop: int) -> Operands:
        """Return pairs ``start`` to ``stop``, with no more weights and search regions than they use."""
        weight, template_index = used_rows(self.weight, self.template_index[start:stop])
        search, search_index = used_rows(self.search, self.search_index[start:stop])
        return replace(
            self, weight=weight, search=search, template_index=template_index, search_index=search_index
        )

    def gathered(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights (B, O, C/g, h, w) and search regions (B, C, H, W), row i of both being pair i."""
        return _gather(self.weight, self.template_index), _gather(self.search, self.search_index)


Way: TypeAlias = Callable[[Operands], torch.Tensor]


def used_rows(rows: torch.Tensor, index: tuple[int, ...]) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return the ``rows`` that ``index`` names, each once, and where in these its entries are.

    A view where the rows lie side by side, else a copy.

    >>> used_rows(torch.arange(10) * 10, (7, 5, 7, 6))
    (tensor([50, 60, 70]), (2, 0, 2, 1))
    """
    used = sorted(set(index))
    place = {row: at for at, row in enumerate(used)}
    return _gather(rows, used), tuple(place[row] for row in index)


def view_as_weight(template: torch.Tensor, correlation: Correlation, resolved: Resolved) -> torch.Tensor:
    """View stored templates (T, ...) as weights (T, O, C/g, h, w), without a copy.

    >>> from siamcorr.shapes import resolve
    >>> pixelwise = Correlation("pixelwise")
    >>> operator = resolve(pixelwise, (96, 8, 8), (96, 16, 16))
    >>> view_as_weight(torch.zeros(3, 96, 8, 8), pixelwise, operator).shape
    torch.Size([3, 64, 96, 1, 1])
    """
    if correlation.kind == "pixelwise":
        return template.flatten(2).transpose(1, 2)[..., None, None]
    return template.view(-1, *resolved.weight)


def _gather(rows: torch.Tensor, index: Sequence[int]) -> torch.Tensor:
    first = index[0]
    if list(index) == list(range(first, first + len(index))):
        return rows[first : first + len(index)]
    return rows.index_select(0, torch.tensor(index, device=rows.device))
