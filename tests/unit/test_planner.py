"""The planner: which way, how many pairs a call, and no more tensors than they use."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from siamcorr.errors import InvalidArgument
from siamcorr.ops import planner, xcorr
from siamcorr.ops.matmul import matmul
from siamcorr.ops.operands import Operands, Way, used_rows, view_as_weight
from siamcorr.ops.planner import MAX_PRODUCT_BYTES, PLAN_VARIABLE, Plan, plan, planned
from siamcorr.ops.reference import reference
from siamcorr.ops.trick import trick
from siamcorr.shapes import Correlation, resolve

pytestmark = pytest.mark.usefixtures("one_thread")


def operands(
    correlation: Correlation,
    template: tuple[int, ...],
    search: tuple[int, int, int],
    pairs: int = 32,
    dtype: torch.dtype = torch.float32,
) -> Operands:
    """Return pairs of one template and one search region: a plan takes its shapes alone."""
    resolved = resolve(correlation, template, search)
    weight = view_as_weight(torch.zeros(1, *template, dtype=dtype), correlation, resolved)
    both = (0,) * pairs
    return Operands(weight, torch.zeros(1, *search, dtype=dtype), both, both, correlation, resolved)


@pytest.mark.parametrize(
    ("correlation", "template", "search", "way", "pairs_per_call"),
    [
        (Correlation("naive"), (256, 6, 6), (256, 22, 22), matmul, 60),
        (Correlation("naive"), (1, 6, 6), (1, 22, 22), matmul, 60),
        (Correlation("upchannel"), (2560, 4, 4), (256, 20, 20), matmul, 16),
        (Correlation("pixelwise"), (96, 8, 8), (96, 16, 16), matmul, 64),
        (Correlation("groupwise", groups=64), (256, 6, 6), (256, 22, 22), matmul, 1),
        (Correlation("grouped", groups=4), (8, 1, 3, 3), (4, 9, 9), matmul, 179),
        (Correlation("depthwise"), (256, 5, 5), (256, 29, 29), trick, 5),
        (Correlation("grouped", groups=256), (256, 1, 5, 5), (256, 29, 29), trick, 5),
        (Correlation("depthwise"), (256, 90, 90), (256, 100, 100), trick, 1),
        (Correlation("naive"), (256, 14, 14), (256, 16, 16), trick, 1),
        (Correlation("naive", stride=5), (256, 3, 3), (256, 22, 22), trick, 1),
        (Correlation("pixelwise"), (8, 32, 32), (8, 128, 128), trick, 1),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_the_way_follows_from_the_shapes_of_one_pair(
    correlation: Correlation,
    template: tuple[int, ...],
    search: tuple[int, int, int],
    way: Way,
    pairs_per_call: int,
) -> None:
    for pairs in (1, 2, 4096):
        chosen = plan(operands(correlation, template, search, pairs))
        assert (chosen.way, chosen.pairs_per_call) == (way, pairs_per_call)


def test_a_product_of_twice_the_bytes_may_be_too_large() -> None:
    correlation, template, search = Correlation("pixelwise"), (4, 32, 32), (4, 64, 64)
    assert MAX_PRODUCT_BYTES == 4 * 32 * 32 * 64 * 64
    assert plan(operands(correlation, template, search)).way is matmul
    assert plan(operands(correlation, template, search, dtype=torch.float64)).way is trick


def test_padding_counts_as_waste() -> None:
    assert plan(operands(Correlation(), (8, 14, 14), (8, 20, 20))).way is matmul
    assert plan(operands(Correlation(padding=8), (8, 30, 30), (8, 20, 20))).way is trick


def many(kind: str) -> Operands:
    """Return 11 pairs, out of order and some twice, of 7 templates and 4 search regions."""
    generator = torch.Generator().manual_seed(0)
    template, search = (torch.randn(shape, generator=generator) for shape in ((7, 5, 3, 3), (4, 5, 8, 8)))
    correlation = Correlation(kind)
    resolved = resolve(correlation, template.shape[1:], search.shape[1:])
    weight = view_as_weight(template, correlation, resolved)
    template_index, search_index = (6, 0, 3, 3, 5, 1, 2, 6, 0, 4, 4), (0, 3, 1, 1, 2, 0, 3, 3, 1, 2, 0)
    return Operands(weight, search, template_index, search_index, correlation, resolved)


@pytest.mark.parametrize("kind", ["naive", "depthwise"])
def test_pairs_that_take_many_calls_come_back_in_order(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = planned(many(kind))
    torch.testing.assert_close(at_once.double(), reference(many(kind)), rtol=0, atol=1e-4)
    for pairs_per_call in (1, 3, 10):
        chosen = replace(plan(many(kind)), pairs_per_call=pairs_per_call)
        monkeypatch.setattr(planner, "plan", lambda _, chosen=chosen: chosen)
        assert torch.equal(planned(many(kind)), at_once)


def test_a_call_gets_no_more_than_its_pairs_use(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Operands] = []

    def watched(operands: Operands) -> torch.Tensor:
        seen.append(operands)
        return matmul(operands)

    monkeypatch.setattr(planner, "plan", lambda _: Plan(watched, 3))
    planned(many("naive"))
    assert [part.pairs for part in seen] == [3, 3, 3, 2]
    assert [len(part.weight) for part in seen] == [3, 3, 3, 1]
    assert [len(part.search) for part in seen] == [3, 3, 2, 2]


@pytest.mark.parametrize("index", [(0, 1, 2), (3, 2, 3), (5, 0), (5,), (4, 0, 4, 5)])
def test_the_rows_in_use_are_taken_once_each(index: tuple[int, ...]) -> None:
    rows = torch.arange(12.0).view(6, 2)
    used, place = used_rows(rows, index)
    assert torch.equal(used[list(place)], rows[list(index)])
    assert len(used) == len(set(index))
    is_one_run = max(index) - min(index) < len(used)
    assert (used.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()) == is_one_run


def test_the_plain_trick_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAN_VARIABLE, "trick")
    chosen = plan(operands(Correlation(), (8, 3, 3), (8, 9, 9), pairs=77))
    assert (chosen.way, chosen.pairs_per_call) == (trick, 77)
    monkeypatch.setenv(PLAN_VARIABLE, "auto")
    assert plan(operands(Correlation(), (8, 3, 3), (8, 9, 9))).way is matmul


def test_an_unknown_plan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAN_VARIABLE, "matmull")
    with pytest.raises(InvalidArgument, match="SIAMCORR_PLAN: found 'matmull', expected auto or trick"):
        xcorr(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 5, 5))
