"""Search regions that lie anywhere, each by itself: the same bits as in one tensor, by every way."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from siamcorr.ops import Correlator
from siamcorr.ops.direct import DIRECT, can_compute
from siamcorr.ops.fourier import FOURIER
from siamcorr.ops.matmul import MATMUL, MATMUL_BFLOAT16
from siamcorr.ops.one_search import ONE_SEARCH
from siamcorr.ops.operands import CACHE_LINE_BYTES, Operands, Problem, Way
from siamcorr.ops.reference import REFERENCE
from siamcorr.ops.staging import regions
from siamcorr.ops.trick import TRICK
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.usefixtures("one_thread")

WAYS = (DIRECT, MATMUL, MATMUL_BFLOAT16, FOURIER, ONE_SEARCH, TRICK, REFERENCE, None)
KINDS: dict[str, dict[str, Any]] = {"naive": {}, "depthwise": {}, "groupwise": {"groups": 3}}
TEMPLATE, SEARCH = (6, 3, 3), (6, 9, 11)
CASES = [(way, kind) for way in WAYS for kind in KINDS if way is not ONE_SEARCH or kind == "naive"]
PAIRS = (0, 1, 1, 0, 1), (2, 0, 1, 1, 2)
ONE_REGION = (0, 1, 1, 0, 1), (1, 1, 1, 1, 1)


def lying_at(cells: int, region: torch.Tensor) -> torch.Tensor:
    """Return the same numbers, so many cells after where torch begins a tensor."""
    memory = region.new_empty(cells + region.numel())
    memory[cells:] = region.flatten()
    return memory[cells:].view(region.shape)


@pytest.mark.parametrize("offsets", [(0, 0, 0), (4, 0, 1), (7, 3, 5)])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("way", "kind"), CASES, ids=lambda one: getattr(one, "name", one))
def test_regions_may_lie_anywhere(
    way: Way | None, kind: str, dtype: torch.dtype, padding: int, offsets: tuple[int, ...]
) -> None:
    correlation = Correlation(kind, padding=padding, **KINDS[kind])
    if way is DIRECT and not can_compute(Problem(correlation, TEMPLATE, SEARCH)):
        pytest.skip("no compiler")
    generator = torch.Generator().manual_seed(2)
    templates = torch.randn(2, *TEMPLATE, generator=generator)
    together = torch.randn(3, *SEARCH, generator=generator).to(dtype)
    apart = [lying_at(*place) for place in zip(offsets, together, strict=True)]
    correlator = Correlator(correlation, TEMPLATE, SEARCH, search_dtype=dtype, way=way)
    rows = list(correlator.prepare(templates))
    pairs = ONE_REGION if way is ONE_SEARCH else PAIRS
    assert torch.equal(correlator(rows, apart, *pairs), correlator(rows, together, *pairs))


@pytest.mark.parametrize("on_cache_line", [False, True])
def test_a_region_is_copied_only_for_a_way_that_needs_it_on_a_cache_line(on_cache_line: bool) -> None:
    apart = [lying_at(cells, torch.rand(SEARCH)) for cells in (0, 4)]
    problem, pairs = Problem(Correlation(), TEMPLATE, SEARCH), ((0, 0, 0), (1, 0, 1))
    operands = Operands(problem, torch.float32, torch.rand(1, *TEMPLATE), apart, *pairs)
    staged = regions(operands, torch.float32, on_cache_line=on_cache_line)
    for at, region in zip(operands.search_index, staged, strict=True):
        assert torch.equal(region, apart[at])
        if on_cache_line:
            assert region.data_ptr() % CACHE_LINE_BYTES == 0
        else:
            assert region.data_ptr() == apart[at].data_ptr()
