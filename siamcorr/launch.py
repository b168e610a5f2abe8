"""What one launch computes: a batch of tasks of one key, on the device's thread. It knows no queue.

Rules:
- An answer does not depend on its neighbours: a call's is the same to the bit in any batch.
- A task whose features are not finite fails alone: the others of its batch are launched again without it.
- Features that all take part in a response are finite if it is: no product or sum makes a NaN or an infinity
  finite again. So what is looked at is the response, which is smaller, and features only where it is not.
- What follows from a key is kept for the next launch of it, if its head is small: callers send the heads.
- The device is waited for before the clock is read, so that a stage's time is its own.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import accumulate, islice
from math import isfinite
from typing import Any, TypeAlias

import torch

from siamcorr.answers import Response, Template, Timings
from siamcorr.arguments import Array
from siamcorr.calls import DEFAULT_TENSOR
from siamcorr.device import Device
from siamcorr.embed import Model, network_of
from siamcorr.errors import InternalError, InvalidArgument, SiamcorrError
from siamcorr.ops import batched_peaks
from siamcorr.ops.kernel import Compilations, compilations
from siamcorr.ops.operands import Rows
from siamcorr.passes import Pass
from siamcorr.peaks import Peak
from siamcorr.prepared_templates import PreparedTemplates
from siamcorr.settings import EngineSettings
from siamcorr.shared_bank import SharedBank
from siamcorr.tasks import CorrelateKey, CorrelateTask, NetworkKey, TemplateKey, TemplateTask

__all__ = ["LaunchObserver", "Launched", "Launcher"]

LaunchObserver: TypeAlias = Callable[[Sequence[CorrelateTask | TemplateTask], Sequence[object]], None]
"""Told, on the device's thread, the tasks of a launch and what came of each."""

_log = logging.getLogger(__name__)

_MAX_PASSES = 256
_MAX_PASS_BYTES = 1 << 18  # of its head and bias: a pass holds about five times as many

_MAP_DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Launched:
    """What came of a task: for each of its pairs a map or None, and peaks; or a network's maps by name."""

    task: CorrelateTask
    maps: Sequence[Array | None]
    peaks: Sequence[tuple[Peak, ...]]
    timings: Timings
    named: Mapping[str, Sequence[Array]] = field(default_factory=dict)

    def responses(self, timings: Timings) -> Iterator[tuple[int, Response]]:
        """Yield the slot and the response of each pair; ``timings`` are those of the whole call."""
        task = self.task
        pairs = zip(task.slots, task.template_index, task.search_index, self.maps, self.peaks, strict=True)
        for pair, (slot, template, search, response_map, peaks) in enumerate(pairs):
            lease = task.leases[template]
            place = task.places[search] if task.places else None
            named = {name: maps[pair] for name, maps in self.named.items()}
            yield slot, Response(lease.handle, lease.generation, response_map, peaks, place, named, timings)


