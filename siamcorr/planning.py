"""From a checked call to tasks: which templates can share a launch, whether they fit, and what they weigh.

Rules:
- A call is one task for each form of template in it: templates of different shapes cannot share a launch.
- What is wrong with a call beside these templates is found here, before anything is decoded or computed.
- It runs where the call is admitted, maybe in an event loop, so it looks at shapes and never at features.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, prod
from typing import TypeAlias

import torch

from siamcorr.arguments import Array
from siamcorr.calls import CorrelateCall, Features, Frame, TemplateSource
from siamcorr.embed import Embedder, embedder_of
from siamcorr.errors import InvalidArgument
from siamcorr.ops import Head
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
    *,
    max_multiply_adds: float = inf,
) -> list[CorrelateTask] | PrepareTask:
    """Return a call's tasks, or the frame that they wait for.

    Raises:
        InvalidArgument: the call does not fit the templates; names the field.
        ModelNotFound: the frame's embedder is not loaded.
    """
    epilogue = _epilogue(call)
    tasks: dict[_Own, _Gathering] = {}
    by_handle = {}
    for handle, lease in leases.items():
        own = _own(call, lease)
        if own not in tasks:
            key = _key(call, own, embedders, epilogue)
            tasks[own] = _Gathering(key, _load(call, key))
        by_handle[handle] = tasks[own]
    for slot, (template, search) in enumerate(zip(call.template_index, call.search_index, strict=True)):
        handle = call.templates[template]
        by_handle[handle].add(leases[handle], search, slot)
    planned = [gathering.task for gathering in tasks.values() if gathering.task.slots]
    multiply_adds = sum(task.multiply_adds for task in planned)
    if multiply_adds > max_multiply_adds:
        expected = f"at most {max_multiply_adds:.3g} (max_multiply_adds)"
        raise InvalidArgument.found("request", f"{multiply_adds:.3g} multiply-adds", expected)
    if isinstance(call.search, Frame):
        crops = [
            (len(task.search_slots), embedder_of(task.key.model, embedders).crop.search_px)
            for task in planned
        ]
        return PrepareTask(call.search, planned, sum(count * 3 * side**2 for count, side in crops))
    for task in planned:
        task.regions = [call.search.regions[search] for search in task.search_slots]
    return planned


class _Gathering:
    """A task while pairs are added to it, each template and each search region once."""

    def __init__(self, key: CorrelateKey, load: Load) -> None:
        self.task = CorrelateTask(key, load)
        self._templates: dict[str, int] = {}
        self._searches: dict[int, int] = {}

    def add(self, lease: Lease, search: int, slot: int) -> None:
        if lease.handle not in self._templates:
            self._templates[lease.handle] = len(self._templates)
            self.task.leases.append(lease)
        if search not in self._searches:
            self._searches[search] = len(self._searches)
            self.task.search_slots.append(search)
        self.task.template_index.append(self._templates[lease.handle])
        self.task.search_index.append(self._searches[search])
        self.task.slots.append(slot)


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
    return CorrelateKey(name, form, shape, dtype, model, call.correlation, epilogue)


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
