"""From a checked call to tasks: which templates can share a launch, whether they fit, and what they weigh.

Rules:
- A call is one task for each form of template in it: templates of different shapes cannot share a launch.
- What is wrong with a call beside these templates is found here, before anything is decoded or computed.
- It runs where the call is admitted, maybe in an event loop, so it looks at shapes and never at features.
- What is found out about one call of a family is not found out again for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf, prod
from typing import TypeAlias, cast

import torch

from siamcorr.arguments import Array
from siamcorr.calls import DEFAULT_TENSOR, CorrelateCall, Features, Frame, TemplateSource
from siamcorr.embed import Model, find_model, network_of
from siamcorr.errors import InvalidArgument
from siamcorr.ops import Head
from siamcorr.recipes import Recipe
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
    held = list(leases.values())
    owns = tuple(_network_owns(call, held, models) if call.is_network else _owns(call, held))
    plans = call.family.plans if call.family is not None and len(owns) == len(call.templates) else {}
    if owns not in plans:
        if len(plans) >= _MAX_PLANS:
            plans.clear()
        plans[owns] = _recipes(
            call, list(leases), owns, models, max_multiply_adds=max_multiply_adds, device=device
        )
    tasks = [recipe.task(held) for recipe in cast(Sequence[Recipe], plans[owns])]
    if isinstance(call.search, Frame):
        crops = [
            (len(task.search_slots), find_model(task.key.model, models).crop.search_px) for task in tasks
        ]
        return PrepareTask(call.search, tasks, sum(count * 3 * side**2 for count, side in crops))
    for task in tasks:
        task.regions = [call.search.regions[search] for search in task.search_slots]
    return tasks


def _recipes(
    call: CorrelateCall,
    handles: Sequence[str],
    owns: Sequence[_Own],
    models: Mapping[str, Model],
    *,
    max_multiply_adds: float,
    device: str,
) -> list[Recipe]:
    member_of = {handle: member for member, handle in enumerate(handles)}
    templates = [member_of[handle] for handle in call.templates]
    members = [templates[template] for template in call.template_index]
    slots_of: dict[_Own, list[int]] = {own: [] for own in owns}
    for slot, member in enumerate(members):
        slots_of[owns[member]].append(slot)
    used = []
    for own, slots in slots_of.items():
        recipe = _recipe(call, own, models)
        if slots:
            recipe.take([members[slot] for slot in slots], [call.search_index[slot] for slot in slots], slots)
            used.append(recipe)
    check_work(sum(recipe.multiply_adds for recipe in used), max_multiply_adds)
    for recipe in used:
        recipe.choose_form(device)
    return used


def _recipe(call: CorrelateCall, own: _Own, models: Mapping[str, Model]) -> Recipe:
    name, form, model = own
    if call.is_network:
        return _network_recipe(find_model(model, models), str(model), call.output.map_dtype)
    key = _key(call, name, cast(RowForm, form), model, models)
    return Recipe(key, _load(call, key, None if model is None else find_model(model, models)))


def _owns(call: CorrelateCall, leases: Iterable[Lease]) -> Iterator[_Own]:
    is_frame = isinstance(call.search, Frame)
    for lease in leases:
        name = call.tensor or (DEFAULT_TENSOR if DEFAULT_TENSOR in lease.rows else next(iter(lease.rows)))
        is_named = bool(call.tensor) or name == DEFAULT_TENSOR or len(lease.rows) == 1
        if name not in lease.rows or not is_named:
            expected = f"one of the template's: {', '.join(lease.rows)}"
            raise InvalidArgument.found("tensor", repr(call.tensor or None), expected)
        yield name, lease.rows[name].form, _model_of(call, lease) if is_frame else None


def _network_owns(
    call: CorrelateCall, leases: Iterable[Lease], models: Mapping[str, Model]
) -> Iterator[_Own]:
    sound: dict[str, Mapping[str, RowForm]] = {}  # by model; most templates share their forms
    for lease in leases:
        model = _model_of(call, lease)
        forms = {name: row.form for name, row in lease.rows.items()}
        if sound.get(model) != forms:
            _check_made_for(find_model(model, models), forms)
            sound[model] = forms
        lease.check_made_by(model)
        yield "", None, model


def _model_of(call: CorrelateCall, lease: Lease) -> str:
    model = cast(Frame, call.search).model or lease.model
    if model is None:
        expected = "the name of a model, because the template was made from features"
        raise InvalidArgument.found("model", "none", expected)
    return model


def _check_made_for(model: Model, found: Mapping[str, RowForm]) -> None:
    """Refuse a template that a network could not use."""
    network_of(model)
    expected = {name: RowForm(shape, torch.float32) for name, shape in model.template_shapes.items()}
    if found != expected:
        shapes, wanted = (
            ", ".join(f"{tensor} {form.shape}" for tensor, form in forms.items())
            for forms in (found, expected)
        )
        raise InvalidArgument.found("template", f"tensors {shapes:.120}", f"{model.name}'s {wanted:.120}")


def _network_recipe(model: Model, name: str, dtype: str) -> Recipe:
    network = network_of(model)
    load = Load(
        pair_bytes=network.pair_bytes,
        region_bytes=_feature_bytes(model.search_shapes),
        shared_bytes=0,
        pair_multiply_adds=network.pair_multiply_adds,
        region_multiply_adds=model.search_multiply_adds,
    )
    return Recipe(NetworkKey(name, dtype), load)


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