class Launcher:
    """Computes on ``device``, and writes new templates into ``bank``.

    ``compilations`` are those of all launches so far.
    """

    def __init__(
        self,
        device: Device,
        models: Mapping[str, Model],
        bank: SharedBank,
        settings: EngineSettings,
        clock: Callable[[], float],
        *,
        on_launch: LaunchObserver | None = None,
    ) -> None:
        """Set up.

        Args:
            device: where everything is computed.
            models: by name.
            bank: where templates are kept.
            settings: whether features have to be finite, and what prepared templates may take.
            clock: monotonic seconds.
            on_launch: told of every launch.
        """
        self.compilations = Compilations()
        self._on_launch = on_launch
        self._device, self._models, self.bank = device, models, bank
        self._check_finite, self._clock = settings.check_finite, clock
        self._new_pass = partial(Pass, device=device.torch_device)
        self._kept_pass = lru_cache(maxsize=_MAX_PASSES)(self._new_pass)
        self._prepared = PreparedTemplates(settings.prepared_bytes)

    def serve(self, tasks: Sequence[Any]) -> Sequence[Launched | list[Template] | SiamcorrError]:
        """Return for each task of a batch what came of it: :class:`Launched`, new templates, or an error."""
        with torch.inference_mode():
            outcomes = self._computed(tasks)
        self.compilations = compilations()  # of this thread, which does nothing else
        if self._on_launch is not None:
            try:
                self._on_launch(tasks, outcomes)
            except Exception:  # whoever looks on must not cost an answer
                _log.exception("an observer of launches failed")
        return outcomes

    def _computed(self, tasks: Sequence[Any]) -> Sequence[Launched | list[Template] | SiamcorrError]:
        key = tasks[0].key
        if isinstance(key, TemplateKey):
            return [self._make(task) for task in tasks]
        return self._respond(key, tasks) if isinstance(key, NetworkKey) else self._correlate(key, tasks)

    def _respond(self, key: NetworkKey, tasks: Sequence[CorrelateTask]) -> list[Launched]:
        """Return the maps of a whole network."""
        watch = _Watch(self._clock, self._device)
        crops = self._device.upload_stacks([task.regions for task in tasks])
        watch.stop("copy_s")
        network = network_of(self._models[key.model])
        leases = [lease for task in tasks for lease in task.leases]
        rows = [self._prepared.rows(leases, tensor, preparer) for tensor, preparer in network.pairs.takes]
        found = network.pairs(rows, crops, *_joined_pairs(tasks), partial(watch.stop, "embed_s"))
        watch.stop("compute_s")
        dtype = _MAP_DTYPES[key.dtype]
        maps = {name: self._device.download(tensor.to(dtype)) for name, tensor in found.items()}
        watch.stop("copy_s")
        timings = watch.timings(sum(task.size for task in tasks), network.pairs.plan)
        return [
            Launched(
                task,
                [None] * task.size,
                [()] * task.size,
                timings,
                {name: list(one[start : start + task.size]) for name, one in maps.items()},
            )
            for task, start in _with_starts(tasks)
        ]

    def _correlate(
        self, key: CorrelateKey, tasks: Sequence[CorrelateTask]
    ) -> list[Launched | InvalidArgument]:
        """Return what came of each task, or why nothing did."""
        watch, pairs = _Watch(self._clock, self._device), sum(task.size for task in tasks)
        search: Rows
        if key.model is None:
            search = self._device.upload_to_read([region for task in tasks for region in task.regions])
            watch.stop("copy_s")
        else:
            crops = self._device.upload_stacks([task.regions for task in tasks])
            watch.stop("copy_s")
            search = self._models[key.model].search(crops)[key.tensor]
            watch.stop("embed_s")
        is_small = tasks[0].load.shared_bytes <= _MAX_PASS_BYTES
        chosen = self._kept_pass(key) if is_small else self._new_pass(key)
        response = self._responses(chosen, key, tasks, search)
        if key.model is None and not all(finite := self._finite(chosen, search, response)):
            return self._without_refused(key, tasks, finite)
        output = key.epilogue.output
        peaks = batched_peaks(response, output.top_k) if output.kind != "map" else [()] * pairs
        watch.stop("compute_s")
        maps: Sequence[Array | None] = [None] * pairs
        if output.kind != "peaks":
            maps = list(self._device.download(response.to(_MAP_DTYPES[output.map_dtype])))
        watch.stop("copy_s")
        timings = watch.timings(pairs, chosen.name)
        return [
            Launched(task, maps[start : start + task.size], peaks[start : start + task.size], timings)
            for task, start in _with_starts(tasks)
        ]

    def _responses(
        self, chosen: Pass, key: CorrelateKey, tasks: Sequence[CorrelateTask], search: Rows
    ) -> torch.Tensor:
        if len(tasks) > 1 and key.one_search:  # what is computed together is a call, not a batch
            each = zip(tasks, search, strict=True)
            return torch.cat([self._responses(chosen, key, [task], region[None]) for task, region in each])
        leases = [lease for task in tasks for lease in task.leases]
        rows = self._prepared.rows(leases, key.tensor, chosen.correlator)
        return chosen(rows, search, *_joined_pairs(tasks))

    def _make(self, task: TemplateTask) -> list[Template] | SiamcorrError:
        try:
            named = self._template_tensors(task)
            if task.handle is None:
                return self.bank.create(named, task.origin)
            return [self.bank.update(task.handle, named[0], task.rate)]
        except SiamcorrError as error:
            return error
        except Exception:  # its neighbours in the batch have their templates already
            _log.exception("a template could not be made")
            return InternalError("the template could not be made; the log has the cause")

    def _template_tensors(self, task: TemplateTask) -> list[dict[str, torch.Tensor]]:
        """Return the named tensors of each template, on the device."""
        if task.key.model is not None:
            made = self._models[task.key.model].templates(self._device.upload_stacks([task.crops]))
            return [{name: tensors[index] for name, tensors in made.items()} for index in range(task.count)]
        tensors = {}
        for name, array in task.features.items():
            [tensors[name]] = self._device.upload([array])
            if self._check_finite and not _is_finite(tensors[name]):
                raise _not_finite("features" if name == DEFAULT_TENSOR else f"features[{name!r}]")
        return [tensors]

    def _finite(self, chosen: Pass, search: Rows, response: torch.Tensor) -> list[bool]:
        """Tell of each search region whether it is finite: of none where all are, or where nobody asks."""
        is_told = chosen.correlator.problem.meets_all_cells and _is_finite(response)
        return [] if is_told or not self._check_finite else [_is_finite(region) for region in search]

    def _without_refused(
        self, key: CorrelateKey, tasks: Sequence[CorrelateTask], finite: Sequence[bool]
    ) -> list[Launched | InvalidArgument]:
        regions = iter(finite)
        sound = [all(list(islice(regions, len(task.regions)))) for task in tasks]
        rest = [task for task, is_sound in zip(tasks, sound, strict=True) if is_sound]
        answers = iter(self._correlate(key, rest) if rest else ())
        return [next(answers) if is_sound else _not_finite("features") for is_sound in sound]


