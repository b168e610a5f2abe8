"""siamcorr-load: loads a server as trackers do, and says how well it answered."""

from __future__ import annotations

__all__: list[str] = []
