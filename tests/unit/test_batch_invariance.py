"""The same pair gives the same bits: alone, in any batch, at any place and beside any neighbours."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siamcorr.ops import Head, Prepared, batched_peaks, prepare, xcorr
from siamcorr.ops.direct import DIRECT, can_compute
from siamcorr.ops.fourier import FOURIER
from siamcorr.ops.matmul import MATMUL, MATMUL_BFLOAT16
from siamcorr.ops.operands import Problem, Way
from siamcorr.ops.planner import PRECISIONS
from siamcorr.ops.winograd import WINOGRAD, can_filter
from siamcorr.ops.xcorr import correlate
from siamcorr.shapes import KINDS, Correlation, resolve

WAYS = (DIRECT, DIRECT, MATMUL, MATMUL_BFLOAT16, FOURIER, WINOGRAD)
COMPILED = {DIRECT: can_compute, WINOGRAD: can_filter}
NEIGHBOURS = (torch.nan, torch.inf, 0.0, 1e38, 1e-42)


@dataclass(frozen=True)
class Call:
    """One ``xcorr`` call over a batch, its tensors left to :meth:`inputs`."""

    kind: str
    template: tuple[int, ...]
    search: tuple[int, int, int]
    settings: dict[str, Any]
    dtype: torch.dtype = torch.float32
    head: tuple[int, int] | None = None
    batch: int = 3
    offset: int = 0
    precision: str = "float32"
    way: Way | None = None

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return templates and search regions that start ``offset`` cells into their memory."""
        return _cells((self.batch, *self.template), self), _cells((self.batch, *self.search), self)

    def __call__(self, template: torch.Tensor, search: torch.Tensor, pairs: Any = None) -> torch.Tensor:
        head = None
        if self.head is not None:
            generator = torch.Generator().manual_seed(3)
            weight, bias = (torch.randn(shape, generator=generator) for shape in (self.head, self.head[:1]))
            head = Head(weight, bias)
        return correlate(
            template,
            search,
            Correlation(self.kind, **self.settings),
            gain=0.7,
            bias=0.3,
            head=head,
            pairs=pairs,
            precision=self.precision,
            way=self.way,
        )


