"""Embedders: what turns crops of a frame into features. Each has a module of its own, loaded when asked for.

Rule: the features of a crop have the same bits whatever other crops share the call, and in whatever order;
and on whatever thread, see :mod:`siamcorr.precision`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from siamcorr.errors import InvalidArgument, ModelNotFound
from siamcorr.geometry import CropSettings

__all__ = ["MODELS", "Embedder", "embedder_of", "load_embedder"]

MODELS = ("hog", "nanotrackv3")
"""The names that :func:`load_embedder` knows."""


class Embedder(Protocol):
    """Crops in, features out, on the device that it was loaded for."""

    @property
    def name(self) -> str:
        """The name that it is asked for by."""

    @property
    def crop(self) -> CropSettings:
        """How it wants its crops cut."""

    @property
    def stride(self) -> int:
        """Pixels of the resized crop a feature cell, in rows and in columns."""

    def shape(self, size_px: int) -> tuple[int, int, int]:
        """Return (C, h, w), the shape of the features of a crop of ``size_px`` by ``size_px``."""

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the features (N, C, h, w) float32 of crops (N, S, S, 3) uint8 BGR."""


def load_embedder(name: str, path: str | None, device: torch.device) -> Embedder:
    """Return the embedder of this name, on ``device``.

    Args:
        name: one of :data:`MODELS`.
        path: the file with the weights, for a network; None for ``hog``, which has none.
        device: where its crops are and its features shall be.

    Raises:
        InvalidArgument: names ``model``: an unknown name, a path too many or too few, or a file that is not
            what the network needs.
    """
    if name not in _LOADERS:
        raise InvalidArgument.found("model", repr(name)[:80], f"one of {', '.join(MODELS)}")
    return _LOADERS[name](path, device)


def embedder_of(name: str | None, embedders: Mapping[str, Embedder]) -> Embedder:
    """Find an embedder.

    Raises:
        ModelNotFound: nothing of that name is loaded.
    """
    if name is not None and name in embedders:
        return embedders[name]
    loaded = ", ".join(embedders) or "none"
    raise ModelNotFound(f"model: found {name!r:.80}, expected one that is loaded: {loaded}", field="model")


def _hog(path: str | None, device: torch.device) -> Embedder:
    if path is not None:
        raise InvalidArgument.found("model", f"a file for hog, {path[:80]!r}", "none: hog has no weights")
    from siamcorr.embed.hog import Hog  # noqa: PLC0415 - only the embedders that are asked for are loaded

    return Hog(device)


def _nanotrackv3(path: str | None, device: torch.device) -> Embedder:
    if path is None:
        raise InvalidArgument.found("model", "no file for nanotrackv3", "the path of its state dict")
    from siamcorr.embed.nanotrack import NanoTrackV3  # noqa: PLC0415
    from siamcorr.embed.weights import read_state_dict  # noqa: PLC0415

    return NanoTrackV3(read_state_dict(path), device)


_LOADERS: dict[str, Callable[[str | None, torch.device], Embedder]] = dict(
    zip(MODELS, (_hog, _nanotrackv3), strict=True)
)