class _Watch:
    """Seconds spent in each stage of a launch."""

    def __init__(self, clock: Callable[[], float], device: Device) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._clock, self._device = clock, device
        self._compiled_s = compilations().seconds
        self._since_s = clock()

    def stop(self, stage: str) -> None:
        self._device.settle()
        now_s = self._clock()
        self._seconds[stage] += now_s - self._since_s
        self._since_s = now_s

    def timings(self, pairs: int, plan: str) -> Timings:
        compile_s = compilations().seconds - self._compiled_s
        return Timings(**self._seconds, batch_pairs=pairs, plan=plan, compile_s=compile_s)


def _with_starts(tasks: Sequence[CorrelateTask]) -> Iterator[tuple[CorrelateTask, int]]:
    """Yield each task with where its pairs begin among all."""
    starts = accumulate((task.size for task in tasks), initial=0)
    return zip(tasks, starts, strict=False)


def _joined_pairs(tasks: Sequence[CorrelateTask]) -> tuple[Sequence[int], Sequence[int]]:
    """Count templates and search regions through all tasks."""
    if len(tasks) == 1:
        return tasks[0].template_index, tasks[0].search_index
    templates: list[int] = []
    searches: list[int] = []
    first_template = first_search = 0
    for task in tasks:
        templates += (first_template + index for index in task.template_index)
        searches += (first_search + index for index in task.search_index)
        first_template += len(task.leases)
        first_search += len(task.regions)
    return templates, searches


def _is_finite(numbers: torch.Tensor) -> bool:
    """Tell whether all numbers are finite.

    Their sum is finite only if they are: one fast pass. Where it is not, it may have overflowed.
    """
    return isfinite(numbers.sum(dtype=torch.float32)) or bool(numbers.isfinite().all())


def _not_finite(field: str) -> InvalidArgument:
    return InvalidArgument.found(field, "NaN or infinity", "finite numbers")
