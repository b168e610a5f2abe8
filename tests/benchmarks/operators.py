"""Rows about the operators alone, one thread, each against the plain trick or against float64."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

import torch

from benchmarks.timing import Pair, Row, race
from siamcorr.ops import Head, prepare, xcorr, xcorr_reference
from siamcorr.ops.direct import DIRECT, can_compute
from siamcorr.ops.fourier import FOURIER
from siamcorr.ops.matmul import MATMUL
from siamcorr.ops.operands import Problem
from siamcorr.ops.trick import TRICK
from siamcorr.ops.winograd import WINOGRAD, can_filter
from siamcorr.ops.xcorr import correlate
from siamcorr.shapes import Correlation

__all__ = ["ROWS"]

TURNS = 7
SIAMFC = (256, 6, 6), (256, 22, 22)
GRID = [
    (kind, template, search, batch)
    for (kind, template, search), batch in product(
        [
            ("naive", (256, 6, 6), (256, 22, 22)),
            ("naive", (96, 8, 8), (96, 16, 16)),
            ("naive", (32, 17, 17), (32, 49, 49)),
            ("depthwise", (256, 4, 4), (256, 24, 24)),
            ("depthwise", (256, 5, 5), (256, 29, 29)),
            ("depthwise", (256, 7, 7), (256, 31, 31)),
            ("depthwise", (96, 4, 4), (96, 18, 18)),
            ("depthwise", (16, 31, 31), (16, 63, 63)),
            ("upchannel", (2560, 4, 4), (256, 20, 20)),
            ("upchannel", (1280, 4, 4), (256, 22, 22)),
            ("pixelwise", (96, 8, 8), (96, 16, 16)),
            ("pixelwise", (48, 8, 8), (48, 16, 16)),
        ],
        (1, 2, 8, 16, 32),
    )
] + [
    (kind, template, search, batch)
    for (kind, template, search), batch in product(
        [
            ("depthwise", (16, 127, 127), (16, 255, 255)),
            ("depthwise", (4, 63, 63), (4, 127, 127)),
            ("naive", (16, 31, 31), (16, 63, 63)),
            ("naive", (64, 21, 21), (64, 61, 61)),
        ],
        (1, 2),
    )
]
NOTICEABLE_S, TOLERATED_S = 100e-6, 15e-6


def _pairs(
    template: tuple[int, ...], search: tuple[int, ...], templates: int, regions: int
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(templates * 100 + regions)
    return (
        torch.randn((templates, *template), generator=generator),
        torch.randn((regions, *search), generator=generator),
    )


@contextmanager
def _trick_only() -> Iterator[None]:
    os.environ["SIAMCORR_PLAN"] = "trick"
    try:
        yield
    finally:
        del os.environ["SIAMCORR_PLAN"]


def _by_trick(call: Callable[[], torch.Tensor]) -> torch.Tensor:
    with _trick_only():
        return call()


def _against_trick(
    case: str, what: str, at_least: float, template: torch.Tensor, search: torch.Tensor, **options: Any
) -> Row:
    call = partial(xcorr, template, search, **options)
    timed = race(partial(_by_trick, call), call, turns=TURNS)
    return Row(case, what, timed.ratio, at_least, _note(timed))


def _note(timed: Pair) -> str:
    return f"{timed.slow_s * 1e3:.2f} ms by the trick, {timed.fast_s * 1e3:.2f} ms planned"


def naive_pairs() -> Iterator[Row]:
    """Row a."""
    yield _against_trick("a", "naive, 32 pairs, 256x6x6 on 256x22x22", 11, *_pairs(*SIAMFC, 32, 32))


def naive_shared_search() -> Iterator[Row]:
    """Row b; and beside it with templates that were prepared before, as a server's are."""
    template, search = _pairs(*SIAMFC, 32, 1)
    call = partial(xcorr, template, search)
    slow = partial(_by_trick, call)
    timed = race(slow, call, turns=TURNS)
    prepared = prepare(template, SIAMFC[1], one_search=True)
    ahead = race(slow, partial(xcorr, prepared, search), turns=TURNS)
    note = f"{_note(timed)}, by {prepared.plan.name}; {ahead.ratio:.1f}x with prepared templates"
    yield Row("b", "naive, 32 templates on one search region", timed.ratio, 40, note)


def naive_shared_template() -> Iterator[Row]:
    """Row c."""
    yield _against_trick("c", "naive, one template on 32 search regions", 11, *_pairs(*SIAMFC, 1, 32))


