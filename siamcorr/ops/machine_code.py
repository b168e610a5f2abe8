"""What compiled kernels have in common: a writer of LLVM's language, and the compiler.

What is compiled is counted for the thread that does it, and so waits for it.

Rejected: numba, which vectorises such loops only if it can prove what we know, and compiles for seconds; C,
because users have no compiler.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

try:
    import llvmlite.binding as llvm  # type: ignore[import-untyped, unused-ignore]
    from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
except ImportError:
    llvm = ir = None

__all__ = [
    "Compilations",
    "Kernel",
    "Writer",
    "can_fuse",
    "compilations",
    "has_wide_registers",
    "ir",
    "machine_code",
]

_NAME, _EACH = "correlate", "correlate_each"
_here = threading.local()


class Kernel:
    """A compiled function of so many integers: addresses and counts. It lets go of the interpreter's lock."""

    def __init__(self, engine: Any, arguments: int) -> None:
        """Take what was compiled."""
        integer = ctypes.c_int64
        self._engine = engine  # the code lives as long as this
        self._call = ctypes.CFUNCTYPE(None, *[integer] * arguments)(engine.get_function_address(_NAME))
        self._each = ctypes.CFUNCTYPE(None, integer, integer)(engine.get_function_address(_EACH))

    def __call__(self, *arguments: int) -> None:
        """Run it."""
        self._call(*arguments)

    def each(self, calls: Sequence[tuple[int, ...]]) -> None:
        """Make the calls one after the other. The lock is taken again after the last one only.

        Measured with pairs of 16 callers, beside a busy event loop: 4 % more peaks a second.
        """
        if len(calls) == 1:
            self._call(*calls[0])
            return
        table = np.array(calls, np.int64)
        self._each(table.ctypes.data, len(table))


class Compilations(NamedTuple):
    """How many kernels were compiled, and the seconds that it took."""

    kernels: int = 0
    seconds: float = 0.0


_NONE = Compilations()


def compilations() -> Compilations:
    """Return what this thread has compiled, all its life."""
    found: Compilations = getattr(_here, "compilations", _NONE)
    return found


def can_fuse() -> bool:
    """Tell whether there is a compiler, and the machine multiplies and adds at once."""
    return llvm is not None and llvm.get_host_cpu_features().get("fma", True)  # all others than x86 do


def has_wide_registers() -> bool:
    """Tell whether there are 32 registers of 16 float32, for which kernels are written."""
    return llvm is not None and llvm.get_host_cpu_features().get("avx512f", False)


def machine_code(writer: Callable[[], Writer]) -> Kernel:
    """Return the kernel that ``writer`` writes, compiled: some tenths of a second."""
    began_s = time.perf_counter()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    wide = ",-prefer-256-bit" if features.get("avx512f") else ""  # only x86 knows the word
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(llvm.get_host_cpu_name(), features.flatten() + wide, opt=2)
    written = writer()
    written.write_each()
    module = llvm.parse_assembly(str(written.module))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kernel = Kernel(engine, len(written.arguments))
    kernels, seconds = compilations()
    _here.compilations = Compilations(kernels + 1, seconds + time.perf_counter() - began_s)
    return kernel


