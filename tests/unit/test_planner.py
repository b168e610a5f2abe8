"""The planner: which way, how many pairs a call, and no more tensors than they use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from siamcorr.errors import InvalidArgument
from siamcorr.ops import Correlator, correlator_of, one_search_pays, xcorr
from siamcorr.ops.fourier import FOURIER
from siamcorr.ops.matmul import MATMUL, MATMUL_BFLOAT16
from siamcorr.ops.one_search import ONE_SEARCH, ONE_SEARCH_BFLOAT16
from siamcorr.ops.operands import Operands, Problem, Way, used_rows
from siamcorr.ops.planner import MAX_PRODUCT_BYTES, PLAN_VARIABLE, Plan, plan
from siamcorr.ops.trick import TRICK
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.usefixtures("one_thread")

SIAMFC = Problem(Correlation(), (256, 6, 6), (256, 22, 22))


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the compiler; test_direct.py and test_product.py have the plans with one."""
    for way in ("direct", "product"):
        monkeypatch.setattr(f"siamcorr.ops.{way}.is_available", lambda: False)


CHOICES: list[tuple[Correlation, tuple[int, ...], tuple[int, int, int], Way, int | None]] = [
    # correlation, template, search, way, pairs a call
    (Correlation("naive"), (256, 6, 6), (256, 22, 22), MATMUL, 60),
    (Correlation("naive"), (1, 6, 6), (1, 22, 22), MATMUL, 60),
    (Correlation("naive"), (8, 6, 6), (8, 22, 12), MATMUL, 110),
    (Correlation("naive", stride=2), (256, 6, 6), (256, 22, 22), MATMUL, 60),
    (Correlation("upchannel"), (2560, 4, 4), (256, 20, 20), MATMUL, 16),
    (Correlation("upchannel"), (2560, 1, 1), (256, 20, 20), MATMUL, 262),
    (Correlation("upchannel"), (2560, 4, 4), (256, 11, 9), MATMUL, 66),
    (Correlation("pixelwise"), (96, 8, 8), (96, 16, 16), MATMUL, 64),
    (Correlation("groupwise", groups=64), (256, 6, 6), (256, 22, 22), MATMUL, 1),
    (Correlation("grouped", groups=4), (8, 1, 3, 3), (4, 9, 9), MATMUL, 179),
    (Correlation("depthwise"), (256, 5, 5), (256, 29, 29), TRICK, 5),
    (Correlation("depthwise", padding=2, dilation=2), (256, 5, 5), (256, 29, 29), TRICK, 5),
    (Correlation("grouped", groups=256), (256, 1, 5, 5), (256, 29, 29), TRICK, 5),
    (Correlation("depthwise"), (256, 90, 90), (256, 100, 100), TRICK, 1),
    (Correlation("naive"), (256, 14, 14), (256, 16, 16), TRICK, 1),
    (Correlation("naive", stride=5), (256, 3, 3), (256, 22, 22), TRICK, 1),
    (Correlation("pixelwise"), (8, 32, 32), (8, 128, 128), TRICK, 1),
    (Correlation("depthwise"), (16, 127, 127), (16, 255, 255), FOURIER, 1),
    (Correlation("depthwise"), (256, 63, 63), (256, 255, 255), FOURIER, 1),
    (Correlation("naive"), (3, 127, 127), (3, 255, 255), FOURIER, 1),
    (Correlation("naive"), (64, 21, 21), (64, 61, 61), FOURIER, 1),
    (Correlation("depthwise"), (16, 31, 31), (16, 63, 63), TRICK, 27),
    (Correlation("naive"), (256, 15, 15), (256, 31, 31), MATMUL, 4),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_the_way_follows_from_the_shapes_of_one_pair(choice: Any) -> None:
    correlation, template, search, way, pairs_per_call = choice
    chosen = plan(Problem(correlation, template, search))
    assert (chosen.way, chosen.pairs_per_call) == (way, pairs_per_call)
    assert chosen.why


def test_a_product_of_twice_the_bytes_may_be_too_large() -> None:
    correlation, template, search = Correlation("pixelwise"), (4, 32, 32), (4, 64, 64)
    assert MAX_PRODUCT_BYTES == 4 * 32 * 32 * 64 * 64
    assert plan(Problem(correlation, template, search)).way is MATMUL
    assert plan(Problem(correlation, template, search, torch.float64)).way is TRICK


def test_a_spectrum_may_be_too_large() -> None:
    correlation = Correlation("upchannel", k=128)
    assert plan(Problem(correlation, (128, 127, 127), (1, 255, 255))).way is FOURIER
    assert plan(Problem(Correlation(), (1024, 127, 127), (1024, 255, 255))).way is TRICK


def test_padding_counts_as_waste() -> None:
    assert plan(Problem(Correlation(), (8, 14, 14), (8, 20, 20))).way is MATMUL
    assert plan(Problem(Correlation(padding=8), (8, 30, 30), (8, 20, 20))).way is TRICK


def test_bfloat16_changes_products_alone() -> None:
    depthwise, large = Correlation("depthwise"), ((16, 127, 127), (16, 255, 255))
    assert plan(SIAMFC, precision="bfloat16").way is MATMUL_BFLOAT16
    assert plan(Problem(depthwise, (256, 5, 5), (256, 29, 29)), precision="bfloat16").way is TRICK
    assert plan(Problem(depthwise, *large), precision="bfloat16").way is FOURIER
    assert plan(SIAMFC, precision="bfloat16", one_search=True).way is ONE_SEARCH_BFLOAT16
    assert plan(SIAMFC, one_search=True).way is ONE_SEARCH


@pytest.mark.parametrize("kind", ["naive", "upchannel", "pixelwise"])
def test_one_search_region_is_computed_as_a_whole_where_channels_are_undivided(kind: str) -> None:
    assert plan(Problem(Correlation(kind), (8, 3, 3), (8, 9, 9)), one_search=True).is_one_search


@pytest.mark.parametrize("kind", ["depthwise", "groupwise"])
def test_one_search_region_is_nothing_special_where_they_are_divided(kind: str) -> None:
    groups = {"groups": 4} if kind == "groupwise" else {}
    assert not plan(Problem(Correlation(kind, **groups), (8, 3, 3), (8, 9, 9)), one_search=True).is_one_search


PAYING: list[tuple[Correlation, tuple[int, ...], tuple[int, int, int], int | None]] = [
    (Correlation(), (256, 6, 6), (256, 22, 22), 10),
    (Correlation("upchannel"), (80, 4, 4), (8, 20, 20), 3),
    (Correlation("pixelwise"), (96, 8, 8), (96, 16, 16), None),
    (Correlation("depthwise"), (256, 5, 5), (256, 29, 29), None),
    (Correlation(), (3, 127, 127), (3, 255, 255), None),
]


@pytest.mark.parametrize(("correlation", "template", "search", "least"), PAYING)
def test_one_search_region_pays_from_some_number_of_templates_on(
    correlation: Correlation,
    template: tuple[int, ...],
    search: tuple[int, int, int],
    least: int | None,
) -> None:
    problem = Problem(correlation, template, search)
    paying = [templates for templates in range(2, 100) if one_search_pays(problem, templates)]
    assert min(paying, default=None) == least


def test_pairs_that_take_many_calls_come_back_in_order() -> None:
    generator = torch.Generator().manual_seed(0)
    template, search = (torch.randn(shape, generator=generator) for shape in ((7, 5, 3, 3), (4, 5, 8, 8)))
    pairs = (6, 0, 3, 3, 5, 1, 2, 6, 0, 4, 4), (0, 3, 1, 1, 2, 0, 3, 3, 1, 2, 0)
    settings: Any
    for settings in ({"kind": "naive"}, {"kind": "depthwise"}, {"kind": "groupwise", "groups": 1}):
        at_once = xcorr(template, search, **settings, pairs=pairs)
        for pairs_per_call in (1, 3, 10):
            correlator = Correlator(Correlation(**settings), (5, 3, 3), (5, 8, 8))
            correlator.plan = replace(correlator.plan, pairs_per_call=pairs_per_call)
            assert torch.equal(correlator(template, search, *pairs), at_once)


def test_a_call_gets_no_more_than_its_pairs_use() -> None:
    seen: list[Operands] = []

    def watched(operands: Operands) -> torch.Tensor:
        seen.append(operands)
        return MATMUL.compute(operands)

    correlator = Correlator(Correlation(), (5, 3, 3), (5, 8, 8))
    correlator.plan = Plan(Way("watched", watched), 3, "")
    correlator(torch.zeros(7, 5, 3, 3), torch.zeros(4, 5, 8, 8), range(7), (0, 1, 2, 3, 0, 1, 2))
    assert [part.pairs for part in seen] == [3, 3, 1]


@pytest.mark.parametrize("index", [(0, 1, 2), (3, 2, 3), (5, 0), (5,), (4, 0, 4, 5), (5, 4, 3, 2, 1, 0)])
def test_the_rows_in_use_are_taken_once_each(index: tuple[int, ...]) -> None:
    rows = torch.arange(12.0).view(6, 2)
    used, place = used_rows(rows, index)
    assert torch.equal(used[list(place)], rows[list(index)])
    assert len(used) == len(set(index))
    is_one_run = max(index) - min(index) < len(used)
    assert (used.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()) == is_one_run


def test_the_plain_trick_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAN_VARIABLE, "trick")
    for one_search in (False, True):
        chosen = plan(SIAMFC, precision="bfloat16", one_search=one_search)
        assert (chosen.name, chosen.pairs_per_call) == ("trick", None)
    assert correlator_of(Correlation("pixelwise"), (8, 3, 3), (8, 9, 9)).plan.name == "trick"
    monkeypatch.setenv(PLAN_VARIABLE, "auto")
    assert correlator_of(Correlation("pixelwise"), (8, 3, 3), (8, 9, 9)).plan.name != "trick"


def test_an_unknown_plan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAN_VARIABLE, "matmull")
    with pytest.raises(InvalidArgument, match="SIAMCORR_PLAN: found 'matmull', expected auto or trick"):
        xcorr(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 5, 5))
