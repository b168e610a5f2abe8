"""What one launch computes: a batch of tasks of one key, on the device's thread. It knows no queue.

Rules:
- An answer does not depend on its neighbours: a pair's is the same to the bit in any batch.
- A task whose features are not finite fails alone: the others of its batch are launched again without it.
- The device is waited for before the clock is read, so that a stage's time is its own.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

import torch

from siamcorr.answers import Response, Template, Timings
from siamcorr.arguments import Array
from siamcorr.calls import DEFAULT_TENSOR
from siamcorr.device import Device
from siamcorr.embed import Embedder
from siamcorr.errors import InternalError, InvalidArgument, SiamcorrError
from siamcorr.ops import Head, batched_peaks, xcorr
from siamcorr.peaks import Peak
from siamcorr.resident import gather
from siamcorr.shapes import resolve
from siamcorr.shared_bank import SharedBank
from siamcorr.tasks import CorrelateKey, CorrelateTask, Epilogue, TemplateTask

__all__ = ["Launched", "Launcher"]

_log = logging.getLogger(__name__)

_MAP_DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Launched:
    """What came of a task: a map or None, and peaks, for each of its pairs."""

    task: CorrelateTask
    maps: Sequence[Array | None]
    peaks: Sequence[tuple[Peak, ...]]
    timings: Timings

    def responses(self, timings: Timings) -> Iterator[tuple[int, Response]]:
        """Yield the slot and the response of each pair; ``timings`` are those of the whole call."""
        task = self.task
        pairs = zip(task.slots, task.template_index, task.search_index, self.maps, self.peaks, strict=True)
        for slot, template, search, response_map, peaks in pairs:
            lease = task.leases[template]
            place = task.places[search] if task.places else None
            yield slot, Response(lease.handle, lease.generation, response_map, peaks, place, timings)


@dataclass(frozen=True, slots=True)
class Launcher:
    """Computes on ``device``, and writes new templates into ``bank``.

    Features with NaN or infinity are refused if ``check_finite``. ``clock`` gives monotonic seconds.
    """

    device: Device
    embedders: Mapping[str, Embedder]
    bank: SharedBank
    check_finite: bool
    clock: Callable[[], float]

    def serve(self, tasks: Sequence[Any]) -> Sequence[Launched | list[Template] | SiamcorrError]:
        """Return for each task of a batch what came of it: :class:`Launched`, new templates, or an error."""
        with torch.inference_mode():
            if isinstance(tasks[0], CorrelateTask):
                return self._correlate(tasks)
            return [self._make(task) for task in tasks]

    def _correlate(self, tasks: Sequence[CorrelateTask]) -> list[Launched | InvalidArgument]:
        """Return what came of each task, or why nothing did."""
        key, watch = tasks[0].key, _Watch(self.clock, self.device)
        search = self.device.upload([region for task in tasks for region in task.regions])
        template = gather([lease for task in tasks for lease in task.leases], key.tensor)
        watch.stop("copy_s")
        if key.model is not None:
            search = self.embedders[key.model](search)
            watch.stop("embed_s")
        elif self.check_finite and not all(finite := _are_finite(search)):
            return self._without_refused(tasks, finite)
        response = _correlate(key, template, search, _joined_pairs(tasks))
        output = key.epilogue.output
        peaks = batched_peaks(response, output.top_k) if output.kind != "map" else [()] * len(response)
        watch.stop("compute_s")
        maps: Sequence[Array | None] = [None] * len(response)
        if output.kind != "peaks":
            maps = list(self.device.download(response.to(_MAP_DTYPES[output.map_dtype])))
        watch.stop("copy_s")
        timings = Timings(**watch.seconds, batch_pairs=len(response))
        starts = accumulate((task.size for task in tasks), initial=0)
        return [
            Launched(task, maps[start : start + task.size], peaks[start : start + task.size], timings)
            for task, start in zip(tasks, starts, strict=False)
        ]

    def _make(self, task: TemplateTask) -> list[Template] | SiamcorrError:
        try:
            named = self._template_tensors(task)
            if task.handle is None:
                return self.bank.create(named, task.key.model)
            return [self.bank.update(task.handle, named[0], task.rate)]
        except SiamcorrError as error:
            return error
        except Exception:  # its neighbours in the batch have their templates already
            _log.exception("a template could not be made")
            return InternalError("the template could not be made; the log has the cause")

    def _template_tensors(self, task: TemplateTask) -> list[dict[str, torch.Tensor]]:
        """Return the named tensors of each template, on the device."""
        if task.key.model is not None:
            embedded = self.embedders[task.key.model](self.device.upload(task.crops))
            return [{DEFAULT_TENSOR: tensor} for tensor in embedded]
        tensors = {}
        for name, array in task.features.items():
            tensors[name] = self.device.upload([array])[0]
            if self.check_finite and not all(_are_finite(tensors[name][None])):
                raise _not_finite("features" if name == DEFAULT_TENSOR else f"features[{name!r}]")
        return [tensors]

    def _without_refused(
        self, tasks: Sequence[CorrelateTask], finite: Sequence[bool]
    ) -> list[Launched | InvalidArgument]:
        regions = iter(finite)
        sound = [all(list(islice(regions, len(task.regions)))) for task in tasks]
        rest = [task for task, is_sound in zip(tasks, sound, strict=True) if is_sound]
        answers = iter(self._correlate(rest) if rest else ())
        return [next(answers) if is_sound else _not_finite("features") for is_sound in sound]


class _Watch:
    """Seconds spent in each stage of a launch."""

    def __init__(self, clock: Callable[[], float], device: Device) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock, self._device = clock, device
        self._since_s = clock()

    def stop(self, stage: str) -> None:
        self._device.settle()
        now_s = self._clock()
        self.seconds[stage] += now_s - self._since_s
        self._since_s = now_s


def _correlate(
    key: CorrelateKey, template: torch.Tensor, search: torch.Tensor, pairs: tuple[list[int], list[int]]
) -> torch.Tensor:
    correlation, epilogue = key.correlation, key.epilogue
    head, sums = _head(epilogue), epilogue.output.sum_channels
    if sums and head is None:  # a sum is a head of ones, which can be folded into the templates
        outputs = resolve(correlation, key.template.shape, key.search).response[0]
        head, sums = (Head(torch.ones(1, outputs)) if outputs > 1 else None), False
    response = xcorr(
        template,
        search,
        correlation.kind,
        groups=correlation.groups,
        k=correlation.k,
        padding=correlation.padding,
        stride=correlation.stride,
        dilation=correlation.dilation,
        gain=epilogue.gain,
        bias=_bias(epilogue),
        pairs=pairs,
        head=head,
    )
    if sums and response.shape[1] > 1:
        response = xcorr(response.new_ones(1, response.shape[1], 1, 1), response)
    return response


def _joined_pairs(tasks: Sequence[CorrelateTask]) -> tuple[list[int], list[int]]:
    """Count templates and search regions through all tasks."""
    templates: list[int] = []
    searches: list[int] = []
    first_template = first_search = 0
    for task in tasks:
        templates += (first_template + index for index in task.template_index)
        searches += (first_search + index for index in task.search_index)
        first_template += len(task.leases)
        first_search += len(task.regions)
    return templates, searches


def _are_finite(features: torch.Tensor) -> list[bool]:
    """Tell for each of ``features`` (N, ...) whether all its numbers are finite.

    A sum is finite only if they are: one fast pass. Where it is not, it may have overflowed: then they are
    asked one by one.
    """
    sums = features.flatten(1).sum(1, dtype=torch.float32)
    finite: list[bool] = sums.isfinite().tolist()
    return [is_finite or bool(one.isfinite().all()) for is_finite, one in zip(finite, features, strict=True)]


def _not_finite(field: str) -> InvalidArgument:
    return InvalidArgument.found(field, "NaN or infinity", "finite numbers")


def _bias(epilogue: Epilogue) -> torch.Tensor | None:
    bias = _floats(epilogue.bias)
    return bias[0] if bias is not None and len(bias) == 1 else bias


def _head(epilogue: Epilogue) -> Head | None:
    weight = _floats(epilogue.head)
    if weight is None:
        return None
    return Head(weight.view(epilogue.head_outputs, -1), _floats(epilogue.head_bias))


def _floats(raw: bytes | None) -> torch.Tensor | None:
    return None if raw is None else torch.frombuffer(bytearray(raw), dtype=torch.float32)
