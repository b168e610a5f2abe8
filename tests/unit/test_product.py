"""Pixel-wise correlation by code that is compiled for its shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamcorr.ops import xcorr, xcorr_reference
from siamcorr.ops.kernel import is_available
from siamcorr.ops.machine_code import has_wide_registers
from siamcorr.ops.operands import Problem
from siamcorr.ops.planner import one_search_pays, plan
from siamcorr.ops.product import PRODUCT, multiplies_well
from siamcorr.ops.product_kernel import ProductShape, compiled_product
from siamcorr.ops.xcorr import correlate
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.skipif(not is_available(), reason="no compiler")

PIXELWISE = Correlation("pixelwise")
NANOTRACK = (97, 16, 8), (97, 16, 16)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


shapes = st.builds(
    ProductShape, depth=st.integers(1, 5), outputs=st.integers(1, 20), cells=st.integers(1, 200)
)


@settings(deadline=None, max_examples=40)
@given(shapes)
def test_each_cell_is_computed_and_no_memory_outside_is_touched(shape: ProductShape) -> None:
    template, search = (
        torch.full((shape.depth * cells + 64,), torch.nan) for cells in (shape.outputs, shape.cells)
    )
    response = torch.full((shape.outputs * shape.cells + 64,), -1.0)
    z, x = random(shape.depth, shape.outputs), random(shape.depth, shape.cells)
    template[32:-32], search[32:-32] = z.flatten(), x.flatten()
    addresses = (tensor[32:].data_ptr() for tensor in (template, search, response))
    compiled_product(shape)(*addresses, 0, shape.blocks)
    expected = z.double().T @ x.double()
    assert (response[32:-32].view(expected.shape) - expected).abs().max() < 1e-5
    assert (response[:32] == -1).all()
    assert (response[-32:] == -1).all()


@pytest.mark.skipif(not has_wide_registers(), reason="its registers are for AVX-512")
def test_it_is_picked_where_it_is_fast() -> None:
    problem = Problem(PIXELWISE, *NANOTRACK)
    assert (plan(problem).way, plan(problem).pairs_per_call) == (PRODUCT, None)
    assert plan(problem, precision="bfloat16").name == "matmul bfloat16"
    assert plan(problem, one_search=True).name == "one search"
    assert not one_search_pays(problem, 32)


@pytest.mark.parametrize(
    "problem",
    [
        Problem(PIXELWISE, *NANOTRACK, torch.float64),
        Problem(PIXELWISE, *NANOTRACK, device="cuda"),
        Problem(PIXELWISE, (256, 31, 31), (256, 31, 31)),
        Problem(Correlation("upchannel"), (2560, 1, 1), (256, 20, 20)),
    ],
    ids=["float64", "cuda", "much would be computed twice", "laid out otherwise"],
)
def test_elsewhere_other_ways_do(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siamcorr.ops.product.has_wide_registers", lambda: True)
    assert multiplies_well(Problem(PIXELWISE, *NANOTRACK))
    assert not multiplies_well(problem)


def test_without_wide_registers_a_library_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siamcorr.ops.product.has_wide_registers", lambda: False)
    assert plan(Problem(PIXELWISE, *NANOTRACK)).name == "matmul"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_pair_has_the_same_bits_in_any_company_on_any_threads(dtype: torch.dtype, one_thread: None) -> None:
    template, search = random(3, *NANOTRACK[0]), random(3, 97, 32, 33).to(dtype)  # a pair for three threads
    index = [2, 0, 0, 1], [1, 0, 2, 2]
    together = correlate(template, search, PIXELWISE, pairs=index, way=PRODUCT)
    assert (together - xcorr_reference(template, search, "pixelwise", pairs=index)).abs().max() < 1e-4
    for at, (z, x) in enumerate(zip(*index, strict=True)):
        alone = correlate(template[z : z + 1], search[x : x + 1], PIXELWISE, way=PRODUCT)
        assert torch.equal(together[at], alone[0])
    torch.set_num_threads(3)
    assert torch.equal(correlate(template, search, PIXELWISE, pairs=index, way=PRODUCT), together)


def test_operands_may_start_anywhere() -> None:
    template, search = (
        random(2 * 8 * 9 + 1)[1:].view(2, 8, 3, 3),
        random(2 * 8 * 90 + 3)[3:].view(2, 8, 9, 10),
    )
    moved = correlate(template, search, PIXELWISE, way=PRODUCT)
    assert torch.equal(moved, correlate(template.clone(), search.clone(), PIXELWISE, way=PRODUCT))
    assert torch.allclose(moved, xcorr(template, search, "pixelwise"), atol=1e-5)
