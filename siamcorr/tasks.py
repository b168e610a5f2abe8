"""What the device is asked to do: a call becomes tasks, and tasks of equal keys share a launch.

Rules:
- A key holds all that a launch has in common: shapes, dtypes, kind, model, and what is done to the response.
  So a batch never mixes them, and everything after the gather is done once for the whole batch.
- A call is one task for each form of template in it: templates of different shapes cannot share a launch.
- What is wrong with a call beside these templates is found here, before anything is decoded or computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import torch

from siamcorr.answers import MapToFrame
from siamcorr.arguments import Array
from siamcorr.calls import CorrelateCall, Features, Frame, Output, TemplateSource
from siamcorr.embed import Embedder
from siamcorr.errors import InvalidArgument, ModelNotFound
from siamcorr.ops import Head
from siamcorr.resident import Lease
from siamcorr.shapes import Correlation, Shape, resolve
from siamcorr.slabs import RowForm

__all__ = [
    "CorrelateKey",
    "CorrelateTask",
    "Epilogue",
    "PrepareTask",
    "TemplateKey",
    "TemplateTask",
    "embedder_of",
    "plan_correlate",
    "plan_templates",
]


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What is done to a response: ``head(gain * response + bias)``, and what is kept of it.

    Arrays are held as their bytes (float32), so that equal ones of different callers are equal.
    """

    gain: float
    bias: bytes | None
    head: bytes | None
    head_outputs: int
    head_bias: bytes | None
    output: Output


@dataclass(frozen=True, slots=True)
class CorrelateKey:
    """What all pairs of one launch share.

    ``search`` is the shape (C, H, W) of the search features, ``dtype`` that of what is uploaded. If that is
    crops, ``model`` is the embedder in between.
    """

    tensor: str
    template: RowForm
    search: Shape
    dtype: str
    model: str | None
    correlation: Correlation
    epilogue: Epilogue


@dataclass(slots=True, eq=False)
class CorrelateTask:
    """Pairs of one key: pair i is ``leases[template_index[i]]`` on ``regions[search_index[i]]``.

    ``regions`` are (C, H, W) features, or (S, S, 3) crops once they are cut out, and ``places`` where their
    response maps lie in the frame. ``search_slots`` says which of the call's search regions they are,
    ``slots`` which of the call's responses the pairs are.
    """

    key: CorrelateKey
    response_bytes: int
    leases: list[Lease] = field(default_factory=list)
    template_index: list[int] = field(default_factory=list)
    search_index: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    search_slots: list[int] = field(default_factory=list)
    regions: Sequence[Array] = ()
    places: Sequence[MapToFrame] = ()

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.slots)

    @property
    def size_bytes(self) -> int:
        """Bytes that are held until it is done: what goes up, and the responses before and after the head."""
        return sum(region.nbytes for region in self.regions) + self.size * self.response_bytes


@dataclass(frozen=True, slots=True)
class TemplateKey:
    """Which embedder makes templates from crops, or None for those that come as features."""

    model: str | None


@dataclass(slots=True, eq=False)
class TemplateTask:
    """``count`` templates to make, or a generation of ``handle``, from ``features`` or from one crop each."""

    key: TemplateKey
    count: int
    features: Mapping[str, Array]
    handle: str | None = None
    rate: float = 1.0
    crops: Sequence[Array] = ()

    @property
    def size(self) -> int:
        """Number of templates."""
        return self.count

    @property
    def size_bytes(self) -> int:
        """Bytes that go up to the device."""
        return sum(array.nbytes for array in [*self.features.values(), *self.crops])


@dataclass(slots=True, eq=False)
class PrepareTask:
    """A frame to decode, and the ``tasks`` that wait for crops of it: ``crop_bytes`` of them."""

    frame: Frame
    tasks: Sequence[CorrelateTask | TemplateTask]
    crop_bytes: int
    size: int = 1

    @property
    def key(self) -> int:
        """Frames share nothing."""
        return id(self)

    @property
    def size_bytes(self) -> int:
        """Bytes of the image as it came, and of all crops."""
        image = self.frame.image
        return (len(image) if isinstance(image, bytes) else image.nbytes) + self.crop_bytes


def embedder_of(name: str | None, embedders: Mapping[str, Embedder]) -> Embedder:
    """Find an embedder.

    Raises:
        ModelNotFound: nothing of that name is loaded.
    """
    if name is not None and name in embedders:
        return embedders[name]
    loaded = ", ".join(embedders) or "none"
    raise ModelNotFound(f"model: found {name!r:.80}, expected one that is loaded: {loaded}", field="model")


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
    call: CorrelateCall, leases: Mapping[str, Lease], embedders: Mapping[str, Embedder]
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
            tasks[own] = _Gathering(key, _response_bytes(call, key))
        by_handle[handle] = tasks[own]
    for slot, (template, search) in enumerate(zip(call.template_index, call.search_index, strict=True)):
        handle = call.templates[template]
        by_handle[handle].add(leases[handle], search, slot)
    planned = [gathering.task for gathering in tasks.values() if gathering.task.slots]
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

    def __init__(self, key: CorrelateKey, response_bytes: int) -> None:
        self.task = CorrelateTask(key, response_bytes)
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


_Own: TypeAlias = tuple[str, RowForm, str | None]
"""What a template adds to a call's key: a tensor, its form, the frame's embedder. Far cheaper to hash."""


def _own(call: CorrelateCall, lease: Lease) -> _Own:
    name = call.tensor or next(iter(lease.rows))
    if name not in lease.rows or (not call.tensor and len(lease.rows) > 1):
        expected = f"one of the template's: {', '.join(lease.rows)}"
        raise InvalidArgument.found("tensor", repr(call.tensor), expected)
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
            raise InvalidArgument.found("model", "none", "a name: the template was made from features")
        embedder = embedder_of(model, embedders)
        shape, dtype = embedder.shape(embedder.crop.search_px), "uint8"
    return CorrelateKey(name, form, shape, dtype, model, call.correlation, epilogue)


def _response_bytes(call: CorrelateCall, key: CorrelateKey) -> int:
    resolved = resolve(key.correlation, key.template.shape, key.search, search_field="features")
    outputs, *cells = resolved.response
    if call.bias is not None and len(call.bias) not in {1, outputs}:
        raise InvalidArgument.found("bias", f"{len(call.bias)} numbers", f"1, or {outputs}: one an output")
    if call.head is not None:
        Head(torch.empty(call.head.weight.shape)).groups(outputs)
        outputs += len(call.head.weight)  # for a moment there are both
    return prod((outputs, *cells)) * torch.float32.itemsize


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