def depthwise_pairs() -> Iterator[Row]:
    """Row d."""
    for size, region in ((5, 29), (7, 31)):
        template, search = _pairs((256, size, size), (256, region, region), 32, 32)
        what = f"depthwise, 32 pairs, 256x{size}x{size} on 256x{region}x{region}"
        yield _against_trick("d", what, 1.2, template, search, kind="depthwise")


def depthwise_with_head() -> Iterator[Row]:
    """Row e."""
    head = Head(torch.randn(1, 256, generator=torch.Generator().manual_seed(1)))
    for size, region, at_least in ((5, 29, 1.2), (7, 31, 1.05)):
        template, search = _pairs((256, size, size), (256, region, region), 32, 32)
        what = f"depthwise and a head of 1 output, 256x{size}x{size}"
        yield _against_trick("e", what, at_least, template, search, kind="depthwise", head=head)


def transforms() -> Iterator[Row]:
    """Row f: the templates are transformed before, as a server's are."""
    shape = (16, 127, 127), (16, 255, 255)
    for batch, at_least in ((1, 10), (8, 5)):
        template, search = _pairs(*shape, batch, batch)
        prepared = prepare(template, shape[1], kind="depthwise")
        what = f"fft, depthwise, {batch} pairs, 16x127x127 on 16x255x255"
        slow = partial(_by_trick, partial(xcorr, template, search, "depthwise"))
        timed = race(slow, partial(xcorr, prepared, search), turns=TURNS)
        yield Row("f", what, timed.ratio, at_least, f"{_note(timed)}, by {prepared.plan.name}")


def bfloat16() -> Iterator[Row]:
    """Row h: search regions that come in bfloat16, prepared templates; and beside it xcorr of float32."""
    template, search = _pairs(*SIAMFC, 32, 32)
    exact = xcorr(template.double(), search.double())
    slow, narrow = partial(_by_trick, partial(xcorr, template, search)), torch.bfloat16
    prepared = prepare(template.to(narrow), SIAMFC[1], precision="bfloat16")
    fast = partial(xcorr, prepared, search.to(narrow))
    from_float32 = partial(xcorr, template, search, precision="bfloat16")
    timed, narrowed = race(slow, fast, turns=TURNS), race(slow, from_float32, turns=TURNS)
    error = float((fast().double() - exact).norm() / exact.norm())
    note = f"{_note(timed)}, by {prepared.plan.name}; {narrowed.ratio:.1f}x from float32; error {error:.1e}"
    ratio = timed.ratio if error < 1e-2 else 0.0
    yield Row("h", "naive in bfloat16, 32 pairs, 256x6x6 on 256x22x22", ratio, 24, note)


def grid() -> Iterator[Row]:
    """Row g: the worst cell where the trick takes 100 us or more; elsewhere 15 us more are tolerated."""
    worst = (float("inf"), "")
    for kind, template, search, batch in GRID:
        z, x = _pairs(template, search, batch, batch)
        call = partial(xcorr, z, x, kind)
        timed = race(partial(_by_trick, call), call, turns=5, turn_s=0.03)
        ratio = timed.ratio
        if timed.slow_s < NOTICEABLE_S:
            ratio = 1.0 if timed.fast_s - timed.slow_s <= TOLERATED_S else timed.slow_s / timed.fast_s
        worst = min(worst, (ratio, f"{kind} {template} on {search}, {batch} pairs"))
    yield Row("g", f"the worst of {len(GRID)} cells", worst[0], 0.95, worst[1])


def accuracy() -> Iterator[Row]:
    """Row i: 1e-5 over the norm of the difference over the norm, of every way that could be taken."""
    worst = (0.0, "")
    for kind, template, search, batch in GRID:
        if batch > 2 or max(template) > 1000:
            continue
        z, x = _pairs(template, search, batch, batch)
        correlation, exact = Correlation(kind), xcorr_reference(z, x, kind)
        ways = [TRICK, FOURIER]
        if kind != "depthwise" and max(template) < 100:
            ways.append(MATMUL)
        problem = Problem(correlation, template, search)
        ways += [way for way, can in ((DIRECT, can_compute), (WINOGRAD, can_filter)) if can(problem)]
        for way in ways:
            error = float((correlate(z, x, correlation, way=way) - exact).norm() / exact.norm())
            worst = max(
                worst, (error, f"{error:.1e} {way.name}, {kind} {template} on {search}, {batch} pairs")
            )
    yield Row("i", "1e-5 over the largest relative error", 1e-5 / worst[0], 1.0, worst[1])


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "a": naive_pairs,
    "b": naive_shared_search,
    "c": naive_shared_template,
    "d": depthwise_pairs,
    "e": depthwise_with_head,
    "f": transforms,
    "g": grid,
    "h": bfloat16,
    "i": accuracy,
}
