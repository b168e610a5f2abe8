"""From a checked call to tasks: which templates can share a launch, whether they fit, and what they weigh.

Rules:
- A call is one task for each form of template in it: templates of different shapes cannot share a launch.
- What is wrong with a call beside these templates is found here, before anything is decoded or computed.
- It runs where the call is admitted, maybe in an event loop, so it looks at shapes and never at features.
- What is found out about one call of a family is not found out again for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, prod
from typing import TypeAlias, cast

import torch

from siamcorr.arguments import Array
from siamcorr.calls import CorrelateCall, Features, Frame, TemplateSource
from siamcorr.embed import Embedder, embedder_of
from siamcorr.errors import InvalidArgument
from siamcorr.ops import Head, one_search_pays
from siamcorr.ops.operands import Problem
from siamcorr.resident import Lease
from siamcorr.shapes import resolve
from siamcorr.slabs import RowForm
from siamcorr.tasks import (
    CorrelateKey,
    CorrelateTask,
    Epilogue,
    Load,
    PrepareTask,
    TemplateKey,
    TemplateTask,
)

__all__ = ["plan_correlate", "plan_templates"]

_FLOAT_BYTES = 4
_MAX_PLANS = 16  # of one family: for templates of so many forms

_Own: TypeAlias = tuple[str, RowForm, str | None]
"""What a template adds to a call's key: a tensor, its form, the frame's embedder. Far cheaper to hash."""


def plan_templates(
    source: TemplateSource,
    model: str | None,
    embedders: Mapping[str, Embedder],
    *,
    handle: str | None = None,
    rate: float = 1.0,
) -> PrepareTask | TemplateTask:
    """Return the task of making templates, or a generation of ``handle``; ``model`` embeds a frame's crops.

    Raises:
        ModelNotFound: the frame's embedder is not loaded.
    """
    if not isinstance(source, Frame):
        return TemplateTask(TemplateKey(None), 1, source, handle, rate)
    crop = embedder_of(model, embedders).crop
    task = TemplateTask(TemplateKey(model), source.count, {}, handle, rate)
    return PrepareTask(source, (task,), source.count * 3 * crop.template_px**2)


def plan_correlate(
    call: CorrelateCall,
    leases: Mapping[str, Lease],
    embedders: Mapping[str, Embedder],
    max_multiply_adds: float = inf,
    device: str = "cpu",
) -> list[CorrelateTask] | PrepareTask:
    """Return a call's tasks, or the frame that they wait for.

    Raises:
        InvalidArgument: the call does not fit the templates; names the field.
        ModelNotFound: the frame's embedder is not loaded.
    """
    owns = tuple(_own(call, lease) for lease in leases.values())
    plans = call.family.plans if call.family is not None and len(owns) == len(call.templates) else {}
    if owns not in plans:
        if len(plans) >= _MAX_PLANS:
            plans.clear()
        plans[owns] = _recipes(
            call, list(leases), owns, embedders, max_multiply_adds=max_multiply_adds, device=device
        )
    held = list(leases.values())
    tasks = [recipe.task(held) for recipe in cast(Sequence[_Recipe], plans[owns])]
    if isinstance(call.search, Frame):
        crops = [
            (len(task.search_slots), embedder_of(task.key.model, embedders).crop.search_px) for task in tasks
        ]
        return PrepareTask(call.search, tasks, sum(count * 3 * side**2 for count, side in crops))
    for task in tasks:
        task.regions = [call.search.regions[search] for search in task.search_slots]
    return tasks


@dataclass(slots=True, eq=False)
class _Recipe:
    """A task without its leases and regions: pairs, with each template and each search region once."""

    key: CorrelateKey
    load: Load
    members: dict[int, int] = field(default_factory=dict)
    searches: dict[int, int] = field(default_factory=dict)
    template_index: list[int] = field(default_factory=list)
    search_index: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)

    def add(self, member: int, search: int, slot: int) -> None:
        self.template_index.append(self.members.setdefault(member, len(self.members)))
        self.search_index.append(self.searches.setdefault(search, len(self.searches)))
        self.slots.append(slot)

    def choose_form(self, device: str) -> None:
        """Let many templates on one search region be computed together, where that pays."""
        key, pairs = self.key, len(self.slots)
        if len(self.searches) == 1 < pairs:
            problem = Problem(key.correlation, key.template.shape, key.search, device=device)
            self.key = replace(key, one_search=one_search_pays(problem, pairs, key.precision))

    def task(self, held: Sequence[Lease]) -> CorrelateTask:
        return CorrelateTask(
            self.key,
            self.load,
            [held[member] for member in self.members],
            self.template_index,
            self.search_index,
            self.slots,
            list(self.searches),
        )


def _recipes(
    call: CorrelateCall,
    handles: Sequence[str],
    owns: Sequence[_Own],
    embedders: Mapping[str, Embedder],
    *,
    max_multiply_adds: float,
    device: str,
) -> list[_Recipe]:
    epilogue = _epilogue(call)
    recipes: dict[_Own, _Recipe] = {}
    for own in owns:
        if own not in recipes:
            key = _key(call, own, embedders, epilogue)
            recipes[own] = _Recipe(key, _load(call, key))
    members = {handle: member for member, handle in enumerate(handles)}
    for slot, (template, search) in enumerate(zip(call.template_index, call.search_index, strict=True)):
        member = members[call.templates[template]]
        recipes[owns[member]].add(member, search, slot)
    used = [recipe for recipe in recipes.values() if recipe.slots]
    multiply_adds = sum(len(recipe.slots) * recipe.load.pair_multiply_adds for recipe in used)
    if multiply_adds > max_multiply_adds:
        expected = f"at most {max_multiply_adds:.3g} (max_multiply_adds)"
        raise InvalidArgument.found("request", f"{multiply_adds:.3g} multiply-adds", expected)
    for recipe in used:
        recipe.choose_form(device)
    return used


def _own(call: CorrelateCall, lease: Lease) -> _Own:
    name = call.tensor or next(iter(lease.rows))
    if name not in lease.rows or (not call.tensor and len(lease.rows) > 1):
        expected = f"one of the template's: {', '.join(lease.rows)}"
        raise InvalidArgument.found("tensor", repr(call.tensor or None), expected)
    model = (call.search.model or lease.model) if isinstance(call.search, Frame) else None
    return name, lease.rows[name].form, model


def _key(
    call: CorrelateCall, own: _Own, embedders: Mapping[str, Embedder], epilogue: Epilogue
) -> CorrelateKey:
    name, form, model = own
    if isinstance(call.search, Features):
        regions = call.search.regions
        shape, dtype = tuple(regions.shape[1:]), regions.dtype.name
    else:
        if model is None:
            expected = "the name of an embedder, because the template was made from features"
            raise InvalidArgument.found("model", "none", expected)
        embedder = embedder_of(model, embedders)
        shape, dtype = embedder.shape(embedder.crop.search_px), "uint8"
    return CorrelateKey(name, form, shape, dtype, model, call.correlation, call.precision, epilogue)


def _load(call: CorrelateCall, key: CorrelateKey) -> Load:
    resolved = resolve(key.correlation, key.template.shape, key.search, search_field="features")
    outputs, *cells = resolved.response
    weights, held = prod(resolved.weight), outputs
    if call.bias is not None and len(call.bias) not in {1, outputs}:
        raise InvalidArgument.found("bias", f"{len(call.bias)} numbers", f"1, or {outputs}: one an output")
    if call.head is not None:
        Head(torch.empty(call.head.weight.shape)).groups(outputs)
        weights += call.head.weight.size
        held += len(call.head.weight)  # for a moment there are both
    channels, rows, cols = key.search
    pad_rows, pad_cols = key.correlation.padding
    widened = channels * (rows + 2 * pad_rows) * (cols + 2 * pad_cols)
    is_as_uploaded = key.dtype == "float32" and pad_rows == pad_cols == 0
    epilogue = key.epilogue
    return Load(
        pair_bytes=held * prod(cells) * _FLOAT_BYTES,
        region_bytes=0 if is_as_uploaded else widened * _FLOAT_BYTES,
        shared_bytes=sum(len(raw) for raw in (epilogue.bias, epilogue.head, epilogue.head_bias) if raw),
        pair_multiply_adds=weights * prod(cells),
    )


def _epilogue(call: CorrelateCall) -> Epilogue:
    head = call.head
    return Epilogue(
        gain=call.gain,
        bias=_bytes(call.bias),
        head=_bytes(None if head is None else head.weight),
        head_outputs=0 if head is None else len(head.weight),
        head_bias=_bytes(None if head is None else head.bias),
        output=call.output,
    )


def _bytes(array: Array | None) -> bytes | None:
    return None if array is None else array.tobytes()