def _cells(shape: tuple[int, ...], call: Call) -> torch.Tensor:
    cells = torch.Size(shape).numel()
    memory = torch.randn(cells + call.offset, generator=torch.Generator().manual_seed(cells))
    return memory.to(call.dtype)[call.offset :].view(shape)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Compare cell by cell, any NaN being like any other."""
    cells = torch.int64 if a.dtype == torch.float64 else torch.int32
    return a.shape == b.shape and bool(((a.view(cells) == b.view(cells)) | (a.isnan() & b.isnan())).all())


def check(call: Call, order: list[int], neighbour: float) -> None:
    template, search = call.inputs()
    together = call(template, search)
    reordered = call(template, search, pairs=(order, order))
    for at, index in enumerate(order):
        assert same_bits(reordered[at], together[index]), "in another order"
    for index in dict.fromkeys(order):
        one_template, one_search = template[index : index + 1], search[index : index + 1]
        assert same_bits(call(one_template, one_search)[0], together[index]), "alone"
        assert same_bits(call(one_template.clone(), one_search.clone())[0], together[index]), (
            "alone and moved"
        )
        beside = _beside(template, index, neighbour), _beside(search, index, neighbour)
        assert same_bits(call(*beside)[index], together[index]), f"beside {neighbour}"


def _beside(samples: torch.Tensor, index: int, neighbour: float) -> torch.Tensor:
    """Return ``samples`` with all cells but those of sample ``index`` set to ``neighbour``."""
    beside = torch.full(samples.shape, neighbour).to(samples.dtype)
    beside[index] = samples[index]
    return beside


def divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


@st.composite
def calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(KINDS))
    channels = draw(st.sampled_from([1, 2, 3, 5, 8, 12, 16, 17, 31, 64]))
    pair = st.tuples(st.integers(1, 6), st.integers(1, 6))
    chosen: dict[str, Any] = {}
    if kind != "pixelwise":
        chosen = {
            "padding": draw(st.sampled_from([(0, 0), (0, 0), (1, 1), (2, 0)])),
            "stride": draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (3, 5)])),
            "dilation": draw(st.sampled_from([(1, 1), (1, 1), (1, 2), (3, 2)])),
        }
    if kind in {"groupwise", "grouped"}:
        chosen["groups"] = draw(st.sampled_from(divisors(channels)))
    stored = {
        "upchannel": (channels * draw(st.sampled_from([1, 2, 5, 10])),),
        "grouped": (chosen.get("groups", 1) * draw(st.integers(1, 3)), channels // chosen.get("groups", 1)),
    }.get(kind, (channels,))
    template = draw(pair)
    reach = [
        step * (size - 1) + 1 for step, size in zip(chosen.get("dilation", (1, 1)), template, strict=True)
    ]
    spare = draw(st.tuples(*[st.sampled_from([0, 1, 2, 5, 13])] * 2))
    rows, cols = (size + more for size, more in zip(reach, spare, strict=True))
    search = (channels, rows, cols)
    outputs = resolve(Correlation(kind, **chosen), (*stored, *template), search).response[0]
    groups = draw(st.sampled_from([None, *divisors(outputs)]))
    dtype = draw(
        st.sampled_from([torch.float32, torch.float32, torch.float16, torch.bfloat16, torch.float64])
    )
    way = draw(st.sampled_from([None, None, None, *WAYS]))
    problem = Problem(Correlation(kind, **chosen), (*stored, *template), search)
    if way in COMPILED and not (COMPILED[way](problem) and dtype != torch.float64 and groups is None):
        way = None
    return Call(
        kind,
        (*stored, *template),
        search,
        chosen,
        dtype=dtype,
        head=None if groups is None else (groups * draw(st.integers(1, 3)), outputs // groups),
        batch=draw(st.sampled_from([2, 3, 5, 9, 33])),
        offset=draw(st.integers(0, 3)),
        precision="float32" if dtype == torch.float64 else draw(st.sampled_from(PRECISIONS)),
        way=None if way is MATMUL_BFLOAT16 and dtype == torch.float64 else way,
    )


# Each of these once gave other bits in another batch: a weight that did not start on a cache line.
ONE_CONVOLUTION_A_PAIR = Call("grouped", (10, 31, 3, 3), (31, 7, 3), {"groups": 1, "dilation": (3, 1)})
IN_FLOAT64 = Call(
    "grouped", (10, 1, 2, 6), (1, 3, 16), {"groups": 1, "dilation": (2, 3)}, dtype=torch.float64
)


@pytest.mark.parametrize("count", [1, 2])
def test_any_call_gives_the_same_bits_in_any_batch(count: int) -> None:
    @settings(deadline=None, max_examples=250 if count == 1 else 25)
    @given(
        call=calls(),
        order=st.lists(st.integers(0, 32), min_size=1, max_size=4),
        neighbour=st.sampled_from(NEIGHBOURS),
    )
    @example(call=ONE_CONVOLUTION_A_PAIR, order=[2, 1], neighbour=torch.nan)
    @example(call=IN_FLOAT64, order=[2, 1], neighbour=torch.nan)
    def holds(call: Call, order: list[int], neighbour: float) -> None:
        with threads(count):
            check(call, [index % call.batch for index in order], neighbour)

    holds()


@pytest.mark.parametrize(
    "call",
    [
        Call("naive", (256, 6, 6), (256, 22, 22), {}, batch=64),
        Call("depthwise", (256, 5, 5), (256, 29, 29), {}, batch=9, head=(2, 256)),
        Call("depthwise", (96, 4, 4), (96, 16, 16), {"padding": 1}, batch=33),
        Call("upchannel", (320, 4, 4), (32, 20, 20), {"k": 10}, batch=5, head=(10, 10)),
        Call("pixelwise", (96, 8, 8), (96, 16, 16), {}, batch=33),
        Call("naive", (64, 15, 15), (64, 16, 16), {}, batch=5),
        Call("naive", (256, 6, 6), (256, 22, 22), {}, batch=64, precision="bfloat16"),
        Call("naive", (256, 6, 6), (256, 22, 22), {}, batch=9, way=WINOGRAD),
        Call("upchannel", (320, 4, 4), (32, 20, 20), {"k": 10}, batch=5, way=WINOGRAD),
        Call("naive", (32, 17, 17), (32, 49, 49), {}, batch=5, dtype=torch.bfloat16, precision="bfloat16"),
        Call("depthwise", (16, 127, 127), (16, 255, 255), {}, batch=3),
        Call("naive", (3, 63, 63), (3, 127, 127), {"padding": 2, "stride": 2}, batch=5),
    ],
    ids=lambda call: f"{call.kind} {call.template[1:]} {call.way.name if call.way else ''}",
)
def test_at_the_sizes_of_trackers_too(call: Call) -> None:
    with threads(1):
        check(call, [call.batch - 1, 1], torch.nan)
    with threads(2):
        check(replace(call, batch=3), [2], torch.nan)


def test_a_new_thread_gives_the_bits_of_any_other() -> None:
    call = Call("naive", (8, 3, 3), (8, 9, 9), {})
    inputs = call.inputs()
    with threads(1), ThreadPoolExecutor(1) as pool:
        assert same_bits(pool.submit(call, *inputs).result(), call(*inputs))


def test_sharing_a_template_or_a_search_region_is_no_other_call(one_thread: None) -> None:
    for kind in ("naive", "depthwise", "pixelwise"):
        call = Call(kind, (12, 3, 3), (12, 9, 9), {}, batch=3)
        template, search = call.inputs()
        assert same_bits(call(template[:1], search), call(template[:1].repeat(3, 1, 1, 1), search))
        once = call(template, search[:1], pairs=([0, 1, 2], [0, 0, 0]))
        assert same_bits(once, call(template, search[:1].repeat(3, 1, 1, 1)))


@settings(deadline=None, max_examples=100)
@given(call=calls(), order=st.lists(st.integers(0, 32), min_size=1, max_size=4))
def test_templates_that_were_prepared_before_give_the_same_bits(call: Call, order: list[int]) -> None:
    call = replace(call, head=None, way=None, batch=min(call.batch, 5))
    template, search = call.inputs()
    index = [at % call.batch for at in order]
    options = {**call.settings, "precision": call.precision}
    with threads(1):
        expected = xcorr(template, search, call.kind, **options, pairs=(index, index))
        together = prepare(template, search.shape[1:], call.kind, **options)
        singly = [prepare(one[None], search.shape[1:], call.kind, **options) for one in template]
        for prepared in (together, Prepared.joined(singly), Prepared.joined(together.split())):
            assert same_bits(xcorr(prepared, search, pairs=(index, index)), expected)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    order=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    neighbour=st.sampled_from(NEIGHBOURS),
    top_k=st.integers(1, 9),
)
def test_peaks_do_not_depend_on_the_other_maps(
    seed: int, shape: tuple[int, int, int], order: list[int], neighbour: float, top_k: int
) -> None:
    maps = torch.randn(5, *shape, generator=torch.Generator().manual_seed(seed))
    maps[4] = neighbour
    found = functools.partial(batched_peaks, top_k=top_k)
    together = [repr(peaks) for peaks in found(maps)]
    assert [repr(peaks) for peaks in found(maps[order])] == [together[index] for index in order]


class Leaking(Call):
    """A call in which the number of templates shows in the answer's last bit."""

    def __call__(self, template: torch.Tensor, search: torch.Tensor, pairs: Any = None) -> torch.Tensor:
        return super().__call__(template, search, pairs) * (1 + len(template) * 2.0**-23)


class Contagious(Call):
    """A call in which one pair's NaN spreads to the others."""

    def __call__(self, template: torch.Tensor, search: torch.Tensor, pairs: Any = None) -> torch.Tensor:
        return super().__call__(template, search, pairs) + 0 * template.sum()


@pytest.mark.parametrize(("spoilt", "found"), [(Leaking, "alone"), (Contagious, "beside nan")])
def test_the_check_notices(spoilt: type[Call], found: str, one_thread: None) -> None:
    with pytest.raises(AssertionError, match=found):
        check(spoilt("naive", (4, 3, 3), (4, 6, 6), {}), [0, 2], torch.nan)
