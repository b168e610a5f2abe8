"""Code that is compiled for a shape: it stays inside of its operands, on any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siamcorr import Engine, EngineSettings
from siamcorr.ops import one_search_pays, xcorr, xcorr_reference
from siamcorr.ops.direct import DIRECT
from siamcorr.ops.kernel import compilations, compiled, is_available
from siamcorr.ops.operands import Problem
from siamcorr.ops.planner import plan
from siamcorr.ops.tiles import KernelShape
from siamcorr.ops.winograd import WINOGRAD
from siamcorr.ops.xcorr import correlate
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.skipif(not is_available(), reason="no compiler")


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


shapes = st.builds(
    KernelShape,
    depth=st.integers(1, 3),
    h=st.integers(1, 9),
    w=st.integers(1, 5),
    rows=st.integers(17, 60),
    cols=st.integers(13, 60),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 3)),
)
paddings = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(deadline=None, max_examples=300)
@given(shapes)
def test_tiles_cover_the_response_and_stay_inside(shape: KernelShape) -> None:
    rows, cols = shape.response
    assert 1 <= shape.tile_rows <= rows
    covered = [0] * cols
    for strip in shape.strips:
        for col in range(strip.first, strip.first + strip.lanes * strip.count):
            covered[col] += 1
    assert min(covered) >= 1


@settings(deadline=None, max_examples=30)
@given(shapes, st.booleans())
def test_no_memory_is_touched_outside_of_the_operands(shape: KernelShape, is_bfloat16: bool) -> None:
    shape = replace(shape, is_bfloat16=is_bfloat16)
    rows, cols = shape.response
    search = torch.full((shape.depth * shape.rows * shape.cols + 64,), torch.nan)
    search[32:-32] = 1
    search = search.to(torch.bfloat16 if is_bfloat16 else torch.float32)
    template = torch.full((shape.depth * shape.h * shape.w + 64,), torch.nan)
    template[32:-32] = 1
    response = torch.full((2 * rows * cols + 64,), -1.0)
    z, x, y = (tensor[32:].data_ptr() for tensor in (template, search, response))
    compiled(shape)(z, x, y, 0, 1, 1)
    expected = torch.full_like(response, -1)
    expected[32 : 32 + rows * cols] = shape.depth * shape.h * shape.w
    assert torch.equal(response, expected)


@settings(deadline=None, max_examples=30)
@given(shapes, paddings, st.booleans())
@example(KernelShape(1, 4, 4, 18, 18), (1, 1), False)
@example(KernelShape(1, 4, 4, 18, 12), (0, 1), True)
def test_a_kernel_that_pads_reads_the_plane_alone(
    shape: KernelShape, padding: tuple[int, int], is_bfloat16: bool
) -> None:
    shape = replace(shape, depth=1, is_bfloat16=is_bfloat16, padding=padding)
    plane = random(2, *shape.stored).to(torch.bfloat16 if is_bfloat16 else torch.float32)
    search = torch.full((plane.numel() + 64,), torch.nan, dtype=plane.dtype)
    search[32:-32] = plane.flatten()
    template, expected = random(2, shape.h, shape.w), torch.empty(2, *shape.response)
    response = torch.full((expected.numel() + 64,), -1.0)
    compiled(shape)(template.data_ptr(), search[32:].data_ptr(), response[32:].data_ptr(), 0, 2, 1)
    beside, before = padding[1], padding[0]
    padded = torch.nn.functional.pad(plane, (beside, beside, before, before)).contiguous()
    unpadded = replace(shape, padding=(0, 0))
    compiled(unpadded)(template.data_ptr(), padded.data_ptr(), expected.data_ptr(), 0, 2, 1)
    assert torch.equal(response[32:-32].view_as(expected), expected)
    assert (response[:32] == -1).all()
    assert (response[-32:] == -1).all()


def test_a_plane_too_large_for_the_stack_is_padded_before() -> None:
    template, search = random(1, 2, 3, 3), random(1, 2, 130, 130)
    response = correlate(template, search, Correlation("depthwise", padding=1), way=DIRECT)
    assert (response - xcorr_reference(template, search, "depthwise", padding=1)).abs().max() < 1e-4


def test_a_thread_is_told_what_it_compiled_itself_and_each_shape_once() -> None:
    shape = KernelShape(3, 2, 2, 7, 41)
    compiled.cache_clear()
    with ThreadPoolExecutor(1) as other:
        before = compilations()
        other.submit(compiled, shape).result()
        compiled(shape)
        theirs = other.submit(compilations).result()
    assert theirs.kernels == 1
    assert theirs.seconds > 0
    assert compilations() == before


def test_who_sends_a_new_shape_is_told_that_it_was_compiled() -> None:
    z, x = np.ones((64, 6, 6), np.float32), np.ones((64, 22, 23), np.float32)
    compiled.cache_clear()
    with Engine(EngineSettings(device="cpu", models={})) as engine:
        template = engine.create_template(z)
        assert engine.stats().compilations == (0, 0.0)
        first, second = (engine.correlate(template, features=x).timings for _ in range(2))
        found = engine.stats().compilations
    assert (first.plan, found.kernels) == ("direct", 1)
    assert 0 < first.compile_s == found.seconds < first.compute_s
    assert second.compile_s == 0


CHOICES: list[tuple[Correlation, tuple[int, ...], tuple[int, int, int], bool]] = [
    (Correlation("naive"), (256, 6, 6), (256, 22, 22), True),
    (Correlation("naive"), (1, 6, 6), (1, 22, 22), True),
    (Correlation("naive"), (256, 15, 15), (256, 31, 31), True),
    (Correlation("naive"), (256, 14, 14), (256, 16, 16), True),
    (Correlation("naive"), (8, 3, 1), (8, 22, 5), False),
    (Correlation("naive", stride=2), (256, 6, 6), (256, 22, 22), False),
    (Correlation("naive"), (64, 21, 21), (64, 61, 61), False),
    (Correlation("depthwise"), (256, 7, 7), (256, 31, 31), True),
    (Correlation("depthwise", padding=2, dilation=2), (256, 5, 5), (256, 29, 29), True),
    (Correlation("depthwise"), (16, 31, 31), (16, 63, 63), False),
    (Correlation("groupwise", groups=64), (256, 6, 6), (256, 22, 22), True),
    (Correlation("grouped", groups=256), (256, 1, 5, 5), (256, 29, 29), True),
    (Correlation("upchannel"), (2560, 4, 4), (256, 20, 20), True),
    (Correlation("upchannel"), (2560, 1, 1), (256, 20, 20), False),
    (Correlation("pixelwise"), (96, 8, 8), (96, 16, 16), False),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_it_is_picked_for_sizes_that_it_is_fast_at(choice: Any) -> None:
    correlation, template, search, is_compiled = choice
    problem = Problem(correlation, template, search)
    assert (plan(problem).way is DIRECT) == is_compiled
    assert plan(replace(problem, dtype=torch.float64)).way is not DIRECT
    assert plan(replace(problem, device="cuda")).way is not DIRECT
    if is_compiled:
        assert plan(problem, one_search=True).way in {DIRECT, WINOGRAD}


def test_one_search_region_pays_in_bfloat16() -> None:
    problem = Problem(Correlation(), (256, 6, 6), (256, 22, 22))
    paying = [one_search_pays(problem, templates, "bfloat16") for templates in (10, 11, 32)]
    assert paying == [False, True, True]
    assert plan(problem, precision="bfloat16", one_search=True).name == "one search bfloat16"


@pytest.mark.parametrize("kind", ["naive", "upchannel", "depthwise"])
def test_operands_that_lie_in_order_are_one_call_with_the_same_bits(kind: str) -> None:
    template, search = random(4, 40, 3, 3), random(4, 40 if kind != "upchannel" else 8, 20, 20)
    index: Any
    for index in (((1, 2, 3), (0, 1, 2)), ((0, 1, 2), (2, 2, 2)), ((0, 2, 1), (0, 1, 2)), ((1, 1), (0, 1))):
        together = xcorr(template, search, kind, pairs=index)
        for at, (z, x) in enumerate(zip(*index, strict=True)):
            assert torch.equal(together[at], xcorr(template[z : z + 1], search[x : x + 1], kind)[0])


@pytest.mark.parametrize(("kind", "pairs"), [("depthwise", 1), ("depthwise", 5), ("naive", 5)])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_change_no_bit(kind: str, pairs: int, padding: int, threads: int, one_thread: None) -> None:
    template, search = random(pairs, 256, 7, 7), random(pairs, 256, 31, 31)
    expected = xcorr(template, search, kind, padding=padding)
    torch.set_num_threads(threads)
    assert torch.equal(xcorr(template, search, kind, padding=padding), expected)


def test_a_template_and_a_region_may_start_anywhere() -> None:
    template, search = (
        random(2 * 8 * 9 + 1)[1:].view(2, 8, 3, 3),
        random(2 * 8 * 400 + 3)[3:].view(2, 8, 20, 20),
    )
    response = correlate(template, search, Correlation(), way=DIRECT)
    assert torch.equal(response, correlate(template.clone(), search.clone(), Correlation(), way=DIRECT))
    assert (response - xcorr_reference(template, search)).abs().max() < 1e-4


def test_without_a_compiler_the_other_ways_do() -> None:
    program = """
import sys
sys.modules["llvmlite"] = None
import torch
from siamcorr.ops import prepare, xcorr
template, search = torch.ones(1, 8, 3, 3), torch.ones(1, 8, 20, 20)
print(*(prepare(template, search.shape[1:], kind).plan.name for kind in ("naive", "depthwise")))
print(xcorr(template, search).unique().item())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["matmul", "trick", "72.0"], ran.stderr


FORKS = """
import os
from siamcorr.ops.threads import _pool
_pool().submit(int).result()
child = os.fork()
if not child:
    os._exit(_pool().submit(int, 7).result(timeout=20))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "7"
