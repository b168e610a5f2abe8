"""Machine code for a transform: a small matrix over rows of planes, a vector of columns at a time.

Rows are taken in tiles, which may overlap::

    target[sample, plane, tile, output]  =  matrix[output, input]  times  source[sample, plane, tile, input]

Both are memory of any layout, told by :class:`Steps`. Nothing outside of it is read or written: the last
vector of columns overlaps the one before. Each cell is summed by itself, in the order of the inputs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

from siamcorr.ops.machine_code import Kernel, Writer, ir, machine_code
from siamcorr.ops.tiles import LANES

__all__ = ["Matrix", "Steps", "TransformShape", "compiled_transform"]

Matrix: TypeAlias = tuple[tuple[float, ...], ...]
_Places: TypeAlias = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Steps:
    """Cells from one sample, plane, row and tile to the next. From ``end`` on a plane has no more of them."""

    sample: int
    plane: int
    row: int
    tile: int = 0
    end: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class TransformShape:
    """``matrix``, outputs by inputs, over ``tiles``. Rows beyond a source are 0, beyond a target left out."""

    matrix: Matrix
    planes: int
    tiles: int
    cols: int
    source: Steps
    target: Steps


@lru_cache(maxsize=256)
def compiled_transform(shape: TransformShape) -> Kernel:
    """Return a kernel of (source, target, samples): two addresses and a count."""
    return machine_code(lambda: _Transform(shape))


class _Transform(Writer):
    """Writes the transform of ``shape``."""

    def __init__(self, shape: TransformShape) -> None:
        super().__init__(3)
        self._shape = shape
        source, target, samples = self.arguments
        bases = self.array(source), self.array(target)
        self.loop(samples, partial(self._sample, bases))
        self.at.ret_void()

    def _sample(self, bases: _Places, number: Any, _: Sequence[Any]) -> Sequence[Any]:
        shape = self._shape
        places = self._both(bases, number, (shape.source.sample, shape.target.sample))
        return self.loop(self.of(shape.planes), partial(self._plane, places))

    def _plane(self, bases: _Places, number: Any, _: Sequence[Any]) -> Sequence[Any]:
        shape = self._shape
        places = self._both(bases, number, (shape.source.plane, shape.target.plane))
        return self.loop(self.of(-(-shape.cols // LANES)), partial(self._strip, places))

    def _strip(self, bases: _Places, number: Any, _: Sequence[Any]) -> Sequence[Any]:
        at, shape = self.at, self._shape
        lanes = min(LANES, shape.cols)
        left = self.least(at.mul(number, self.of(lanes)), self.of(shape.cols - lanes))
        source, target = self._both(bases, left, (1, 1))
        for tile in range(shape.tiles):
            self._tile(source, target, tile, self.vector(lanes))
        return ()

    def _tile(self, source: Any, target: Any, tile: int, vector: Any) -> None:
        shape = self._shape
        inputs = []
        for row in range(len(shape.matrix[0])):
            start = tile * shape.source.tile + row * shape.source.row
            if start < shape.source.end:
                inputs.append(self.loaded(self.moved(source, self.of(start)), vector))
        for row, weights in enumerate(shape.matrix):
            start = tile * shape.target.tile + row * shape.target.row
            if start < shape.target.end:
                total = ir.Constant(vector, [0.0] * vector.count)
                for weight, value in zip(weights, inputs, strict=False):  # the last inputs may be lacking
                    if weight:
                        total = self.fused(ir.Constant(vector, [weight] * vector.count), value, total)
                self.stored(total, self.moved(target, self.of(start)))

    def _both(self, bases: _Places, number: Any, steps: tuple[int, int]) -> _Places:
        source, target = (
            self.moved(base, self.at.mul(number, self.of(step)))
            for base, step in zip(bases, steps, strict=True)
        )
        return source, target
