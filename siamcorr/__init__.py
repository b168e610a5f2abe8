"""Siamese correlation as a service: resident templates, batched cross-correlation, response maps.

``Engine`` needs torch: ``pip install siamcorr[engine]``. It is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siamcorr.engine import Engine
    from siamcorr.settings import EngineSettings

__all__ = ["Engine", "EngineSettings"]

_HOMES = {"Engine": "siamcorr.engine", "EngineSettings": "siamcorr.settings"}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use, so that ``import siamcorr`` stays light."""
    if name == "__version__":
        return version("siamcorr")
    if name not in _HOMES:
        raise AttributeError(f"module 'siamcorr' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"siamcorr.{name} needs {error.name}: pip install siamcorr[engine]") from error
