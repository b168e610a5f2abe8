"""siamcorr-eval: runs trackers over sequences with ground truth, and says how well they did."""

from __future__ import annotations

__all__: list[str] = []
