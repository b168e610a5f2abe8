"""The engine: templates, queues and the device, behind the same calls as the client's. No network.

The contract:
- Every admitted job ends exactly once: an answer, an error, or cancelled. Nothing waits for ever.
- A job that is cancelled or past its deadline leaves before the launch. A failed batch fails only its own
  members.
- A template is leased from admission to completion; eviction and deletion wait for the lease. A handle names
  one template for ever: after an update it has a new generation, and a response says which it used.
- A batch never mixes shapes, dtypes or kinds, and an answer does not depend on its neighbours.
- With nothing queued a job starts at once; batches grow only because the device is busy. Queues are bounded
  in jobs and bytes.
- ``submit_*`` neither compute nor wait, so an event loop may call them.

Who runs where: one thread does all of the device's work (:mod:`siamcorr.launch`), in the order of
:mod:`siamcorr.batcher`. A few threads decode frames and cut out crops (:mod:`siamcorr.frames`) before that.
Both are a :class:`~siamcorr.lane.Lane`. A call on its way is a :class:`~siamcorr.requests.Request`. The bank
has a lock of its own (:mod:`siamcorr.shared_bank`). No lock is held while another is taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from siamcorr.answers import Response, Template
from siamcorr.arguments import as_number
from siamcorr.bank import Bank, Page
from siamcorr.batcher import Limits
from siamcorr.blocking import BlockingCalls
from siamcorr.calls import NETWORK, CorrelateCall, CorrelateOptions, Frame, Handle, TemplateSource
from siamcorr.checks import correlate_call
from siamcorr.device import open_device
from siamcorr.embed import Embedder, Model, Workers, load_model, model_of, transform_of
from siamcorr.embed.network import Network
from siamcorr.errors import DeadlineExceeded, Draining, InternalError, TemplateNotFound
from siamcorr.frames import prepare
from siamcorr.lane import Lane
from siamcorr.launch import Launcher, LaunchObserver
from siamcorr.planning import plan_correlate, plan_templates
from siamcorr.requests import CorrelateRequest, Request, TemplateRequest
from siamcorr.settings import DEFAULT_MODEL, EngineSettings
from siamcorr.shared_bank import SharedBank
from siamcorr.stats import EngineStats
from siamcorr.tasks import CorrelateTask, PrepareTask, TemplateTask
from siamcorr.warm_up import warm_up

__all__ = ["Engine", "EngineStats"]

T = TypeVar("T")


class Engine(BlockingCalls):
    """Resident templates and batched correlation, in this process.

    Threads may share it.

    >>> import numpy as np
    >>> with Engine(EngineSettings(device="cpu")) as engine:
    ...     template = engine.create_template(np.ones((256, 6, 6), np.float32))
    ...     response = engine.correlate(template, features=np.ones((256, 22, 22), np.float32), gain=1e-3)
    >>> response.map.shape, round(response.peak.score, 3)
    ((1, 17, 17), 9.216)
    """

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        embedders: Mapping[str, Embedder] | None = None,
        models: Mapping[str, Model] | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_launch: LaunchObserver | None = None,
    ) -> None:
        """Load the models and start the threads.

        Args:
            settings: what it may use; None for the defaults.
            embedders: more models by name: objects of your own that make features.
            models: and such that are models already.
            clock: monotonic seconds.
            on_launch: told of every launch, on the device's thread, which waits for it.

        Raises:
            InvalidArgument: names ``device`` or ``model``: it is not there, or the file is not what it needs.
        """
        self.settings = settings = settings or EngineSettings()
        device = open_device(settings.device)
        self.device = str(device.torch_device)
        self._allocated_bytes = device.allocated_bytes
        self._workers = Workers(settings.model_threads)
        self._models = {
            name: load_model(name, path, device.torch_device, self._workers)
            for name, path in settings.models.items()
        }
        self._models |= {name: model_of(one, transform_of("none")) for name, one in (embedders or {}).items()}
        self._models |= dict(models or {})
        bank = Bank(
            device.torch_device,
            budget_bytes=settings.budget_bytes,
            ttl_s=settings.ttl_s,
            evict=settings.evict,
        )
        self._bank = SharedBank(bank, clock)
        self._clock = clock
        self._requests: set[Request[Any]] = set()
        self._changed = threading.Condition()
        self._draining = False
        limits = Limits(settings.max_jobs, settings.max_bytes, settings.max_batch)
        self._frames = Lane[PrepareTask](
            "frames", limits, self._prepare, threads=settings.decode_threads, clock=clock
        )
        self._launcher = Launcher(device, self._models, self._bank, settings, clock, on_launch=on_launch)
        self._device = Lane[Any]("device", limits, self._launcher.serve, threads=1, clock=clock)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self._models)

    @property
    def networks(self) -> dict[str, Network]:
        """Those of the models that have a whole network."""
        return {name: model.network for name, model in self._models.items() if model.network is not None}

    def submit_correlate(
        self, call: CorrelateCall, deadline_s: float | None = None
    ) -> Future[list[Response]]:
        """Start a correlation; one response for each pair.

        Args:
            call: from :func:`siamcorr.checks.correlate_call`.
            deadline_s: when the answer is of no use any more, in seconds of the engine's clock.

        Raises:
            SiamcorrError: the call cannot be admitted. Later errors come through the future.
        """
        leases = self._bank.lease(call.templates)
        request = CorrelateRequest(leases, deadline_s, self._device, self._end)
        most, kind = self.settings.max_multiply_adds, self.device.partition(":")[0]
        return self._admit(request, lambda: plan_correlate(call, leases, self._models, most, kind))

    def submit_create(
        self, source: TemplateSource, deadline_s: float | None = None
    ) -> Future[list[Template]]:
        """Start making a template, or one for each box of a frame.

        Raises:
            SiamcorrError: as :meth:`submit_correlate`.
        """
        request = TemplateRequest({}, deadline_s, self._device, self._end, take_back=self._forget)
        model = _model_of(source, DEFAULT_MODEL)
        most = self.settings.max_multiply_adds
        return self._admit(request, lambda: plan_templates(source, model, self._models, most))

    def submit_update(
        self, handle: str, source: TemplateSource, rate: float = 1.0, deadline_s: float | None = None
    ) -> Future[list[Template]]:
        """Start giving a template the generation ``(1 - rate) * current + rate * source``.

        An update whose caller gives up, or whose deadline passes, while it runs is made all the same.

        Raises:
            SiamcorrError: as :meth:`submit_correlate`.
        """
        leases = self._bank.lease([handle])
        request = TemplateRequest(leases, deadline_s, self._device, self._end)
        model = _model_of(source, leases[handle].model)
        return self._admit(
            request, lambda: plan_templates(source, model, self._models, updated=leases[handle], rate=rate)
        )

    def page(self, after: str = "", limit: int = 100) -> Page:
        """Describe up to ``limit`` templates, after the page whose ``next`` is ``after``."""
        return self._bank.page(after, limit)

    def warm_up(self) -> None:
        """Use every model and every declared shape once, so that no caller pays for what is slow then."""
        kinds = {name: NETWORK if model.network else "naive" for name, model in self._models.items()}
        warm_up(self, kinds, self.settings.warm_shapes)

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until every call has ended. False: some have not, after ``timeout_s``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._requests, timeout_s)

    def close(self, drain_s: float = 0.0) -> None:
        """Take no more calls, let those at hand end for ``drain_s`` seconds, refuse the rest, stop."""
        with self._changed:
            self._draining = True
        if drain_s > 0:
            self.wait_idle(drain_s)
        self._frames.close()
        self._device.close()
        self._workers.close()

    def stats(self) -> EngineStats:
        """Count everything, at this moment."""
        with self._changed:
            requests = len(self._requests)
        parts = self._frames.stats(), self._device.stats(), self._bank.stats()
        return EngineStats(requests, *parts, self._allocated_bytes(), self._launcher.compilations)

    def check_invariants(self) -> None:
        """Raise InternalError if queues, bank and calls contradict each other. Meant for an idle moment."""
        self._frames.check_invariants()
        self._device.check_invariants()
        self._bank.check_invariants()
        stats = self.stats()
        if not stats.requests and (stats.bank.leased or stats.frames.running or stats.device.running):
            raise InternalError(f"engine: leases or jobs without a call: {stats}")

    def _admit(
        self,
        request: Request[T],
        plan: Callable[[], Sequence[CorrelateTask] | TemplateTask | PrepareTask],
    ) -> Future[T]:
        try:
            self._begin(request)
            planned = plan()
            if isinstance(planned, PrepareTask):
                request.prepare(self._frames, planned)
            else:
                request.launch([planned] if isinstance(planned, TemplateTask) else planned)
        except BaseException:
            request.drop()
            raise
        return request.future

    def _begin(self, request: Request[Any]) -> None:
        with self._changed:
            if self._draining:
                raise Draining("the engine is shutting down")
            self._requests.add(request)

    def _end(self, request: Request[Any]) -> None:
        try:
            self._bank.release(request.leases.values())
        finally:
            with self._changed:
                self._requests.discard(request)
                self._changed.notify_all()

    def _forget(self, templates: Sequence[Template]) -> None:
        for template in templates:
            with suppress(TemplateNotFound):
                self._bank.delete(template.handle)

    def _prepare(self, tasks: Sequence[PrepareTask]) -> list[float]:
        began_s = self._clock()
        for task in tasks:
            prepare(task, self._models, self.settings, self._workers)
        return [self._clock() - began_s] * len(tasks)

    def _create(self, source: TemplateSource, timeout_s: float | None) -> list[Template]:
        return self._wait(partial(self.submit_create, source), timeout_s)

    def _update(self, handle: str, source: TemplateSource, rate: float, timeout_s: float | None) -> Template:
        submit = partial(self.submit_update, handle, source, rate)
        return self._wait(submit, timeout_s)[0]

    def _correlate(
        self, template: Handle | Sequence[Handle], options: CorrelateOptions, timeout_s: float | None
    ) -> list[Response]:
        return self._wait(partial(self.submit_correlate, correlate_call(template, **options)), timeout_s)

    def _get(self, handle: str, timeout_s: float | None) -> Template:
        return self._bank.info(handle)

    def _page(self, after: str, timeout_s: float | None) -> tuple[Sequence[Template], str]:
        page = self.page(after)
        return page.templates, page.next

    def _delete(self, handle: str, timeout_s: float | None) -> None:
        self._bank.delete(handle)

    def _wait(self, submit: Callable[[float | None], Future[T]], timeout_s: float | None) -> T:
        deadline_s = None
        if timeout_s is not None:
            timeout_s = min(as_number(timeout_s, "timeout_s"), threading.TIMEOUT_MAX)
            deadline_s = self._clock() + timeout_s
        future = submit(deadline_s)
        try:
            wait([future], timeout_s)
        finally:
            gave_up = future.cancel()
        if gave_up:
            raise DeadlineExceeded(f"no answer within {timeout_s} s")
        try:
            return future.result()
        finally:
            del future  # an error holds this frame, which must not hold the error


def _model_of(source: TemplateSource, fallback: str | None) -> str | None:
    return (source.model or fallback) if isinstance(source, Frame) else None
