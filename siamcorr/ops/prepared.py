"""Templates made ready once, for many calls on search regions of one shape.

>>> import torch
>>> from siamcorr.ops import prepare, xcorr
>>> template, search = torch.rand(2, 16, 127, 127), torch.rand(2, 16, 255, 255)
>>> prepared = prepare(template, search.shape[1:], kind="depthwise")
>>> prepared.plan.name, prepared.size_bytes
('fft', 8454144)
>>> torch.equal(xcorr(prepared, search), xcorr(template, search, kind="depthwise"))
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from siamcorr.errors import InvalidArgument
from siamcorr.ops.arguments import check_templates
from siamcorr.ops.correlator import Correlator
from siamcorr.ops.head import Head, as_head
from siamcorr.ops.operands import Form
from siamcorr.ops.planner import Plan, as_precision
from siamcorr.shapes import Correlation, IntPair, Shape

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Templates that ``correlator`` has prepared, one of ``rows`` each; to be joined and taken apart."""

    correlator: Correlator
    rows: tuple[torch.Tensor, ...]

    @property
    def form(self) -> Form | None:
        """What each template was made into; None if that is what is stored."""
        return self.correlator.form

    @property
    def plan(self) -> Plan:
        """How calls are computed."""
        return self.correlator.plan

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(row.numel() * row.element_size() for row in self.rows)

    def __len__(self) -> int:
        """Return T, the number of templates."""
        return len(self.rows)

    def split(self) -> list[Prepared]:
        """Return each template on its own, sharing memory."""
        return [Prepared(self.correlator, (row,)) for row in self.rows]

    @staticmethod
    def joined(parts: Sequence[Prepared]) -> Prepared:
        """Return all templates of ``parts``, without a copy.

        Raises:
            InvalidArgument: names ``template``, if there are none, or if not all are prepared alike.
        """
        if not parts:
            raise InvalidArgument.found("template", "none", "at least one prepared template")
        first = parts[0].correlator
        for part in parts[1:]:
            if part.correlator != first:
                raise InvalidArgument.found("template", repr(part.correlator), f"{first!r}, as the first")
        return Prepared(first, tuple(row for part in parts for row in part.rows))


def prepare(
    template: torch.Tensor,
    search_shape: Shape,
    kind: str = "naive",
    *,
    groups: int | None = None,
    k: int | None = None,
    padding: IntPair = 0,
    stride: IntPair = 1,
    dilation: IntPair = 1,
    head: Head | torch.Tensor | None = None,
    precision: str = "float32",
    one_search: bool = False,
) -> Prepared:
    """Return templates (T, ...) prepared for calls of :func:`~siamcorr.ops.xcorr` with these settings.

    Args:
        template: as ``xcorr`` takes it.
        search_shape: (C, H, W) of the search regions to come; their dtype is float32 or narrower, or
            float64 if that of ``template`` is.
        kind: this and the following as in ``xcorr``.
        groups: see there.
        k: see there.
        padding: see there.
        stride: see there.
        dilation: see there.
        head: see there.
        precision: see there.
        one_search: whether all templates of a call will meet one search region, to be computed as a whole.

    Raises:
        InvalidArgument: names the argument.
    """
    correlation = Correlation(kind, groups=groups, k=k, padding=padding, stride=stride, dilation=dilation)
    check_templates(correlation, template)
    correlator = Correlator(
        correlation,
        tuple(template.shape[1:]),
        tuple(search_shape),
        template_dtype=template.dtype,
        search_dtype=torch.float32,
        precision=as_precision(precision),
        one_search=one_search,
        head=None if head is None else as_head(head),
        device=template.device,
    )
    return Prepared(correlator, correlator.prepare(template).unbind())
