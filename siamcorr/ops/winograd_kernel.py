"""Machine code for the products of :mod:`siamcorr.ops.winograd`, and their sums over channels and columns.

A row of a template at one point meets the tiles of the search region there. A block of outputs is computed
together, as a vector of the search region would else be loaded for each multiply-add::

    for point: for block of outputs: for part of the tiles:
        for run of channels:
            totals = 0                                        in registers
            for channel of the run: for j:
                totals[output, tile] += template[output, point, channel, j] * search[point, channel, tile, j:]
            sums[output, point, tile] += totals

Rules:

- Points go outside: the search region at one of them stays in cache for all templates.
- Totals are of so few terms that little is rounded off: errors are smaller than those of one long sum.
- Nothing outside of the operands is read or written. Columns are cut by :mod:`siamcorr.ops.tiles`: a vector
  may overlap the one before, and what it computes once more is the same to the bit.
- The order of a cell's sum follows from its place, whichever output it is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from siamcorr.ops.machine_code import Kernel, Writer, ir, machine_code
from siamcorr.ops.tiles import KernelShape, Strip

__all__ = ["MAX_SUMS", "SumsShape", "compiled_sums", "whole_parts"]

MAX_SUMS = 24
"""Vectors of sums in registers; beside them one of the search region, and one for each output."""

_MOST_ROWS = 6
_MOST_TOGETHER = 8
_RUN_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class SumsShape:
    """``points`` of ``depth`` channels, a row of ``w`` template cells over ``tiles`` rows of ``cols``.

    ``tiles`` are as many as :attr:`rows` can divide: see :func:`whole_parts`.
    """

    points: int
    depth: int
    w: int
    tiles: int
    cols: int

    @property
    def rows(self) -> int:
        """Rows whose sums are in registers at once."""
        return self.tiles // -(-self.tiles // _MOST_ROWS)

    @property
    def together(self) -> int:
        """Outputs whose sums are in registers at once: a block."""
        return min(MAX_SUMS // self.rows, _MOST_TOGETHER)

    @property
    def response_cols(self) -> int:
        """Columns of the response."""
        return self.cols - self.w + 1

    @property
    def strips(self) -> tuple[Strip, ...]:
        """The columns of the response, cut into vectors."""
        return KernelShape(self.depth, 1, self.w, 1, self.cols).strips


def whole_parts(tiles: int) -> int:
    """Return how many tiles can be summed in parts of one size, without more parts.

    >>> [whole_parts(tiles) for tiles in (4, 6, 7, 13)]
    [4, 6, 8, 15]
    """
    parts = -(-tiles // _MOST_ROWS)
    return -(-tiles // parts) * parts


@lru_cache(maxsize=256)
def compiled_sums(shape: SumsShape) -> Kernel:
    """Return a kernel of (templates, search, sums, first, last): three addresses, and from block to block.

    At ``templates`` are the addresses of the template of each output, (points, depth, w). The search region
    is (points, depth, tiles, cols), sums are (outputs, points, tiles, response cols).
    """
    return machine_code(lambda: _Sums(shape))


class _Sums(Writer):
    """Writes the sums of ``shape``."""

    def __init__(self, shape: SumsShape) -> None:
        super().__init__(5)
        self._shape, at = shape, self.at
        self._point_cells = shape.tiles * shape.response_cols
        templates, search, sums, first, last = self.arguments
        table, blocks = at.inttoptr(templates, self.int.as_pointer()), at.sub(last, first)
        bases = self.array(search), self.array(sums)

        def point(number: Any, _: Sequence[Any]) -> Sequence[Any]:
            begin = at.mul(number, self.of(shape.depth * shape.w))
            region = self.moved(bases[0], at.mul(number, self.of(shape.depth * shape.tiles * shape.cols)))
            answer = self.moved(bases[1], at.mul(number, self.of(self._point_cells)))

            def block(number: Any, _: Sequence[Any]) -> Sequence[Any]:
                return self._block(at.add(first, number), table, begin, region, answer)

            return self.loop(blocks, block)

        self.loop(self.of(shape.points), point)
        at.ret_void()

    def _block(self, number: Any, table: Any, begin: Any, search: Any, sums: Any) -> Sequence[Any]:
        """Write all tiles of block ``number``, whose templates' cells at the point ``begin`` there."""
        at, shape = self.at, self._shape
        first = at.mul(number, self.of(shape.together))
        entries = [self.moved(table, at.add(first, self.of(output))) for output in range(shape.together)]
        templates = [self.moved(self.array(at.load(entry)), begin) for entry in entries]
        sums = self.moved(sums, at.mul(first, self.of(shape.points * self._point_cells)))
        for strip in shape.strips:
            tiles = self.of(shape.tiles // shape.rows * strip.count)
            self.loop(tiles, partial(self._stored_tile, templates, search, sums, strip))
        return ()

    def _stored_tile(
        self, templates: Sequence[Any], search: Any, sums: Any, strip: Strip, number: Any, _: Sequence[Any]
    ) -> Sequence[Any]:
        at, shape, cols = self.at, self._shape, self._shape.response_cols
        top = at.mul(at.udiv(number, self.of(strip.count)), self.of(shape.rows))
        left = at.mul(at.urem(number, self.of(strip.count)), self.of(strip.lanes))
        left = at.add(left, self.of(strip.first))
        seen = self.moved(search, at.add(at.mul(top, self.of(shape.cols)), left))
        corner = self.moved(sums, at.add(at.mul(top, self.of(cols)), left))
        places = [
            self.moved(corner, self.of(output * shape.points * self._point_cells + row * cols))
            for output in range(shape.together)
            for row in range(shape.rows)
        ]
        if strip.lanes == 1:
            for total, place in zip(self._column(templates, seen), places, strict=True):
                self.stored(total, place)
            return ()
        vector = self.vector(strip.lanes)
        for place in places:
            self.stored(ir.Constant(vector, [0.0] * strip.lanes), place)

        def run(number: Any, _: Sequence[Any]) -> Sequence[Any]:
            first = at.mul(number, self.of(_RUN_CHANNELS))
            count = self.least(at.sub(self.of(shape.depth), first), self.of(_RUN_CHANNELS))
            totals = self._tile(templates, seen, vector, first, count)
            for total, place in zip(totals, places, strict=True):
                self.stored(at.fadd(self.loaded(place, vector), total), place)
            return ()

        return self.loop(self.of(-(-shape.depth // _RUN_CHANNELS)), run)

    def _tile(
        self, templates: Sequence[Any], seen: Any, vector: Any, first: Any, count: Any
    ) -> Sequence[Any]:
        """Return the sums over ``count`` channels, for each output: a vector for each row."""
        shape = self._shape

        def channel(number: Any, sums: Sequence[Any]) -> Sequence[Any]:
            cells, plane = self._channel(templates, seen, self.at.add(first, number))
            for j in range(shape.w):
                column = [self.spread(self.moved(cell, self.of(j)), vector) for cell in cells]
                sums = self._met(self.moved(plane, self.of(j)), column, sums, vector)
            return sums

        sums = shape.together * shape.rows
        return self.loop(count, channel, [ir.Constant(vector, [0.0] * vector.count)] * sums)

    def _column(self, templates: Sequence[Any], seen: Any) -> Sequence[Any]:
        """Return the sums of a tile of one column: a vector goes across the template, and is summed last."""
        shape, vector = self._shape, self.vector(self._shape.w)

        def channel(number: Any, sums: Sequence[Any]) -> Sequence[Any]:
            cells, plane = self._channel(templates, seen, number)
            return self._met(plane, [self.loaded(cell, vector) for cell in cells], sums, vector)

        start = [ir.Constant(vector, [0.0] * shape.w)] * (shape.together * shape.rows)
        return [self.summed(total) for total in self.loop(self.of(shape.depth), channel, start)]

    def _channel(self, templates: Sequence[Any], seen: Any, number: Any) -> tuple[list[Any], Any]:
        """Return where channel ``number`` of each template and of the search region begins."""
        at, shape = self.at, self._shape
        offset = at.mul(number, self.of(shape.w))
        plane = self.moved(seen, at.mul(number, self.of(shape.tiles * shape.cols)))
        return [self.moved(template, offset) for template in templates], plane

    def _met(self, seen: Any, templates: Sequence[Any], sums: Sequence[Any], vector: Any) -> Sequence[Any]:
        """Add what each row of the search region makes with each template."""
        rows = range(self._shape.rows)
        regions = [self.loaded(self.moved(seen, self.of(row * self._shape.cols)), vector) for row in rows]
        meeting = [(region, template) for template in templates for region in regions]
        return [self.fused(*pair, total) for pair, total in zip(meeting, sums, strict=True)]
