"""siamcorr-demo: follows targets through a video with a siamcorr server, and shows what it sees."""

from __future__ import annotations

__all__: list[str] = []
