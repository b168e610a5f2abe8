"""Machine code for a matrix product of one shape: what a pixel-wise correlation is.

A template as it is stored, (depth, outputs), meets a search region, (depth, cells)::

    for run of cells: for block of outputs:
        sums = 0                                                     in registers
        for channel:
            sums[output, cell] += template[channel, output] * search[channel, cell]
        response[output, cell] = sums

Rules:

- Cells go outside: a run of them stays in the nearest cache for all outputs.
- Nothing outside of the operands is read or written: the last run and the last block overlap those before,
  and compute some cells once more, with the same bits.
- Each cell is summed by itself, in the order of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from siamcorr.ops.machine_code import Kernel, Writer, ir, machine_code
from siamcorr.ops.tiles import LANES

__all__ = ["ProductShape", "compiled_product"]

_MOST_VECTORS = 4
_MOST_TOGETHER = 6  # times vectors are the sums in registers; beside them the vectors, and one of an output


@dataclass(frozen=True, slots=True)
class ProductShape:
    """``outputs`` by ``cells``, summed over ``depth`` channels."""

    depth: int
    outputs: int
    cells: int

    @property
    def lanes(self) -> int:
        """Cells of a vector."""
        return min(LANES, 1 << (self.cells.bit_length() - 1))

    @property
    def vectors(self) -> int:
        """Vectors of a run."""
        return min(_MOST_VECTORS, self.cells // self.lanes)

    @property
    def together(self) -> int:
        """Outputs of a block."""
        return min(_MOST_TOGETHER, self.outputs)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.outputs // self.together)

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return -(-self.cells // (self.lanes * self.vectors))

    @property
    def computed(self) -> int:
        """Cells of all outputs that are computed, with those that are computed once more.

        >>> ProductShape(96, 64, 256).computed, ProductShape(96, 60, 256).computed
        (16896, 15360)
        """
        return self.blocks * self.together * self.runs * self.vectors * self.lanes


@lru_cache(maxsize=256)
def compiled_product(shape: ProductShape) -> Kernel:
    """Return a kernel of (template, search, response, first, last): three addresses, from block to block."""
    return machine_code(lambda: _Product(shape))


class _Product(Writer):
    """Writes the product of ``shape``."""

    def __init__(self, shape: ProductShape) -> None:
        super().__init__(5)
        self._shape, at = shape, self.at
        template, search, response, first, last = self.arguments
        bases = self.array(template), self.array(search), self.array(response)
        width, blocks = shape.lanes * shape.vectors, at.sub(last, first)

        def run(number: Any, _: Sequence[Any]) -> Sequence[Any]:
            cell = self._start(number, width, shape.cells)

            def block(number: Any, _: Sequence[Any]) -> Sequence[Any]:
                output = self._start(at.add(first, number), shape.together, shape.outputs)
                corner = at.add(at.mul(output, self.of(shape.cells)), cell)
                self._block(*map(self.moved, bases, (output, cell, corner)))
                return ()

            return self.loop(blocks, block)

        self.loop(self.of(shape.runs), run)
        at.ret_void()

    def _start(self, number: Any, width: int, end: int) -> Any:
        """Return where part ``number`` of so many begins: the last one ends where all do."""
        return self.least(self.at.mul(number, self.of(width)), self.of(end - width))

    def _block(self, template: Any, search: Any, response: Any) -> None:
        at, shape, vector = self.at, self._shape, self.vector(self._shape.lanes)
        offsets = [shape.lanes * number for number in range(shape.vectors)]

        def channel(number: Any, sums: Sequence[Any]) -> Sequence[Any]:
            cells = self.moved(search, at.mul(number, self.of(shape.cells)))
            row = self.moved(template, at.mul(number, self.of(shape.outputs)))
            seen = [self.loaded(self.moved(cells, self.of(offset)), vector) for offset in offsets]
            totals = iter(sums)
            return [
                self.fused(region, weight, next(totals))
                for output in range(shape.together)
                for weight in (self.spread(self.moved(row, self.of(output)), vector),)
                for region in seen
            ]

        zero = ir.Constant(vector, [0.0] * shape.lanes)
        sums = iter(self.loop(self.of(shape.depth), channel, [zero] * (shape.together * shape.vectors)))
        for output in range(shape.together):
            for offset in offsets:
                place = self.moved(response, self.of(output * shape.cells + offset))
                self.stored(next(sums), place)
