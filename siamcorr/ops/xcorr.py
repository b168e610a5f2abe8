"""``xcorr``: templates slid over search regions, for all kinds, many pairs at once.

Rules:

- All that can be wrong is refused first, by name; see :mod:`siamcorr.ops.arguments`.
- A pair's answer has the same bits alone, in any batch, at any place in it and beside any neighbours. Another
  machine, another version of torch or another number of threads may round differently.
- Many templates on one search region, without ``pairs``, are a form of call of their own: they may be
  computed as a whole, and differ from the same pairs in other calls by under 1e-5.
- float16 and bfloat16 are widened first: products and sums are float32, and so is the answer. Neither an
  autocast region around the call nor a GPU's TF32 convolutions change that. Only ``precision="bfloat16"``
  narrows, and only what matrix products take.
- ``xcorr_reference`` is the same call with each step in float64 and in loops. They differ in nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from siamcorr.arguments import as_number
from siamcorr.errors import InvalidArgument
from siamcorr.ops.arguments import Indices, check_device, check_regions, check_templates, paired
from siamcorr.ops.correlator import Correlator
from siamcorr.ops.correlators import correlator_of
from siamcorr.ops.head import Head, as_head
from siamcorr.ops.operands import Way, used_rows
from siamcorr.ops.planner import one_search_pays
from siamcorr.ops.prepared import Prepared
from siamcorr.ops.reference import REFERENCE
from siamcorr.shapes import Correlation, IntPair

__all__ = ["correlate", "xcorr", "xcorr_reference"]


def xcorr(
    template: torch.Tensor | Prepared,
    search: torch.Tensor,
    kind: str = "naive",
    *,
    groups: int | None = None,
    k: int | None = None,
    padding: IntPair = 0,
    stride: IntPair = 1,
    dilation: IntPair = 1,
    gain: float = 1.0,
    bias: float | Sequence[float] | torch.Tensor | None = None,
    pairs: tuple[Indices, Indices] | None = None,
    head: Head | torch.Tensor | None = None,
    precision: str = "float32",
) -> torch.Tensor:
    """Correlate pairs of template and search region: ``head(gain * correlation + bias)``.

    Args:
        template: (T, C, h, w); (T, k*C, h, w) for ``upchannel``; (T, O, C/g, h, w) for ``grouped``. float32,
            float16, bfloat16 or float64. Or what :func:`~siamcorr.ops.prepare` made of them: then only
            ``pairs``, ``gain`` and ``bias`` are left to say.
        search: (S, C, H, W), one of the same dtypes, on the same device.
        kind: one of :data:`siamcorr.shapes.KINDS`, which also says what comes out.
        groups: for ``groupwise`` and ``grouped``.
        k: for ``upchannel``: checked against the channels.
        padding: zeros around the search region, in cells: an integer, or (row, col).
        stride: in cells, as ``padding``.
        dilation: in cells, as ``padding``.
        gain: a finite number. SiamFC takes 1e-3.
        bias: a number, or (O,) numbers.
        pairs: (template indices, search indices) of one length B. Without it T and S are equal and i meets i,
            or one of them is 1 and is shared.
        head: a :class:`Head`, or its weight.
        precision: ``float32``, or ``bfloat16``: matrix products take bfloat16 numbers, in half the time and
            with relative errors below 1e-2. Where the planner takes no product, as for depthwise, it changes
            nothing: see :mod:`siamcorr.ops.planner`. It excludes float64.

    Returns:
        (B, O, H', W'), or (B, K, H', W') with a head; float32, or float64 if template or search is. It has
        no gradient.

    Raises:
        InvalidArgument: names the argument, what was found and what was expected.

    >>> z, x = torch.ones(1, 256, 6, 6), torch.ones(3, 256, 22, 22)
    >>> response = xcorr(z, x, gain=1e-3)                                # SiamFC: one template, three scales
    >>> response.shape, round(response[0, 0, 0, 0].item(), 3)
    (torch.Size([3, 1, 17, 17]), 9.216)
    >>> xcorr(torch.ones(5, 256, 6, 6), x, pairs=([0, 4], [2, 2]), kind="depthwise").shape
    torch.Size([2, 256, 17, 17])
    """
    correlation = Correlation(kind, groups=groups, k=k, padding=padding, stride=stride, dilation=dilation)
    if isinstance(template, Prepared):
        if correlation != Correlation() or head is not None or precision != "float32":
            raise InvalidArgument.found(
                "template",
                "prepared templates and settings",
                "only pairs, gain and bias: the rest is prepared",
            )
        return _of_prepared(template, search, gain=gain, bias=bias, pairs=pairs)
    return correlate(
        template, search, correlation, gain=gain, bias=bias, pairs=pairs, head=head, precision=precision
    )


def xcorr_reference(
    template: torch.Tensor,
    search: torch.Tensor,
    kind: str = "naive",
    *,
    groups: int | None = None,
    k: int | None = None,
    padding: IntPair = 0,
    stride: IntPair = 1,
    dilation: IntPair = 1,
    gain: float = 1.0,
    bias: float | Sequence[float] | torch.Tensor | None = None,
    pairs: tuple[Indices, Indices] | None = None,
    head: Head | torch.Tensor | None = None,
    precision: str = "float32",
) -> torch.Tensor:
    """Do what :func:`xcorr` does, with the same arguments and errors, slowly: in plain float64 loops.

    Returns:
        (B, O, H', W'), or (B, K, H', W') with a head; always float64, whatever ``precision`` says.

    >>> z, x = torch.rand(2, 8, 3, 3), torch.rand(2, 8, 9, 9)
    >>> torch.allclose(xcorr(z, x, kind="depthwise").double(), xcorr_reference(z, x, kind="depthwise"))
    True
    """
    correlation = Correlation(kind, groups=groups, k=k, padding=padding, stride=stride, dilation=dilation)
    return correlate(
        template,
        search,
        correlation,
        gain=gain,
        bias=bias,
        pairs=pairs,
        head=head,
        precision=precision,
        way=REFERENCE,
    )


def correlate(
    template: torch.Tensor,
    search: torch.Tensor,
    correlation: Correlation,
    *,
    gain: float = 1.0,
    bias: float | Sequence[float] | torch.Tensor | None = None,
    pairs: tuple[Indices, Indices] | None = None,
    head: Head | torch.Tensor | None = None,
    precision: str = "float32",
    way: Way | None = None,
) -> torch.Tensor:
    """Do what :func:`xcorr` does, correlation and head computed by ``way`` if one is given.

    Raises:
        InvalidArgument: names the argument.
    """
    check_templates(correlation, template)
    check_regions(search)
    check_device(template.device, search)
    setup = functools.partial(
        _correlator_for, template, search, correlation, head=head, way=way, precision=precision
    )
    correlator = setup()
    template_index, search_index = paired(pairs, len(template), len(search))
    gain = as_number(gain, "gain")
    is_one_search = pairs is None and way is None and len(search) == 1 < len(template)
    if is_one_search and one_search_pays(correlator.problem, len(template), precision):
        correlator = setup(one_search=True)
    template, template_index = used_rows(template.detach(), template_index)
    search, search_index = used_rows(search.detach(), search_index)
    rows = correlator.prepare(template)
    return correlator(rows, search, template_index, search_index, gain=gain, bias=bias)


def _correlator_for(
    template: torch.Tensor,
    search: torch.Tensor,
    correlation: Correlation,
    *,
    head: Head | torch.Tensor | None,
    way: Way | None,
    precision: str,
    one_search: bool = False,
) -> Correlator:
    shapes = tuple(template.shape[1:]), tuple(search.shape[1:])
    settings: dict[str, Any] = {
        "template_dtype": template.dtype,
        "search_dtype": search.dtype,
        "precision": precision,
        "one_search": one_search,
        "device": search.device,
    }
    if head is None and way is None:
        return correlator_of(correlation, *shapes, **settings)
    settings["head"] = None if head is None else as_head(head)
    return Correlator(correlation, *shapes, **settings, way=way)


def _of_prepared(
    prepared: Prepared,
    search: torch.Tensor,
    *,
    gain: float,
    bias: float | Sequence[float] | torch.Tensor | None,
    pairs: tuple[Indices, Indices] | None,
) -> torch.Tensor:
    check_regions(search)
    check_device(prepared.rows[0].device, search)
    correlator = prepared.correlator
    if search.shape[1:] != correlator.problem.search:
        expected = f"(S, {', '.join(map(str, correlator.problem.search))}), as templates are prepared for"
        raise InvalidArgument.found("search", f"shape {tuple(search.shape)}", expected)
    if search.dtype == torch.float64 != correlator.dtype:
        raise InvalidArgument.found(
            "search", "dtype torch.float64", "what templates are prepared for: float32"
        )
    template_index, search_index = paired(pairs, len(prepared), len(search))
    if correlator.plan.is_one_search and len(set(search_index)) > 1:
        raise InvalidArgument.found(
            "search", f"{len(set(search_index))} search regions", "one, as prepared for"
        )
    gain = as_number(gain, "gain")
    return correlator(prepared.rows, search.detach(), template_index, search_index, gain=gain, bias=bias)
