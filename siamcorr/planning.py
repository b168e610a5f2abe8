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
from siamcorr.calls import DEFAULT_TENSOR, CorrelateCall, Features, Frame, TemplateSource
from siamcorr.embed import Model, find_model, network_of
from siamcorr.errors import InvalidArgument
from siamcorr.ops import Head, one_search_pays
from siamcorr.ops.operands import Problem
from siamcorr.resident import Lease
from siamcorr.shapes import Shape, resolve
from siamcorr.slabs import RowForm
from siamcorr.tasks import (
    CorrelateKey,
    CorrelateTask,
    Epilogue,
    Load,
    NetworkKey,
    PrepareTask,
    TemplateKey,
    TemplateTask,
    check_work,
)

__all__ = ["plan_correlate", "plan_templates"]

_FLOAT_BYTES = 4
_MAX_PLANS = 16  # of one family: for templates of so many forms

_Own: TypeAlias = tuple[str, RowForm | None, str | None]
"""What a template adds to a call's key: a tensor, its form, the frame's model. Far cheaper to hash.

A whole network takes all of a template's tensors: then there is a model, and the two others are not.
"""


def plan_templates(
    source: TemplateSource,
    model: str | None,
    models: Mapping[str, Model],
    max_multiply_adds: float = inf,
    *,
    updated: Lease | None = None,
    rate: float = 1.0,
) -> PrepareTask | TemplateTask:
    """Return the task of making templates, or a generation of ``updated``; ``model`` embeds a frame's crops.

    Raises:
        InvalidArgument: names ``request``: to embed them is too much work; or ``model``: another made it.
        ModelNotFound: the frame's embedder is not loaded.
    """
    handle = None if updated is None else updated.handle
    if not isinstance(source, Frame):
        return TemplateTask(TemplateKey(None), 1, source, handle, rate)
    if updated is not None:
        updated.check_made_by(model)
    made_by, count = find_model(model, models), source.count
    check_work(count * made_by.template_multiply_adds, max_multiply_adds)
    made_bytes = count * _feature_bytes(made_by.template_shapes)
    task = TemplateTask(TemplateKey(model), count, {}, handle, rate, made_bytes)
    return PrepareTask(source, (task,), count * 3 * made_by.template_px**2)


def plan_correlate(
    call: CorrelateCall,
    leases: Mapping[str, Lease],
    models: Mapping[str, Model],
    max_multiply_adds: float = inf,
    device: str = "cpu",
) -> list[CorrelateTask] | PrepareTask:
    """Return a call's tasks, or the frame that they wait for.

    Raises:
        InvalidArgument: the call does not fit the templates; names the field.
        ModelNotFound: the frame's embedder is not loaded.
    """
    owns = tuple(_own(call, lease, models) for lease in leases.values())
    plans = call.family.plans if call.family is not None and len(owns) == len(call.templates) else {}
    if owns not in plans:
        if len(plans) >= _MAX_PLANS:
            plans.clear()
        plans[owns] = _recipes(
            call, list(leases), owns, models, max_multiply_adds=max_multiply_adds, device=device
        )
    held = list(leases.values())
    tasks = [recipe.task(held) for recipe in cast(Sequence[_Recipe], plans[owns])]
    if isinstance(call.search, Frame):
        crops = [
            (len(task.search_slots), find_model(task.key.model, models).crop.search_px) for task in tasks
        ]
        return PrepareTask(call.search, tasks, sum(count * 3 * side**2 for count, side in crops))
    for task in tasks:
        task.regions = [call.search.regions[search] for search in task.search_slots]
    return tasks


@dataclass(slots=True, eq=False)
class _Recipe:
    """A task without its leases and regions: pairs, with each template and each search region once."""

    key: CorrelateKey | NetworkKey
    load: Load
    members: dict[int, int] = field(default_factory=dict)
    searches: dict[int, int] = field(default_factory=dict)
    template_index: list[int] = field(default_factory=list)
    search_index: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)

    @property
    def multiply_adds(self) -> int:
        return self.load.multiply_adds(len(self.slots), len(self.searches))

    def add(self, member: int, search: int, slot: int) -> None:
        self.template_index.append(self.members.setdefault(member, len(self.members)))
        self.search_index.append(self.searches.setdefault(search, len(self.searches)))
        self.slots.append(slot)

    def choose_form(self, device: str) -> None:
        """Let many templates on one search region be computed together, where that pays."""
        key, pairs = self.key, len(self.slots)
        if isinstance(key, CorrelateKey) and len(self.searches) == 1 < pairs:
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
    models: Mapping[str, Model],
    *,
    max_multiply_adds: float,
    device: str,
) -> list[_Recipe]:
    recipes: dict[_Own, _Recipe] = {}
    for own in owns:
        if own not in recipes:
            recipes[own] = _recipe(call, own, models)
    members = {handle: member for member, handle in enumerate(handles)}
    for slot, (template, search) in enumerate(zip(call.template_index, call.search_index, strict=True)):
        member = members[call.templates[template]]
        recipes[owns[member]].add(member, search, slot)
    used = [recipe for recipe in recipes.values() if recipe.slots]
    check_work(sum(recipe.multiply_adds for recipe in used), max_multiply_adds)
    for recipe in used:
        recipe.choose_form(device)
    return used


