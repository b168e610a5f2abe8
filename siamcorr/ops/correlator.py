"""One correlation, set up from shapes: how it is computed, what templates become, and then many calls.

Rules:

- All that follows from shapes is decided once: legality, the way, the head that is folded into templates.
- Below :func:`siamcorr.ops.xcorr` nothing checks tensors: whoever calls a :class:`Correlator` keeps to the
  shapes and dtypes that it was given.
- A template is prepared as if alone: its bits, and those of its answers, are the same whether it was prepared
  in a batch, before or in the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import torch

from siamcorr.errors import InvalidArgument
from siamcorr.ops.arguments import as_offset
from siamcorr.ops.direct import DIRECT
from siamcorr.ops.fold import fold_offset, fold_templates, folded
from siamcorr.ops.head import Head
from siamcorr.ops.matmul import MATMUL, MATMUL_BFLOAT16
from siamcorr.ops.operands import Form, Operands, Problem, Rows, Way, any_of
from siamcorr.ops.planner import Plan, as_precision, forced_plan, plan
from siamcorr.precision import in_full_precision
from siamcorr.shapes import Correlation, Shape

__all__ = ["Correlator"]

_TOLERATED_EXCESS = 1.75
"""How much more than fits is still done in one call: a call costs something by itself. Below 2, so that what
goes pair by pair still does."""


CPU = torch.device("cpu")


class Correlator:
    """The correlation of templates and search regions of one shape each.

    Two that were set up alike are equal.

    Attributes:
        problem: what is computed, as shapes: of correlation and head in one, where the head is folded.
        plan: how.
        form: what a template has to be prepared into, hashable, so that it can be a cache's key with the
            template; None where calls take templates as they are stored.
        dtype: of the responses.
        response_shape: of one pair, (O, H', W'), or (K, H', W') with a head.

    >>> correlator = Correlator(Correlation("upchannel"), (40, 3, 3), (4, 9, 9))
    >>> correlator.plan.name, correlator.form.shape, correlator.form.size_bytes, correlator.response_shape
    ('matmul', (1, 90, 4), 1440, (10, 7, 7))
    >>> one, other = (correlator.prepare(torch.ones(1, 40, 3, 3))[0] for _ in range(2))
    >>> correlator([one, other], torch.ones(1, 4, 9, 9), (0, 1, 1), (0, 0, 0)).shape
    torch.Size([3, 10, 7, 7])
    """

    def __init__(
        self,
        correlation: Correlation,
        template_shape: Shape,
        search_shape: Shape,
        *,
        template_dtype: torch.dtype = torch.float32,
        search_dtype: torch.dtype = torch.float32,
        precision: str = "float32",
        one_search: bool = False,
        head: Head | None = None,
        device: torch.device = CPU,
        way: Way | None = None,
    ) -> None:
        """Plan it.

        Args:
            correlation: the settings.
            template_shape: as stored, of one sample; see :func:`siamcorr.shapes.resolve`.
            search_shape: (C, H, W).
            template_dtype: that templates are stored in.
            search_dtype: that search regions come in.
            precision: ``float32``, or ``bfloat16`` for matrix products of bfloat16 numbers.
            one_search: whether the templates of each call all meet one search region. If so it may be
                computed as a whole, and answers depend, below 1e-5, on which templates are in the call.
            head: a head after the correlation.
            device: where it is computed.
            way: how, in place of what the planner picks.

        Raises:
            InvalidArgument: names ``template``, ``search``, ``groups``, ``k``, ``head``, ``precision`` or
                ``SIAMCORR_PLAN``.
        """
        self._dtypes = dtypes = template_dtype, search_dtype
        self._template, self._device = tuple(template_shape), device
        if as_precision(precision) != "float32" and torch.float64 in dtypes:
            raise InvalidArgument.found("precision", precision, "float32 for features in float64")
        is_double = torch.float64 in dtypes or (way is not None and way.dtype == torch.float64)
        self.dtype = torch.float64 if is_double else torch.float32
        problem = Problem(correlation, self._template, tuple(search_shape), self.dtype, device.type)
        self._setup = problem, *dtypes, precision, one_search, forced_plan(), way, _bytes_of(head)
        self._outputs = problem.resolved.response[0]
        self._last = None if head is None else _HeadStep(head, problem, way, device)
        self._folded: _HeadStep | None = None
        self.problem = problem
        if way is None:
            self.plan = plan(problem, precision=precision, one_search=one_search)
        else:
            self.plan = Plan(way, None, "asked for")
        if self._last is not None and way is None:
            self._fold_if_better(self._last, precision)
        self._dtype = self.plan.way.dtype or self.dtype
        self.form = self._form(template_dtype)

    def __eq__(self, other: object) -> bool:
        """Tell whether the other computes the same."""
        return isinstance(other, Correlator) and self._setup == other._setup

    def __hash__(self) -> int:
        """Hash what it was set up with."""
        return hash(self._setup)

    def __repr__(self) -> str:
        """Say what it correlates, and how."""
        problem, template, search = self.problem, self.problem.template, self.problem.search
        return f"<{problem.correlation.kind} {template} on {search} by {self.plan.name}>"

    @property
    def response_shape(self) -> tuple[int, int, int]:
        """The shape of one pair's response."""
        if self._last is not None:
            return self._last.correlator.problem.resolved.response
        return self.problem.resolved.response

    @property
    def is_folded(self) -> bool:
        """Whether the head is part of the templates."""
        return self._folded is not None

    def prepare(self, templates: torch.Tensor) -> torch.Tensor:
        """Return what calls take of stored templates (T, ...): (T, \\*form.shape) if there is one."""
        if self.form is None:
            return templates.contiguous()
        with in_full_precision(templates.device):
            if self._folded is not None:
                head, groups = self._folded.weight, self._folded.groups
                templates = fold_templates(templates.to(self.dtype), head, groups)
            return self.plan.way.prepare(self.problem, templates.to(self._dtype).contiguous())

    def warm_up(self) -> None:
        """Compute one pair of zeros, so that what is compiled for the shape is there before it is needed."""
        template = torch.zeros((1, *self._template), dtype=self._dtypes[0], device=self._device)
        search = torch.zeros((1, *self.problem.search), dtype=self._dtypes[1], device=self._device)
        self(self.prepare(template), search, (0,), (0,))

    def __call__(
        self,
        templates: Rows,
        search: Rows,
        template_index: Sequence[int],
        search_index: Sequence[int],
        *,
        gain: float = 1.0,
        bias: float | Sequence[float] | torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return ``head(gain * correlation + bias)`` of each pair: (B, \\*response_shape), contiguous.

        Args:
            templates: T of them, prepared if there is a ``form``: one tensor (T, ...), or a list, in which
                each may lie elsewhere.
            search: S of them: one tensor (S, C, H, W), or a list of contiguous ones.
            template_index: which template each of the B pairs takes.
            search_index: which search region each of them takes.
            gain: a finite number.
            bias: a number, or (O,) numbers, before the head.

        Raises:
            InvalidArgument: names ``bias``.
        """
        device = any_of(search).device
        offset = None if bias is None else as_offset(bias, self._outputs, device, self.dtype)
        with in_full_precision(device):
            pairs = tuple(template_index), tuple(search_index)
            search = search.contiguous() if isinstance(search, torch.Tensor) else search
            operands = Operands(self.problem, self._dtype, templates, search, *pairs)
            response = self._correlated(operands)
            if gain != 1:
                response.mul_(gain)
            if self._folded is not None:
                offset = self._folded.offset_after(offset)
            if offset is not None:
                response.add_(offset)
            return response if self._last is None else self._last(response)

    def _correlated(self, operands: Operands) -> torch.Tensor:
        compute, pairs_per_call = self.plan.way.compute, self.plan.pairs_per_call
        if pairs_per_call is None or operands.pairs <= pairs_per_call * _TOLERATED_EXCESS:
            return compute(operands).contiguous()
        shape = operands.pairs, *self.problem.resolved.response
        response = any_of(operands.search).new_empty(shape, dtype=self.dtype)
        step = ceil(operands.pairs / ceil(operands.pairs / pairs_per_call))
        for start in range(0, operands.pairs, step):
            stop = min(start + step, operands.pairs)
            response[start:stop] = compute(operands.part(start, stop))
        return response

    def _fold_if_better(self, last: _HeadStep, precision: str) -> None:
        in_one = folded(self.problem, last.weight, last.groups)
        if in_one is None:
            return
        chosen = plan(in_one, precision=precision)
        if chosen.way in {DIRECT, MATMUL, MATMUL_BFLOAT16}:
            self.problem, self.plan = in_one, chosen
            self._folded, self._last = last, None

    def _form(self, stored: torch.dtype) -> Form | None:
        form = self.plan.way.form(self.problem)
        if form is None and self._folded is None and stored == self._dtype:
            return None
        form = form or Form(self.problem.template, self._dtype, ("as stored",))
        correlation = self.problem.correlation
        source = *form.source, correlation.kind, self.problem.resolved.weight, self.problem.resolved.groups
        if self._folded is not None:
            source = *source, _raw(self._folded.weight)
        return replace(form, source=source)


def _bytes_of(head: Head | None) -> tuple[tuple[int, ...], bytes, bytes | None] | None:
    if head is None:
        return None
    bias = None if head.bias is None else _raw(head.bias)
    return tuple(head.weight.shape), _raw(head.weight), bias


def _raw(tensor: torch.Tensor) -> bytes:
    return tensor.detach().to("cpu", torch.float64).numpy().tobytes()


class _HeadStep:
    """A head, checked against the response that it is applied to: one template that all pairs share."""

    def __init__(self, head: Head, problem: Problem, way: Way | None, device: torch.device) -> None:
        response = problem.resolved.response
        self.groups = head.groups(response[0])
        self.weight = head.weight.detach().to(device, problem.dtype).contiguous()
        self.bias = None if head.bias is None else head.bias.detach().to(device, problem.dtype)[:, None, None]
        self.correlator = Correlator(
            Correlation("grouped", groups=self.groups),
            (*self.weight.shape, 1, 1),
            response,
            template_dtype=problem.dtype,
            search_dtype=problem.dtype,
            device=device,
            way=way,
        )

    def offset_after(self, offset: torch.Tensor | None) -> torch.Tensor | None:
        """Return what is to be added once it is folded in: its bias and what it makes of ``offset``."""
        if offset is None:
            return self.bias
        made = fold_offset(offset, self.weight, self.groups)
        return made if self.bias is None else made + self.bias

    def __call__(self, response: torch.Tensor) -> torch.Tensor:
        shared, each = (0,) * len(response), tuple(range(len(response)))
        rows = self.correlator.prepare(self.weight[None, :, :, None, None])
        headed = self.correlator(rows, response, shared, each)
        return headed if self.bias is None else headed.add_(self.bias)
