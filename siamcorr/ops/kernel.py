"""Machine code for one shape of direct correlation, compiled when it is first needed, by LLVM.

A library's kernel has to take any size. Here sizes are constants, and a tile of the response, some rows of
one vector of columns, stays in registers while all channels and template cells go by::

    for tile of the response:
        sums = 0
        for channel:
            for j, for row of the search region under the tile:      unrolled
                seen = search[channel, row, tile + j]                loaded once
                sums[row - i] += template[channel, i, j] * seen      for each i

Rules:

- Nothing outside of the operands is read or written: tiles at the lower edge overlap their neighbours, and
  compute some cells once more. What is left of the columns goes into a narrower vector; or, if they are few,
  each is a vector across the template's columns, which is summed at the end.
- The order of a cell's sum follows from its place, whichever output and pair it is of. So its bits depend on
  the pair alone.
- A bfloat16 is widened as it is loaded, which is exact.

The columns of the template go outside, so that only one of them is in registers beside the sums: with its
rows outside, all cells wanted to be, and it was a third slower. On a machine with AVX-512 the kernel is 2 to
3.5 times as fast as oneDNN's for single channels, and twice as fast as a matrix product for many.

What is compiled is counted for the thread that does it, and so waits for it.

Rejected: numba, which vectorises such a loop only if it can prove what we know, and compiles for seconds; C,
because users have no compiler.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial, reduce
from typing import Any, NamedTuple, TypeAlias

from siamcorr.ops.tiles import KernelShape, Strip

try:
    import llvmlite.binding as llvm  # type: ignore[import-untyped, unused-ignore]
    from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
except ImportError:
    llvm = ir = None

__all__ = ["Compilations", "Kernel", "compilations", "compiled", "is_available"]

Kernel: TypeAlias = Callable[[int, int, int, int, int, int], None]
"""(template, search, response, first, last, outputs): addresses of output 0 and its channels; from which
output up to which to compute; and how many outputs after each other meet the same channels."""

_here = threading.local()


class Compilations(NamedTuple):
    """How many kernels were compiled, and the seconds that it took."""

    kernels: int = 0
    seconds: float = 0.0


def compilations() -> Compilations:
    """Return what this thread has compiled, all its life."""
    found: Compilations = getattr(_here, "compilations", Compilations())
    return found


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Tell whether there is a compiler, its code may run, and multiply and add at once."""
    if llvm is None or not llvm.get_host_cpu_features().get(
        "fma", True
    ):  # other machines than x86 always can
        return False
    try:
        compiled(KernelShape(1, 1, 1, 1, 8))
    except (RuntimeError, OSError):
        return False
    return True


@lru_cache(maxsize=256)
def compiled(shape: KernelShape) -> Kernel:
    """Return the kernel of one shape, compiled the first time: some tenths of a second."""
    began_s = time.perf_counter()
    kernel = _machine_code(shape)
    kernels, seconds = compilations()
    _here.compilations = Compilations(kernels + 1, seconds + time.perf_counter() - began_s)
    return kernel


def _machine_code(shape: KernelShape) -> Kernel:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    wide = ",-prefer-256-bit" if features.get("avx512f") else ""  # only x86 knows the word
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(llvm.get_host_cpu_name(), features.flatten() + wide, opt=2)
    module = llvm.parse_assembly(str(_Builder(shape).module))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)
    kernel = prototype(engine.get_function_address(_NAME))
    kernel.engine = engine  # type: ignore[attr-defined] # the code lives as long as this
    return kernel


_NAME = "correlate"


