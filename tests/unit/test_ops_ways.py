"""Every way to compute the operator against the float64 loops, over kind, shape, settings and dtype."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
import torch

from siamcorr.ops.direct import DIRECT
from siamcorr.ops.fourier import FOURIER
from siamcorr.ops.kernel import is_available
from siamcorr.ops.matmul import MATMUL, MATMUL_BFLOAT16
from siamcorr.ops.one_search import ONE_SEARCH, ONE_SEARCH_BFLOAT16
from siamcorr.ops.operands import Operands, Problem, Way
from siamcorr.ops.reference import REFERENCE
from siamcorr.ops.trick import TRICK
from siamcorr.ops.winograd import WINOGRAD, can_filter
from siamcorr.ops.xcorr import correlate
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.usefixtures("one_thread")

WAYS = {"trick": TRICK, "matmul": MATMUL, "fft": FOURIER, "planned": None}
BOUNDS = {torch.float32: 1e-5, torch.float16: 1e-5, torch.bfloat16: 1e-5, torch.float64: 1e-13}


@dataclass(frozen=True)
class Case:
    """One kind and one shape of template and search region."""

    kind: str
    template: tuple[int, ...]
    search: tuple[int, int, int]
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        settings = "".join(f" {name} {value}" for name, value in self.settings.items())
        return f"{self.kind} {self.template} on {self.search}{settings}".replace(", ", ",")


KINDS = [
    ("naive", 6, (6,), {}),
    ("depthwise", 6, (6,), {}),
    ("depthwise", 17, (17,), {}),
    ("upchannel", 5, (20,), {"k": 4}),
    ("groupwise", 6, (6,), {"groups": 3}),
    ("grouped", 6, (4, 3), {"groups": 2}),
    ("grouped", 6, (12, 1), {"groups": 6}),
    ("grouped", 6, (2, 3), {"groups": 2}),
]
PLACES: list[tuple[tuple[int, int], tuple[int, int], dict[str, Any]]] = [
    ((3, 3), (9, 9), {}),
    ((4, 4), (9, 9), {}),
    ((3, 5), (11, 8), {}),
    ((2, 1), (7, 6), {}),
    ((1, 1), (5, 7), {}),
    ((7, 6), (7, 6), {}),
    ((5, 5), (3, 4), {"padding": 1}),
    ((4, 4), (8, 8), {"padding": (0, 3)}),
    ((3, 4), (10, 11), {"stride": (2, 3)}),
    ((3, 2), (9, 12), {"dilation": (2, 4)}),
    ((1, 1), (9, 12), {"padding": 2, "stride": 5, "dilation": 3}),
    ((3, 3), (13, 14), {"padding": (2, 1), "stride": (2, 1), "dilation": (1, 3)}),
    ((2, 3), (27, 37), {}),
    ((9, 2), (38, 18), {"padding": (1, 0), "dilation": (2, 1)}),
]
CASES = [
    *(
        Case(kind, (*stored, *template), (channels, *search), groups | settings)
        for kind, channels, stored, groups in KINDS
        for template, search, settings in PLACES
    ),
    *(Case("pixelwise", (6, *template), (6, *search)) for template, search, s in PLACES if not s),
]

TRACKERS = [
    Case("naive", (256, 6, 6), (256, 22, 22)),
    Case("depthwise", (256, 7, 7), (256, 31, 31)),
    Case("upchannel", (320, 4, 4), (32, 20, 20), {"k": 10}),
    Case("pixelwise", (96, 8, 8), (96, 16, 16)),
]


HEIGHTS = [Case("naive", (70, h, 3), (70, rows, 17)) for h in range(3, 8) for rows in (h, 12, 23, 51)]
"""Templates of all heights that have fewer multiplications, on some tiles and on one."""

Pairs: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


def random(*shape: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def operands(case: Case, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, Correlation]:
    """Return three templates, two search regions and the settings."""
    template = random(3, *case.template, dtype=dtype, seed=1)
    search = random(2, *case.search, dtype=dtype, seed=2)
    return template, search, Correlation(case.kind, **case.settings)


@functools.cache
def expected(name: str, dtype: torch.dtype, pairs: Pairs) -> torch.Tensor:
    """Return the reference's responses, computed once for all ways."""
    case = next(case for case in [*CASES, *TRACKERS, *HEIGHTS] if str(case) == name)
    return correlate(*operands(case, dtype), pairs=pairs, way=REFERENCE)


