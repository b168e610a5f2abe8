"""Fewer multiplications for many templates on one region: when they are picked, and what they touch."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamcorr import Engine, EngineSettings
from siamcorr.ops import Correlator, Prepared, one_search_pays, prepare, xcorr, xcorr_reference
from siamcorr.ops.direct import DIRECT
from siamcorr.ops.kernel import is_available
from siamcorr.ops.operands import Problem
from siamcorr.ops.planner import plan
from siamcorr.ops.transform_kernel import Steps, TransformShape, compiled_transform
from siamcorr.ops.winograd import WINOGRAD, _matrices
from siamcorr.ops.winograd_kernel import SumsShape, compiled_sums, whole_parts
from siamcorr.ops.xcorr import correlate
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.skipif(not is_available(), reason="no compiler")

MARGIN = 32


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def fenced(cells: int, value: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return so many cells in the middle of memory that is NaN, and that memory."""
    memory = torch.full((cells + 2 * MARGIN,), torch.nan)
    inside = memory[MARGIN:-MARGIN]
    inside.fill_(value)
    return inside, memory


def is_untouched(memory: torch.Tensor) -> bool:
    return bool(memory[:MARGIN].isnan().all() and memory[-MARGIN:].isnan().all())


@pytest.mark.parametrize("h", range(3, 8))
def test_the_maps_make_a_correlation_of_eight_products(h: int) -> None:
    a, g, b = (np.array(matrix) for matrix in _matrices(h))
    template, search = np.arange(h) - 2.0, np.arange(8.0) ** 2
    assert (a.shape, g.shape, b.shape) == ((9 - h, 8), (8, h), (8, 8))
    expected = np.correlate(search, template, "valid")
    assert a @ ((g @ template) * (b @ search)) == pytest.approx(expected, abs=1e-11)


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 12), cols=st.integers(1, 40), tiles=st.integers(1, 4), samples=st.integers(1, 3))
def test_a_transform_stays_inside_and_takes_missing_rows_as_zero(
    rows: int, cols: int, tiles: int, samples: int
) -> None:
    """Sums of three rows, two rows from tile to tile, of which a target keeps the first ``rows``."""
    source, _ = fenced(samples * 2 * rows * cols, 1.0)
    target, memory = fenced(samples * 2 * rows * cols, -1.0)
    steps = Steps(2 * rows * cols, rows * cols, cols, 2 * cols, end=rows * cols)
    shape = TransformShape(((1.0, 1.0, 1.0), (0.0, 2.0, 1.0)), 2, tiles, cols, steps, steps)
    compiled_transform(shape)(source.data_ptr(), target.data_ptr(), samples)
    expected = [-1.0] * rows
    for row in range(min(rows, 2 * tiles)):
        seen = [1.0 if first + row < rows else 0.0 for first in range(3)]
        expected[row] = sum(seen) if row % 2 == 0 else 2 * 1.0 + seen[1]
    assert is_untouched(memory)
    assert torch.equal(target.view(-1, rows, cols)[:, :, 0], torch.tensor([expected] * 2 * samples))
    assert (target.view(-1, rows, cols) == target.view(-1, rows, cols)[..., :1]).all()


@settings(deadline=None, max_examples=30)
@given(
    depth=st.sampled_from([1, 3, 32, 33, 70]),
    w=st.integers(1, 7),
    tiles=st.integers(1, 14),
    extra=st.integers(0, 40),
    blocks=st.integers(1, 3),
)
def test_sums_stay_inside(depth: int, w: int, tiles: int, extra: int, blocks: int) -> None:
    shape = SumsShape(2, depth, w, whole_parts(tiles), w + extra)
    assert shape.tiles % shape.rows == 0
    outputs = blocks * shape.together
    templates, _ = fenced(outputs * 2 * depth * w, 1.0)
    search, _ = fenced(2 * depth * shape.tiles * shape.cols, 1.0)
    sums, memory = fenced(outputs * 2 * shape.tiles * (extra + 1), -1.0)
    table = array("q", [row.data_ptr() for row in templates.view(outputs, -1)])
    compiled_sums(shape)(table.buffer_info()[0], search.data_ptr(), sums.data_ptr(), 0, blocks)
    assert is_untouched(memory)
    assert torch.equal(sums, torch.full_like(sums, depth * w))