class _Builder:
    """Writes the kernel of ``shape`` in LLVM's language."""

    def __init__(self, shape: KernelShape) -> None:
        self._shape = shape
        self._int, self._float = ir.IntType(64), ir.FloatType()
        self.module = ir.Module(_NAME)
        kind = ir.FunctionType(ir.VoidType(), [self._int] * 6)
        self._function = ir.Function(self.module, kind, _NAME)
        self._at = ir.IRBuilder(self._function.append_basic_block())
        self._multiply_add: dict[int, Any] = {}
        self._write()

    def _write(self) -> None:
        at, shape = self._at, self._shape
        *addresses, first, last, outputs = self._function.args
        search = ir.IntType(16) if shape.is_bfloat16 else self._float
        bases = [
            at.inttoptr(address, kind.as_pointer())
            for address, kind in zip(addresses, (self._float, search, self._float), strict=True)
        ]
        rows, cols = shape.response
        sizes = shape.depth * shape.h * shape.w, shape.depth * shape.rows * shape.cols, rows * cols

        def output(number: Any, _: Sequence[Any]) -> Sequence[Any]:
            index = at.add(first, number)
            group = at.udiv(index, outputs)
            starts = map(at.mul, (index, group, index), map(self._of, sizes))
            self._output(*map(self._moved, bases, starts))
            return ()

        self._loop(at.sub(last, first), output)
        at.ret_void()

    def _output(self, template: Any, search: Any, response: Any) -> None:
        """Write all tiles of one output, for each strip of columns in a loop of its own."""
        shape = self._shape
        for strip in shape.strips:
            tile = partial(self._stored_tile, (template, search, response), strip)
            self._loop(self._of(-(-shape.response[0] // shape.tile_rows) * strip.count), tile)

    def _stored_tile(
        self, operands: tuple[Any, Any, Any], strip: Strip, number: Any, _: Sequence[Any]
    ) -> Sequence[Any]:
        at, shape = self._at, self._shape
        template, search, response = operands
        rows, cols = shape.response
        top = at.mul(at.udiv(number, self._of(strip.count)), self._of(shape.tile_rows))
        lowest = self._of(rows - shape.tile_rows)
        top = at.select(at.icmp_unsigned("<", top, lowest), top, lowest)
        left = at.add(
            at.mul(at.urem(number, self._of(strip.count)), self._of(strip.lanes)), self._of(strip.first)
        )
        seen = self._moved(search, at.add(at.mul(top, self._of(shape.cols)), left))
        corner = self._moved(response, at.add(at.mul(top, self._of(cols)), left))
        if strip.lanes == 1 and shape.dilation[1] == 1:
            sums = self._column(template, seen)
        else:
            sums = self._tile(template, seen, strip.lanes)
        for row, total in enumerate(sums):
            place = at.bitcast(self._moved(corner, self._of(row * cols)), total.type.as_pointer())
            at.store(total, place, align=4)
        return ()

    def _tile(self, template: Any, seen: Any, lanes: int) -> Sequence[Any]:
        """Return the sums of one tile: a vector for each row."""
        at, shape = self._at, self._shape
        vector = ir.VectorType(self._float, lanes)

        def channel(number: Any, sums: Sequence[Any]) -> Sequence[Any]:
            cells = self._moved(template, at.mul(number, self._of(shape.h * shape.w)))
            plane = self._moved(seen, at.mul(number, self._of(shape.rows * shape.cols)))
            return self._channel(cells, plane, list(sums), vector)

        return self._loop(
            self._of(shape.depth), channel, [ir.Constant(vector, [0.0] * lanes)] * shape.tile_rows
        )

    def _column(self, template: Any, seen: Any) -> Sequence[Any]:
        """Return the sums of a tile of one column: a vector goes across the template, and is summed last."""
        at, shape = self._at, self._shape
        vector = ir.VectorType(self._float, shape.w)

        def channel(number: Any, sums: Sequence[Any]) -> Sequence[Any]:
            cells = self._moved(template, at.mul(number, self._of(shape.h * shape.w)))
            plane = self._moved(seen, at.mul(number, self._of(shape.rows * shape.cols)))
            places = [self._moved(cells, self._of(i * shape.w)) for i in range(shape.h)]
            rows = [at.load(at.bitcast(place, vector.as_pointer()), align=4) for place in places]
            return self._met(plane, rows, list(sums), vector)

        start = [ir.Constant(vector, [0.0] * shape.w)] * shape.tile_rows
        return [self._summed(total) for total in self._loop(self._of(shape.depth), channel, start)]

    def _summed(self, vector: Any) -> Any:
        lanes = [
            self._at.extract_element(vector, ir.Constant(ir.IntType(32), lane))
            for lane in range(vector.type.count)
        ]
        return reduce(self._at.fadd, lanes)

    def _channel(self, cells: Any, plane: Any, sums: list[Any], vector: Any) -> Sequence[Any]:
        shape = self._shape
        for j in range(shape.w):
            column = [self._spread(cells, i * shape.w + j, vector) for i in range(shape.h)]
            seen = self._moved(plane, self._of(shape.dilation[1] * j))
            sums = self._met(seen, column, sums, vector)
        return sums

    def _met(self, seen: Any, template: Sequence[Any], sums: list[Any], vector: Any) -> list[Any]:
        """Add what each row of the search region under the tile makes with each row of ``template``."""
        shape, down = self._shape, self._shape.dilation[0]
        for row in range(shape.tile_rows + down * (shape.h - 1)):
            meeting = [i for i in range(shape.h) if 0 <= row - down * i < shape.tile_rows]
            if meeting:
                region = self._loaded(seen, row * shape.cols, vector)
            for i in meeting:
                total = row - down * i
                sums[total] = self._at.call(self._fused(vector), [region, template[i], sums[total]])
        return sums

    def _loaded(self, plane: Any, offset: int, vector: Any) -> Any:
        at, place = self._at, self._moved(plane, self._of(offset))
        if not self._shape.is_bfloat16:
            return at.load(at.bitcast(place, vector.as_pointer()), align=4)
        halves = ir.VectorType(ir.IntType(16), vector.count)
        words = ir.VectorType(ir.IntType(32), vector.count)
        raw = at.load(at.bitcast(place, halves.as_pointer()), align=2)
        return at.bitcast(at.shl(at.zext(raw, words), ir.Constant(words, [16] * vector.count)), vector)

    def _spread(self, cells: Any, offset: int, vector: Any) -> Any:
        """Return one template cell in all lanes."""
        at, nothing = self._at, ir.Constant(vector, ir.Undefined)
        cell = at.load(self._moved(cells, self._of(offset)), align=4)
        one = at.insert_element(nothing, cell, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
        return at.shuffle_vector(one, nothing, lanes)

    def _fused(self, vector: Any) -> Any:
        if vector.count not in self._multiply_add:
            kind = ir.FunctionType(vector, [vector] * 3)
            name = f"llvm.fma.v{vector.count}f32"
            self._multiply_add[vector.count] = ir.Function(self.module, kind, name)
        return self._multiply_add[vector.count]

    def _loop(
        self, count: Any, body: Callable[[Any, Sequence[Any]], Sequence[Any]], start: Sequence[Any] = ()
    ) -> Sequence[Any]:
        """Write a loop that runs ``count`` times, at least once, and carries ``start`` along."""
        at, before = self._at, self._at.block
        inside, after = (self._function.append_basic_block() for _ in range(2))
        at.branch(inside)
        at.position_at_end(inside)
        number = at.phi(self._int)
        number.add_incoming(self._of(0), before)
        carried = [at.phi(value.type) for value in start]
        ends = body(number, carried)
        following = at.add(number, self._of(1))
        number.add_incoming(following, at.block)
        for phi, value, end in zip(carried, start, ends, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(end, at.block)
        at.cbranch(at.icmp_unsigned("<", following, count), inside, after)
        at.position_at_end(after)
        return ends

    def _moved(self, pointer: Any, offset: Any) -> Any:
        return self._at.gep(pointer, [offset])

    def _of(self, number: int) -> Any:
        return ir.Constant(self._int, number)
