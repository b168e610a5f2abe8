"""The version that runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["own_version"]


def own_version() -> str:
    """Return siamcorr's version, or that it is run from a source tree."""
    try:
        return version("siamcorr")
    except PackageNotFoundError:
        return "(not installed)"