CHOICES: list[tuple[Correlation, tuple[int, ...], tuple[int, int, int], int | None]] = [
    # correlation, template, search, how many templates it takes to pay
    (Correlation("naive"), (256, 6, 6), (256, 22, 22), 15),
    (Correlation("naive"), (256, 5, 5), (256, 29, 29), 12),
    (Correlation("naive", padding=1), (256, 6, 6), (256, 20, 20), 15),
    (Correlation("upchannel"), (2560, 4, 4), (256, 20, 20), 3),
    (Correlation("naive"), (256, 7, 7), (256, 31, 31), 20),
    (Correlation("naive"), (8, 3, 3), (8, 22, 22), None),
    (Correlation("naive"), (256, 8, 8), (256, 30, 30), None),
    (Correlation("naive"), (256, 2, 2), (256, 20, 20), None),
    (Correlation("naive", dilation=2), (256, 5, 5), (256, 29, 29), None),
    (Correlation("naive"), (256, 6, 6), (256, 100, 100), None),
    (Correlation("depthwise"), (256, 5, 5), (256, 29, 29), None),
    (Correlation("groupwise", groups=2), (256, 6, 6), (256, 22, 22), None),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_it_is_picked_from_some_number_of_templates_on(choice: Any) -> None:
    correlation, template, search, least = choice
    problem = Problem(correlation, template, search)
    paying = [templates for templates in range(2, 100) if one_search_pays(problem, templates)]
    assert min(paying, default=None) == least
    assert plan(problem).way is not WINOGRAD
    if least is not None:
        assert plan(problem, one_search=True).way is WINOGRAD
        assert plan(problem, one_search=True, precision="bfloat16").way is not WINOGRAD
        assert plan(replace(problem, dtype=torch.float64), one_search=True).way is not WINOGRAD


def test_a_list_of_templates_on_one_region_is_computed_by_it() -> None:
    z, x = random(40, 128, 6, 6).numpy(), random(128, 22, 22).numpy()
    with Engine(EngineSettings(device="cpu", models={})) as engine:
        handles = [engine.create_template(one) for one in z]
        together = engine.correlate(handles, features=x)
        again = engine.correlate(handles, features=x)
        alone = engine.correlate(handles[7], features=x)
    exact = xcorr_reference(torch.from_numpy(z[7:8]), torch.from_numpy(x)[None])[0].numpy()
    assert (together[7].timings.plan, alone.timings.plan) == ("winograd", "direct")
    assert np.linalg.norm(together[7].map - exact) < 1e-5 * np.linalg.norm(exact)
    for one, other in zip(together, again, strict=True):
        np.testing.assert_array_equal(one.map, other.map)


@pytest.mark.parametrize("threads", [2, 3])
def test_neither_threads_nor_company_change_a_bit(threads: int, one_thread: None) -> None:
    template, search = random(19, 64, 6, 6), random(1, 64, 22, 22)
    correlator = Correlator(Correlation(), (64, 6, 6), (64, 22, 22), way=WINOGRAD)
    prepared = correlator.prepare(template)
    together = correlator(prepared, search, range(19), (0,) * 19)
    for count in (1, 3, 4, 5, 18):
        index = tuple(range(19 - count, 19))
        assert torch.equal(correlator(prepared, search, index, (0,) * count), together[-count:])
    listed = [row.clone() for row in prepared]
    assert torch.equal(correlator(listed, search, range(19), (0,) * 19), together)
    torch.set_num_threads(threads)
    assert torch.equal(correlator(prepared, search, range(19), (0,) * 19), together)


def test_prepared_templates_are_joined_and_give_the_same_bits(one_thread: None) -> None:
    template, search = random(32, 256, 6, 6), random(1, 256, 22, 22)
    together = prepare(template, search.shape[1:], one_search=True)
    assert together.plan.name == "winograd"
    assert together.size_bytes == template.nbytes * 8 // 6
    singly = [prepare(one[None], search.shape[1:], one_search=True) for one in template]
    expected = xcorr(template, search)
    for prepared in (together, Prepared.joined(singly)):
        assert torch.equal(xcorr(prepared, search), expected)


MAGNITUDES: list[Callable[[torch.Tensor], torch.Tensor]] = [
    torch.relu,
    lambda cells: cells.abs() + 3,
    lambda cells: cells * 1e12,
    lambda cells: cells * 1e-12,
    lambda cells: cells.cumsum(-1).cumsum(-2),
]


@pytest.mark.parametrize("made", range(len(MAGNITUDES)))
def test_features_of_all_sorts_stay_within_the_bound(made: int, one_thread: None) -> None:
    template, search = (MAGNITUDES[made](random(*shape)) for shape in ((8, 256, 6, 6), (1, 256, 22, 22)))
    pairs = list(range(8)), [0] * 8
    exact = xcorr_reference(template, search, pairs=pairs)
    response = correlate(template, search, Correlation(), way=WINOGRAD, pairs=pairs)
    assert float((response - exact).norm() / exact.norm()) < 1e-5


def test_a_nan_reaches_the_rows_of_its_tile_and_no_other_column() -> None:
    template, search = random(1, 16, 6, 6), random(1, 16, 22, 22)
    search[0, 3, 4, 10] = torch.nan  # the template sees it from rows 0 to 4; tiles are of rows 0 to 2, 3 to 5
    response = correlate(template, search, Correlation(), way=WINOGRAD)[0, 0]
    expected = torch.zeros(17, 17, dtype=torch.bool)
    expected[:6, 5:11] = True
    assert torch.equal(response.isnan(), expected)
    assert correlate(template, search, Correlation(), way=DIRECT)[0, 0].isnan().sum() == 30


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("h", range(3, 8))
def test_what_is_not_finite_shows_wherever_it_is(h: int, value: float) -> None:
    """Whoever looks at a response for it finds it there."""
    template, search = random(1, 2, h, 3), random(20, 2, 20, 9)
    for row in range(20):
        search[row, 1, row, row % 9] = value
    response = correlate(template, search, Correlation(), way=WINOGRAD, pairs=([0] * 20, list(range(20))))
    assert not response.flatten(1).isfinite().all(1).any()
