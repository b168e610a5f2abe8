"""Metrics for Prometheus, on an HTTP port of their own. ``docs/metrics.md`` has the list of them."""

from __future__ import annotations

from siamcorr_server.metrics.door import Metrics

__all__ = ["Metrics"]
