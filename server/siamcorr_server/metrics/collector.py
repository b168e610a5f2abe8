"""From counts and the engine's own numbers to Prometheus's families of metrics, at the moment of a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from siamcorr.stats import EngineStats
from siamcorr_server.metrics.counts import Counts, Histogram
from siamcorr_server.own_version import own_version

__all__ = ["EngineCollector"]


class EngineCollector(Collector):
    """Shows what was counted, and what ``stats`` says of the engine."""

    def __init__(self, counts: Counts, stats: Callable[[], EngineStats]) -> None:
        """Read ``counts`` and ``stats`` at each scrape."""
        self._counts = counts
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield InfoMetricFamily("siamcorr_build", "The version that runs.", {"version": own_version()})
        yield from self._of_requests()
        yield from self._of_launches()
        stats = self._stats()
        yield from _of_queues(stats)
        yield from _of_templates(stats)
        yield from _of_compilations(stats)
        if stats.device_bytes is not None:
            yield _gauge("siamcorr_device_bytes", "Bytes of all tensors on the device.", stats.device_bytes)

    def _of_requests(self) -> Iterator[Metric]:
        counts = self._counts
        requests = CounterMetricFamily(
            "siamcorr_requests_total",
            "Requests that have ended, also those of streams, by method and gRPC code.",
            labels=("method", "code"),
        )
        for (method, code), count in counts.requests.copy().items():
            requests.add_metric((_short(method), code), count)
        yield requests
        yield _histograms(
            "siamcorr_request_seconds",
            "Seconds from an answered request's arrival until its answer is ready, by method.",
            "method",
            {_short(method): one for method, one in counts.request_seconds.copy().items()},
        )
        rejects = CounterMetricFamily(
            "siamcorr_rejects_total", "Requests refused because of overload, by reason.", labels=("reason",)
        )
        for reason, count in counts.rejects.items():
            rejects.add_metric((reason,), count)
        yield rejects

    def _of_launches(self) -> Iterator[Metric]:
        yield _histograms(
            "siamcorr_stage_seconds",
            "Seconds in a stage: prepare and queue of each request, embed, compute and copy of each launch.",
            "stage",
            self._counts.stage_seconds,
        )
        yield _histograms(
            "siamcorr_launch_pairs",
            "Pairs of template and search region in a launch, or templates made, by kind.",
            "kind",
            self._counts.launch_pairs.copy(),
        )


def _of_queues(stats: EngineStats) -> Iterator[Metric]:
    yield _gauge("siamcorr_requests_in_flight", "Calls that the engine has not ended.", stats.requests)
    jobs = GaugeMetricFamily(
        "siamcorr_queue_jobs", "Jobs of a queue, by what they do.", labels=("queue", "state")
    )
    size = GaugeMetricFamily(
        "siamcorr_queue_bytes", "Bytes that the jobs of a queue hold, waiting or running.", labels=("queue",)
    )
    oldest = GaugeMetricFamily(
        "siamcorr_queue_oldest_seconds",
        "Seconds that the job at the head of a queue has waited; 0 without one.",
        labels=("queue",),
    )
    for name, lane in (("frames", stats.frames), ("device", stats.device)):
        jobs.add_metric((name, "waiting"), lane.waiting)
        jobs.add_metric((name, "running"), lane.running)
        size.add_metric((name,), lane.queued_bytes)
        oldest.add_metric((name,), lane.oldest_s)
    yield from (jobs, size, oldest)


def _of_templates(stats: EngineStats) -> Iterator[Metric]:
    bank = stats.bank
    yield _gauge("siamcorr_templates", "Templates that are resident.", bank.templates)
    yield _gauge("siamcorr_templates_leased", "Templates that calls are using.", bank.leased)
    yield _gauge("siamcorr_template_bytes", "Bytes that templates take on the device.", bank.bytes_used)
    yield _gauge("siamcorr_template_budget_bytes", "Bytes that they may take at most.", bank.budget_bytes)
    dropped = CounterMetricFamily(
        "siamcorr_templates_dropped_total",
        "Templates dropped without their owners' asking, by cause.",
        labels=("cause",),
    )
    dropped.add_metric(("evicted",), bank.evicted)
    dropped.add_metric(("expired",), bank.expired)
    yield dropped


def _of_compilations(stats: EngineStats) -> Iterator[Metric]:
    kernels, seconds = stats.compilations
    yield CounterMetricFamily(
        "siamcorr_compilations_total", "Kernels compiled for shapes that were new, by launches.", kernels
    )
    yield CounterMetricFamily(
        "siamcorr_compilation_seconds_total", "Seconds of launches that went into compiling.", seconds
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value)


def _histograms(name: str, text: str, label: str, by_label: Mapping[str, Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=(label,))
    for value, histogram in by_label.items():
        counts, total = histogram.read()
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        family.add_metric((value,), list(zip(bounds, accumulate(counts), strict=True)), total)
    return family


def _short(method: str) -> str:
    """Return ``Service/Method`` of a full name."""
    return method.rpartition(".")[2]
