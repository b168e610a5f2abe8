"""What Prometheus would read from a running server."""

from __future__ import annotations

import http.client
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from gates import PATIENCE_S
from servers import RunningServer
from siamcorr_server.metrics import Metrics

__all__ = ["Scrape", "door_of"]


class Scrape:
    """The samples of one scrape."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = list(samples)

    @classmethod
    def of(cls, address: str) -> Scrape:
        """Scrape a server's metrics at ``address``."""
        connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            assert answer.status == 200
            text = answer.read().decode()
        finally:
            connection.close()
        return cls(sample for family in parse(text) for sample in family.samples)

    def by(self, name: str, *labels: str) -> dict[str | tuple[str, ...], float]:
        """Return the values of ``name`` by one label, or by several."""
        return {
            sample.labels[labels[0]]
            if len(labels) == 1
            else tuple(sample.labels[label] for label in labels): sample.value
            for sample in self.samples
            if sample.name == name
        }

    def __getitem__(self, name: str) -> float:
        """Return the value of ``name``, which has no labels."""
        (value,) = (sample.value for sample in self.samples if sample.name == name)
        return value


def door_of(server: RunningServer) -> Metrics:
    """Return the metrics' door of a server."""
    (door,) = (door for door in server.doors if isinstance(door, Metrics))
    return door