def _recipe(call: CorrelateCall, own: _Own, models: Mapping[str, Model]) -> _Recipe:
    name, form, model = own
    if call.is_network:
        return _network_recipe(find_model(model, models), str(model), call.output.map_dtype)
    key = _key(call, name, cast(RowForm, form), model, models)
    return _Recipe(key, _load(call, key, None if model is None else find_model(model, models)))


def _own(call: CorrelateCall, lease: Lease, models: Mapping[str, Model]) -> _Own:
    name = call.tensor or (DEFAULT_TENSOR if DEFAULT_TENSOR in lease.rows else next(iter(lease.rows)))
    if call.is_network:
        model = _model_of(call, lease)
        _check_made_for(model, find_model(model, models), lease)
        return "", None, model
    is_named = bool(call.tensor) or name == DEFAULT_TENSOR or len(lease.rows) == 1
    if name not in lease.rows or not is_named:
        expected = f"one of the template's: {', '.join(lease.rows)}"
        raise InvalidArgument.found("tensor", repr(call.tensor or None), expected)
    return name, lease.rows[name].form, _model_of(call, lease) if isinstance(call.search, Frame) else None


def _model_of(call: CorrelateCall, lease: Lease) -> str:
    model = cast(Frame, call.search).model or lease.model
    if model is None:
        expected = "the name of a model, because the template was made from features"
        raise InvalidArgument.found("model", "none", expected)
    return model


def _check_made_for(name: str, model: Model, lease: Lease) -> None:
    """Refuse a template that a network could not use, or that another with the same shapes has made."""
    network_of(model)
    found = {name: row.form for name, row in lease.rows.items()}
    expected = {name: RowForm(shape, torch.float32) for name, shape in model.template_shapes.items()}
    if found != expected:
        shapes, wanted = (
            ", ".join(f"{tensor} {form.shape}" for tensor, form in forms.items())
            for forms in (found, expected)
        )
        raise InvalidArgument.found("template", f"tensors {shapes:.120}", f"{model.name}'s {wanted:.120}")
    lease.check_made_by(name)


def _network_recipe(model: Model, name: str, dtype: str) -> _Recipe:
    network = network_of(model)
    load = Load(
        pair_bytes=network.pair_bytes,
        region_bytes=_feature_bytes(model.search_shapes),
        shared_bytes=0,
        pair_multiply_adds=network.pair_multiply_adds,
        region_multiply_adds=model.search_multiply_adds,
    )
    return _Recipe(NetworkKey(name, dtype), load)


def _key(
    call: CorrelateCall, name: str, form: RowForm, model: str | None, models: Mapping[str, Model]
) -> CorrelateKey:
    if isinstance(call.search, Features):
        regions = call.search.regions
        shape, dtype = tuple(regions.shape[1:]), regions.dtype.name
    else:
        shape, dtype = _search_shape(find_model(model, models), name), "uint8"
    return CorrelateKey(name, form, shape, dtype, model, call.correlation, call.precision, _epilogue(call))


def _search_shape(model: Model, tensor: str) -> Shape:
    if tensor not in model.search_shapes:
        expected = f"one of {model.name}'s search region: {', '.join(model.search_shapes)}"
        raise InvalidArgument.found("tensor", repr(tensor)[:80], expected)
    return model.search_shapes[tensor]


def _load(call: CorrelateCall, key: CorrelateKey, model: Model | None) -> Load:
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
    is_copied = pad_rows > 0 or pad_cols > 0 or (model is None and key.dtype != "float32")
    embedded_bytes = 0 if model is None else _feature_bytes(model.search_shapes)
    epilogue = key.epilogue
    return Load(
        pair_bytes=held * prod(cells) * _FLOAT_BYTES,
        region_bytes=embedded_bytes + (widened * _FLOAT_BYTES if is_copied else 0),
        shared_bytes=sum(len(raw) for raw in (epilogue.bias, epilogue.head, epilogue.head_bias) if raw),
        pair_multiply_adds=weights * prod(cells),
        region_multiply_adds=0 if model is None else model.search_multiply_adds,
    )


def _feature_bytes(shapes: Mapping[str, Shape]) -> int:
    return sum(map(prod, shapes.values())) * _FLOAT_BYTES


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