class Writer:
    """A function of so many integers, begun: who writes on ends it with ``at.ret_void()``."""

    def __init__(self, arguments: int) -> None:
        """Begin it."""
        self.int, self.float = ir.IntType(64), ir.FloatType()
        self.module = ir.Module(_NAME)
        kind = ir.FunctionType(ir.VoidType(), [self.int] * arguments)
        self._function = ir.Function(self.module, kind, _NAME)
        self.arguments: Sequence[Any] = self._function.args
        self.at = ir.IRBuilder(self._function.append_basic_block())
        self._multiply_add: dict[int, Any] = {}

    def write_each(self) -> None:
        """Write what calls the function, once that is written: of a table of arguments, and its rows."""
        function, width = self._function, self.of(len(self.arguments))
        kind = ir.FunctionType(ir.VoidType(), [self.int, self.int])
        self._function = ir.Function(self.module, kind, _EACH)
        self.at = ir.IRBuilder(self._function.append_basic_block())
        table, rows = self._function.args
        cells = self.at.inttoptr(table, self.int.as_pointer())

        def call(number: Any, _: Sequence[Any]) -> Sequence[Any]:
            row = self.moved(cells, self.at.mul(number, width))
            places = (self.moved(row, self.of(place)) for place in range(len(self.arguments)))
            self.at.call(function, [self.at.load(place, align=8) for place in places])
            return ()

        self.loop(rows, call)
        self.at.ret_void()

    def of(self, number: int) -> Any:
        """Return a constant integer."""
        return ir.Constant(self.int, number)

    def least(self, one: Any, other: Any) -> Any:
        """Return the smaller of two integers."""
        return self.at.select(self.at.icmp_unsigned("<", one, other), one, other)

    def array(self, address: Any) -> Any:
        """Return a pointer to float32."""
        return self.at.inttoptr(address, self.float.as_pointer())

    def moved(self, pointer: Any, offset: Any) -> Any:
        """Return a pointer so many cells on."""
        return self.at.gep(pointer, [offset])

    def vector(self, lanes: int) -> Any:
        """Return the type of a vector of float32."""
        return ir.VectorType(self.float, lanes)

    def loaded(self, pointer: Any, vector: Any) -> Any:
        """Return a ``vector`` from memory, wherever it starts."""
        return self.at.load(self.at.bitcast(pointer, vector.as_pointer()), align=4)

    def stored(self, value: Any, pointer: Any, most: int = sys.maxsize) -> None:
        """Write a vector, of it the first ``most`` lanes, or a single cell."""
        place = self.at.bitcast(pointer, value.type.as_pointer())
        lanes = getattr(value.type, "count", 1)
        if lanes <= most:
            self.at.store(value, place, align=4)
            return
        bits, word = ir.VectorType(ir.IntType(1), lanes), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [value.type, place.type, word, bits])
        name = f"llvm.masked.store.v{lanes}f32.p0"
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        mask = ir.Constant(bits, [int(lane < most) for lane in range(lanes)])
        self.at.call(function, [value, place, ir.Constant(word, 4), mask])

    def spread(self, pointer: Any, vector: Any) -> Any:
        """Return one cell in all lanes."""
        at, nothing = self.at, ir.Constant(vector, ir.Undefined)
        one = at.insert_element(nothing, at.load(pointer, align=4), ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
        return at.shuffle_vector(one, nothing, lanes)

    def fused(self, one: Any, other: Any, total: Any) -> Any:
        """Return ``one * other + total``, rounded once."""
        vector = total.type
        if vector.count not in self._multiply_add:
            kind = ir.FunctionType(vector, [vector] * 3)
            name = f"llvm.fma.v{vector.count}f32"
            self._multiply_add[vector.count] = ir.Function(self.module, kind, name)
        return self.at.call(self._multiply_add[vector.count], [one, other, total])

    def summed(self, vector: Any) -> Any:
        """Return the sum of all lanes."""
        lanes = [
            self.at.extract_element(vector, ir.Constant(ir.IntType(32), lane))
            for lane in range(vector.type.count)
        ]
        return reduce(self.at.fadd, lanes)

    def loop(
        self, count: Any, body: Callable[[Any, Sequence[Any]], Sequence[Any]], start: Sequence[Any] = ()
    ) -> Sequence[Any]:
        """Write a loop that runs ``count`` times, at least once, and carries ``start`` along."""
        at, before = self.at, self.at.block
        inside, after = (self._function.append_basic_block() for _ in range(2))
        at.branch(inside)
        at.position_at_end(inside)
        number = at.phi(self.int)
        number.add_incoming(self.of(0), before)
        carried = [at.phi(value.type) for value in start]
        ends = body(number, carried)
        following = at.add(number, self.of(1))
        number.add_incoming(following, at.block)
        for phi, value, end in zip(carried, start, ends, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(end, at.block)
        at.cbranch(at.icmp_unsigned("<", following, count), inside, after)
        at.position_at_end(after)
        return ends
