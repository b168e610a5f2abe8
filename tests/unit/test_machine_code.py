"""Compiled functions: one call, and many that are made without the interpreter in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from siamcorr.ops.machine_code import Kernel, Writer, can_fuse, machine_code
from siamcorr.ops.threads import run

pytestmark = pytest.mark.skipif(not can_fuse(), reason="no compiler")


class Copy(Writer):
    """A function (source, target, cells) that copies float32."""

    def __init__(self) -> None:
        super().__init__(3)
        source, target, cells = self.arguments
        read, written = self.array(source), self.array(target)

        def body(number: Any, _: Sequence[Any]) -> Sequence[Any]:
            self.stored(self.at.load(self.moved(read, number), align=4), self.moved(written, number))
            return ()

        self.loop(cells, body)
        self.at.ret_void()


@pytest.fixture(scope="module")
def copy() -> Kernel:
    return machine_code(Copy)


def calls_between(source: Any, target: Any, cells: Sequence[int]) -> list[tuple[int, ...]]:
    """Copy row i of ``source`` to row i of ``target``, so many cells of it."""
    return [(a.ctypes.data, b.ctypes.data, n) for a, b, n in zip(source, target, cells, strict=True)]


@pytest.mark.parametrize("cells", [(3,), (3, 1), (1, 4, 2, 3, 4)])
def test_each_makes_all_calls(copy: Kernel, cells: tuple[int, ...]) -> None:
    source = np.arange(1, len(cells) * 4 + 1, dtype=np.float32).reshape(-1, 4)
    found, expected = np.zeros_like(source), np.zeros_like(source)
    for call in calls_between(source, expected, cells):
        copy(*call)
    copy.each(calls_between(source, found, cells))
    np.testing.assert_array_equal(found, expected)
    assert [np.count_nonzero(row) for row in found] == list(cells)


def test_a_later_call_overwrites_what_an_earlier_one_wrote(copy: Kernel) -> None:
    source, target = np.array([[1.0], [2.0]], np.float32), np.zeros((1, 1), np.float32)
    copy.each(calls_between(source, [target[0], target[0]], (1, 1)))
    assert target[0, 0] == 2


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_threads_share_the_calls(copy: Kernel, threads: int) -> None:
    source = np.arange(1, 33, dtype=np.float32).reshape(8, 4)
    target = np.zeros_like(source)
    run(copy, calls_between(source, target, [4] * 8), threads)
    np.testing.assert_array_equal(target, source)
