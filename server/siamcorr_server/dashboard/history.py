"""What happened, second by second, for the last ten minutes; and all of it since the start.

Rules:
- Memory is bounded: a second is a few numbers and some small tables, and only ten minutes are kept.
- It has no clock: whoever closes a second says when that was.
- Requests are told in the event loop, launches on the device's thread; a lock that is held for a few
  additions lets both in.
- A closed second is written as JSON once, however many pages show it.
- Latency and stages are those of correlations that were answered. The stages of a request add up to its
  latency: what is not spent in the engine, on the wire's messages for the most part, is its ``rest``.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from siamcorr.errors import SiamcorrError
from siamcorr.lane import LaneStats
from siamcorr.launch import Launched
from siamcorr.stats import EngineStats
from siamcorr.tasks import CorrelateKey, CorrelateTask, TemplateKey, TemplateTask
from siamcorr_server.dashboard.spans import BATCH_BINS, Durations, batch_bin
from siamcorr_server.observers import Finished

__all__ = ["KEPT_SECONDS", "STAGES", "History"]

KEPT_SECONDS = 600
"""How many seconds are kept: ten minutes."""

STAGES = ("prepare", "queue", "embed", "compute", "copy", "rest")
"""Where a correlation's time goes, in the order in which it goes there."""

_MINUTE = 60


@dataclass(slots=True)
class _Second:
    """What has happened since the last second was closed."""

    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    durations: Durations = field(default_factory=Durations)
    stages: list[float] = field(default_factory=lambda: [0.0] * len(STAGES))
    launches: int = 0
    pairs: int = 0
    batches: list[int] = field(default_factory=lambda: [0] * BATCH_BINS)
    plans: Counter[str] = field(default_factory=Counter)


class History:
    """Counts requests and launches."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: deque[str] = deque(maxlen=KEPT_SECONDS)
        self.closed = 0
        self._lock = threading.Lock()
        self._open = _Second()
        self._minute: deque[Durations] = deque()
        self._last_minute = Durations()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._errors: Counter[str] = Counter()
        self._launches: Counter[str] = Counter()
        self._pairs: Counter[str] = Counter()

    def finished(self, request: Finished) -> None:
        """Count a request that has ended."""
        code, error = request.code.name, request.error
        reason = error.reason if isinstance(error, SiamcorrError) else code
        with self._lock:
            now = self._open
            now.requests[code] += 1
            self._requests[request.method.rpartition(".")[2], code] += 1
            if code != "OK":
                now.errors[reason] += 1
                self._errors[reason] += 1
            elif request.timings is not None:
                took_s, spent = request.ended_s - request.began_s, request.timings
                known = (spent.prepare_s, spent.queue_s, spent.embed_s, spent.compute_s, spent.copy_s)
                now.durations.add(took_s)
                for index, seconds in enumerate((*known, max(took_s - sum(known), 0.0))):
                    now.stages[index] += seconds

    def launched(self, tasks: Sequence[CorrelateTask | TemplateTask], outcomes: Sequence[object]) -> None:
        """Count a launch."""
        kind, pairs = _kind(tasks[0]), sum(task.size for task in tasks)
        plan = next((outcome.timings.plan for outcome in outcomes if isinstance(outcome, Launched)), None)
        with self._lock:
            now = self._open
            self._launches[kind] += 1
            self._pairs[kind] += pairs
            now.launches += 1
            if kind != "template":
                now.pairs += pairs
                now.batches[batch_bin(pairs)] += 1
            if plan:
                now.plans[plan] += 1

    def close_second(self, at_s: float, stats: EngineStats) -> str:
        """End a second and return it as JSON; ``at_s`` is in Unix seconds, ``stats`` the engine's by then."""
        with self._lock:
            ended, self._open = self._open, _Second()
        self._remember_minute(ended.durations)
        count = ended.durations.count
        found = {
            "t": round(at_s),
            "requests": ended.requests,
            "errors": ended.errors,
            "latency_ms": _quantiles_ms(ended.durations),
            "minute_latency_ms": _quantiles_ms(self._last_minute),
            "stages_ms": [round(seconds / count * 1e3, 4) for seconds in ended.stages] if count else None,
            "launches": ended.launches,
            "pairs": ended.pairs,
            "batches": ended.batches,
            "plans": ended.plans,
            "in_flight": stats.requests,
            "queues": {"frames": _queue(stats.frames), "device": _queue(stats.device)},
            "bank": {
                "templates": stats.bank.templates,
                "leased": stats.bank.leased,
                "bytes": stats.bank.bytes_used,
                "budget_bytes": stats.bank.budget_bytes,
                "evicted": stats.bank.evicted,
                "expired": stats.bank.expired,
            },
        }
        text = json.dumps(found, separators=(",", ":"))
        self.seconds.append(text)
        self.closed += 1
        return text

    def totals(self) -> dict[str, Any]:
        """Return all counts since the start."""
        with self._lock:
            return {
                "requests": [
                    {"method": method, "code": code, "count": count}
                    for (method, code), count in sorted(self._requests.items())
                ],
                "errors": dict(self._errors),
                "launches": dict(self._launches),
                "pairs": dict(self._pairs),
            }

    def _remember_minute(self, durations: Durations) -> None:
        self._minute.append(durations)
        self._last_minute.merge(durations)
        if len(self._minute) > _MINUTE:
            self._last_minute.merge(self._minute.popleft(), -1)


def _kind(task: CorrelateTask | TemplateTask) -> str:
    key = task.key
    if isinstance(key, TemplateKey):
        return "template"
    return key.correlation.kind if isinstance(key, CorrelateKey) else "network"


def _queue(stats: LaneStats) -> dict[str, float]:
    return {
        "waiting": stats.waiting,
        "running": stats.running,
        "bytes": stats.queued_bytes,
        "oldest_ms": round(stats.oldest_s * 1e3, 3),
    }


def _quantiles_ms(durations: Durations) -> list[float] | None:
    quantiles = [durations.quantile(share) * 1e3 for share in (0.5, 0.95, 0.99)]
    return None if math.isnan(quantiles[0]) else [round(one, 4) for one in quantiles]