def error_of(way: Way | None, case: Case, dtype: torch.dtype, pairs: Pairs = ((1, 0, 2), (1, 1, 0))) -> float:
    """Return the largest error of any pair's response, as a share of that response's largest cell."""
    response = correlate(*operands(case, dtype), pairs=pairs, way=way)
    exact = expected(str(case), dtype, pairs)
    assert response.shape == exact.shape
    assert response.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    errors = (response - exact).flatten(1).abs().amax(1) / exact.flatten(1).abs().amax(1)
    return errors.max().item()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_way_agrees_with_the_reference(way: Way | None, case: Case) -> None:
    for dtype in (torch.float32, torch.float64):
        assert error_of(way, case, dtype) < BOUNDS[dtype]


@pytest.mark.parametrize("case", CASES[:: len(PLACES) // 2], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_way_agrees_for_halves_as_they_are_given(way: Way | None, case: Case, dtype: torch.dtype) -> None:
    assert error_of(way, case, dtype) < BOUNDS[dtype]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("case", TRACKERS, ids=str)
def test_a_way_agrees_at_the_sizes_of_trackers(way: Way | None, case: Case) -> None:
    assert error_of(way, case, torch.float32, pairs=((0,), (0,))) < BOUNDS[torch.float32]


@pytest.mark.skipif(not is_available(), reason="no compiler")
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind != "pixelwise" and "stride" not in case.settings], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_code_that_is_compiled_for_the_shape_agrees(case: Case, dtype: torch.dtype) -> None:
    assert error_of(DIRECT, case, dtype) < BOUNDS[dtype]


FILTERED = [
    case
    for case in [*CASES, *TRACKERS, *HEIGHTS]
    if can_filter(Problem(Correlation(case.kind, **case.settings), case.template, case.search))
]


@pytest.mark.parametrize("case", FILTERED, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_fewer_multiplications_agree(case: Case, dtype: torch.dtype) -> None:
    for pairs in (((1, 0, 2), (1, 1, 0)), ((2, 0, 1, 2, 1), (0, 0, 0, 0, 0))):
        assert error_of(WINOGRAD, case, dtype, pairs) < BOUNDS[dtype]


@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "depthwise"], ids=str)
def test_products_of_bfloat16_are_right_to_a_hundredth(case: Case) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert error_of(MATMUL_BFLOAT16, case, dtype) < 1e-2


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind in {"naive", "upchannel", "pixelwise"}], ids=str
)
def test_templates_that_share_a_search_region_agree_as_one_convolution(case: Case) -> None:
    for dtype in (torch.float32, torch.float64):
        assert error_of(ONE_SEARCH, case, dtype, pairs=((2, 0, 1), (1, 1, 1))) < BOUNDS[dtype]
    assert error_of(ONE_SEARCH_BFLOAT16, case, torch.bfloat16, pairs=((2, 0, 1), (1, 1, 1))) < 1e-2


def test_the_bound_would_notice_a_cell_in_the_wrong_place() -> None:
    def shifted(operands: Operands) -> torch.Tensor:
        response = MATMUL.compute(operands).clone()
        response[-1, -1, -1, -2:] = response[-1, -1, -1, -2:].flip(0)
        return response

    assert error_of(Way("shifted", shifted), CASES[0], torch.float32) > 100 * BOUNDS[torch.float32]
