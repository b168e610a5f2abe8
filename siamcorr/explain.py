"""``siamcorr-explain``: how a correlation would be computed here, how long that takes, and how far it is from
what the machine can do.

The limit is a roofline: multiply-adds at the rate of a large matrix product, or bytes at the rate of a large
copy, whichever takes longer, both measured in the same run. Work is counted of the definition, each number
read or written once; so a way that transforms, and multiplies less, can be above 100 %, and one that reads
from the cache what it has read before is not below for it.

Source: Williams et al., Roofline, 2009.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import log10
from statistics import median

import torch

from siamcorr.closed_pipe import quiet_when_unread
from siamcorr.cost import cost
from siamcorr.errors import InvalidArgument
from siamcorr.ops import Correlator, Head, one_search_pays
from siamcorr.ops.planner import PRECISIONS
from siamcorr.shapes import KINDS, Correlation, Shape

__all__ = ["Explanation", "Machine", "explain", "main", "measure_machine"]

_PRODUCT_SIZE, _COPIED_BYTES = 1024, 64 << 20
_TURN_S = 0.01
_PREFIXES = ("", "k", "M", "G")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the device did at best: multiply-adds a second (float32), bytes a second read and written."""

    multiply_adds_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a call is, how it is computed, and how fast. ``response_shape`` is that of all pairs.

    ``prepared_bytes`` are those of a template that has to be prepared, 0 where it is used as it is stored.
    ``limit_s`` is the least time that the machine needs, ``share`` that over the measured time.
    """

    response_shape: tuple[int, ...]
    multiply_adds: int
    bytes_moved: int
    way: str
    why: str
    prepared_bytes: int
    measured_s: float
    repeats: int
    machine: Machine
    limit_s: float
    share: float

    def __str__(self) -> str:
        """Return aligned lines."""
        pairs, machine = self.response_shape[0], self.machine
        per_pair = f", {_seconds(self.measured_s / pairs)} a pair" if pairs > 1 else ""
        prepared = (
            f"{_count(self.prepared_bytes)}B a template" if self.prepared_bytes else "nothing: as stored"
        )
        lines = {
            "response": " x ".join(map(str, self.response_shape)),
            "work": f"{_count(self.multiply_adds)} multiply-adds, {_count(self.bytes_moved)}B",
            "way": f"{self.way}: {self.why}",
            "prepared": prepared,
            "measured": f"{_seconds(self.measured_s)} a call{per_pair} (median of {self.repeats})",
            "machine": f"{_count(machine.multiply_adds_per_s)} multiply-adds/s, "
            f"{_count(machine.bytes_per_s)}B/s read and written",
            "limit": f"{_seconds(self.limit_s)}: measured at {self.share:.0%} of the machine's speed",
        }
        return "\n".join(f"{name:<10}{text}" for name, text in lines.items())


def explain(
    correlation: Correlation,
    template_shape: Shape,
    search_shape: Shape,
    *,
    pairs: int = 1,
    one_search: bool = False,
    precision: str = "float32",
    head_outputs: int | None = None,
    repeats: int = 15,
) -> Explanation:
    """Plan, compute and time one call on random numbers, with the templates prepared before.

    Args:
        correlation: the settings.
        template_shape: as stored, of one sample.
        search_shape: (C, H, W).
        pairs: B.
        one_search: whether all pairs meet one search region.
        precision: ``float32`` or ``bfloat16``.
        head_outputs: K of a head over all channels, or None.
        repeats: how many times it is measured.

    Raises:
        InvalidArgument: names what cannot be.
    """
    for field, value in (("pairs", pairs), ("repeats", repeats), ("head", head_outputs)):
        if value is not None and value < 1:
            raise InvalidArgument.found(field, value, "at least 1")
    setup = _setup(correlation, template_shape, search_shape, precision, head_outputs)
    if one_search and one_search_pays(setup.problem, pairs, precision):
        setup = _setup(correlation, template_shape, search_shape, precision, head_outputs, one_search=True)
    generator = torch.Generator().manual_seed(0)
    templates = setup.prepare(torch.randn((pairs, *template_shape), generator=generator))
    search = torch.randn((1 if one_search else pairs, *search_shape), generator=generator)
    each = range(pairs)
    regions = [0] * pairs if one_search else each
    measured_s = _median_s(lambda: setup(templates, search, each, regions), repeats)
    multiply_adds, bytes_moved = _work(setup, pairs, head_outputs)
    if one_search:
        bytes_moved -= (pairs - 1) * search.numel() * search.element_size()
    machine = measure_machine()
    limit_s = max(multiply_adds / machine.multiply_adds_per_s, bytes_moved / machine.bytes_per_s)
    return Explanation(
        response_shape=(pairs, *setup.response_shape),
        multiply_adds=multiply_adds,
        bytes_moved=bytes_moved,
        way=setup.plan.name,
        why=setup.plan.why + (", the head folded into the templates" if setup.is_folded else ""),
        prepared_bytes=0 if setup.form is None else setup.form.size_bytes,
        measured_s=measured_s,
        repeats=repeats,
        machine=machine,
        limit_s=limit_s,
        share=limit_s / measured_s,
    )


def measure_machine(repeats: int = 5) -> Machine:
    """Measure a large matrix product and a large copy, on as many threads as torch has."""
    left, right = torch.ones(2, _PRODUCT_SIZE, _PRODUCT_SIZE)
    product, copied = torch.empty_like(left), torch.zeros(2, _COPIED_BYTES // 4)
    product_s = _median_s(lambda: torch.mm(left, right, out=product), repeats)
    copy_s = _median_s(lambda: copied[0].copy_(copied[1]), repeats)
    return Machine(_PRODUCT_SIZE**3 / product_s, 2 * _COPIED_BYTES / copy_s)


def _setup(
    correlation: Correlation,
    template: Shape,
    search: Shape,
    precision: str,
    head_outputs: int | None,
    *,
    one_search: bool = False,
) -> Correlator:
    if head_outputs is None:
        return Correlator(correlation, template, search, precision=precision, one_search=one_search)
    outputs = Correlator(correlation, template, search).response_shape[0]
    head = Head(torch.ones(head_outputs, outputs))
    return Correlator(correlation, template, search, precision=precision, one_search=one_search, head=head)


def _work(setup: Correlator, pairs: int, head_outputs: int | None) -> tuple[int, int]:
    problem = setup.problem
    head = None if head_outputs is None or setup.is_folded else (head_outputs, problem.resolved.response[0])
    counted = cost(problem.correlation, problem.template, problem.search, batch=pairs, head_shape=head)
    return counted.multiply_adds, counted.bytes_moved


def _median_s(call: Callable[[], object], repeats: int) -> float:
    """Return the median of turns of a hundredth of a second or so, after one call that does not count."""
    call()
    began_s = time.perf_counter()
    call()
    calls = max(1, int(_TURN_S / (time.perf_counter() - began_s)))
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - began_s) / calls)
    return median(times)


def _count(number: float) -> str:
    power = min(len(_PREFIXES) - 1, int(log10(max(number, 1)) / 3))
    return f"{number / 1000**power:.3g} {_PREFIXES[power]}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def _sizes(text: str) -> Shape:
    try:
        return tuple(int(size) for size in text.split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text[:80]!r}, expected sizes such as 256x6x6") from error


def _pair(text: str) -> int | tuple[int, int]:
    try:
        row, *col = (int(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text[:80]!r}, expected 2 or 2,1") from error
    return (row, *col) if col else row  # type: ignore[return-value] # of another length: Correlation refuses


@quiet_when_unread
def main(arguments: Sequence[str] | None = None) -> None:
    """Explain the call that the command line describes."""
    parser = argparse.ArgumentParser("siamcorr-explain", description="Say how a correlation is computed.")
    add = parser.add_argument
    add("--kind", default="naive", help=", ".join(KINDS))
    add("--template", type=_sizes, required=True, metavar="CxHxW", help="as stored: 256x6x6")
    add("--search", type=_sizes, required=True, metavar="CxHxW", help="256x22x22")
    add("--pairs", type=int, default=1, help="pairs in the call (1)")
    add("--one-search", action="store_true", help="all templates meet one search region")
    for name in ("groups", "k"):
        add(f"--{name}", type=int)
    for name, default in (("padding", 0), ("stride", 1), ("dilation", 1)):
        add(f"--{name}", type=_pair, default=default, metavar="N[,N]", help=f"rows, columns ({default})")
    add("--precision", default="float32", help=", ".join(PRECISIONS))
    add("--head", type=int, metavar="K", help="outputs of a 1x1 head over all channels")
    add("--threads", type=int, default=1, help="threads to compute on (1)")
    add("--repeats", type=int, default=15, help="how many times to measure (15)")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    settings = {name: getattr(options, name) for name in ("groups", "k", "padding", "stride", "dilation")}
    try:
        if options.threads < 1:
            raise InvalidArgument.found("threads", options.threads, "at least 1")
        torch.set_num_threads(options.threads)
        explanation = explain(
            Correlation(options.kind, **settings),
            options.template,
            options.search,
            pairs=options.pairs,
            one_search=options.one_search,
            precision=options.precision,
            head_outputs=options.head,
            repeats=options.repeats,
        )
    except (InvalidArgument, RuntimeError) as error:
        parser.error(str(error))
    print(json.dumps(asdict(explanation)) if options.json else explanation)  # noqa: T201 - a command line
