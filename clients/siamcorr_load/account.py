"""What the server itself says of the measured time: its metrics before and after, and the difference.

They are read over HTTP in Prometheus's text format (``siamcorr-server --metrics HOST:PORT``). The harness
counts what was due in its windows, the server what it answered between the two readings, which lie a moment
outside: so rates are compared, and not counts.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from siamcorr.errors import InvalidArgument, ServerUnavailable

__all__ = ["Account", "Reading", "account_of", "read_metrics"]

_TIMEOUT_S = 5.0
_SCHEMES = ("http://", "https://")
_CORRELATE = "Correlate"
_TEMPLATE = "template"

Sample = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and its labels, in their order."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the server counted in ``seconds``.

    ``requests`` are correlations by gRPC code, unary or in streams; ``rejects`` are by reason. ``launches``
    are the launches of correlations by the number of pairs in them, up to each bound and above the one
    before. ``stages_s`` are means: prepare and queue of a request, the others of a launch.
    """

    seconds: float
    requests: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    launches: Mapping[str, int] = field(default_factory=dict)
    pairs: int = 0
    stages_s: Mapping[str, float] = field(default_factory=dict)
    request_s: float | None = None
    resident_bytes: int | None = None
    device_bytes: int | None = None

    @property
    def answers_per_s(self) -> float:
        """Answered correlations each second."""
        return self.requests.get("OK", 0) / self.seconds if self.seconds else 0.0

    @property
    def pairs_of_launch(self) -> float:
        """How many pairs a launch had on average."""
        return self.pairs / max(1, sum(self.launches.values()))


@dataclass(frozen=True, slots=True)
class Reading:
    """All samples at one moment, in monotonic seconds."""

    at_s: float
    samples: Mapping[Sample, float]


def read_metrics(url: str) -> Reading:
    """Read a server's metrics.

    Raises:
        InvalidArgument: names ``metrics_url``: what is there are no metrics.
        ServerUnavailable: nobody answers there.
    """
    if not url.startswith(_SCHEMES):
        raise InvalidArgument.found("metrics_url", repr(url)[:80], "http://HOST:PORT/metrics")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as page:  # noqa: S310 - the scheme is checked
            text = page.read().decode()
    except (OSError, ValueError) as error:
        raise ServerUnavailable(f"no metrics at {url:.80}: {error}") from error
    at_s = time.monotonic()
    try:
        samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    except ValueError as error:
        raise InvalidArgument.found("metrics_url", f"{error}"[:80], "Prometheus's text format") from error
    return Reading(at_s, samples)


def account_of(readings: Iterable[tuple[Reading, Reading]]) -> Account | None:
    """Return what happened between the readings of each pair, together; None: there are none."""
    growth: dict[Sample, float] = {}
    seconds, last = 0.0, None
    for before, after in readings:
        seconds += after.at_s - before.at_s
        last = after
        for sample, value in after.samples.items():
            growth[sample] = growth.get(sample, 0.0) + value - before.samples.get(sample, 0.0)
    if last is None:
        return None
    stages = _by(growth, "siamcorr_stage_seconds_count", "stage")
    sums = _by(growth, "siamcorr_stage_seconds_sum", "stage")
    requests = _by(_of_correlations(growth), "siamcorr_requests_total", "code")
    answered = _total(_of_correlations(growth), "siamcorr_request_seconds_count")
    answered_s = _total(_of_correlations(growth), "siamcorr_request_seconds_sum")
    computed = {sample: value for sample, value in growth.items() if ("kind", _TEMPLATE) not in sample[1]}
    return Account(
        seconds=seconds,
        requests=_counts(requests),
        rejects=_counts(_by(growth, "siamcorr_rejects_total", "reason")),
        launches=_buckets(_by(computed, "siamcorr_launch_pairs_bucket", "le")),
        pairs=round(_total(computed, "siamcorr_launch_pairs_sum")),
        stages_s={name: sums[name] / count for name, count in stages.items() if count > 0},
        request_s=answered_s / answered if answered > 0 else None,
        resident_bytes=_gauge(last, "process_resident_memory_bytes"),
        device_bytes=_gauge(last, "siamcorr_device_bytes"),
    )


def _of_correlations(samples: Mapping[Sample, float]) -> dict[Sample, float]:
    """Return those of methods that correlate."""
    return {
        sample: value
        for sample, value in samples.items()
        if dict(sample[1]).get("method", "").rpartition("/")[2].startswith(_CORRELATE)
    }


def _by(samples: Mapping[Sample, float], name: str, label: str) -> dict[str, float]:
    """Return a metric's sums by one of its labels."""
    found: dict[str, float] = {}
    for (metric, labels), value in samples.items():
        if metric == name:
            key = dict(labels).get(label, "")
            found[key] = found.get(key, 0.0) + value
    return found


def _total(samples: Mapping[Sample, float], name: str) -> float:
    return sum(value for (metric, _), value in samples.items() if metric == name)


def _counts(values: Mapping[str, float]) -> dict[str, int]:
    return {name: round(value) for name, value in values.items() if value > 0}


def _buckets(up_to: Mapping[str, float]) -> dict[str, int]:
    """Return a histogram's counts between its bounds, from those up to each of them."""
    found, below = {}, 0.0
    for bound in sorted(up_to, key=float):
        found[f"{float(bound):g}"] = round(up_to[bound] - below)
        below = up_to[bound]
    return found if below else {}


def _gauge(reading: Reading, name: str) -> int | None:
    value = reading.samples.get((name, ()))
    return None if value is None else round(value)
