"""Models: what makes features of crops, and whole networks that make maps. Each has a file of its own.

Rule: what comes of a crop, or of a pair, has the same bits whatever others share the call, in whatever order,
and on whatever thread, see :mod:`siamcorr.precision`.

:mod:`~siamcorr.embed.architecture` says what a file of a network builds, :mod:`~siamcorr.embed.hosted` runs
it, :mod:`~siamcorr.embed.transforms` has what can be made of a template's features, and
:mod:`~siamcorr.embed.weights` reads checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import torch

from siamcorr.embed.hosted import host
from siamcorr.embed.model import Embedder, Model, model_of, network_of
from siamcorr.embed.transforms import transform_of
from siamcorr.embed.weights import read_state_dict
from siamcorr.embed.workers import Workers
from siamcorr.errors import InvalidArgument, ModelNotFound

__all__ = [
    "MODELS",
    "NETWORKS",
    "Embedder",
    "Model",
    "Workers",
    "find_model",
    "load_model",
    "model_of",
    "network_of",
    "transform_of",
]

NETWORKS = {
    "dcfnet": "dcfnet",
    "nanotrackv3": "nanotrack",
    "siamfc": "siamfc",
    "siamrpn": "siamrpn",
    "siamrpnpp_alexnet": "siamrpnpp_alexnet",
    "siamrpnpp_mobilenetv2": "siamrpnpp_mobilenetv2",
    "siamrpnpp_resnet50": "siamrpnpp_resnet50",
}
"""By name, the module here whose ``build`` makes the architecture of a state dict."""

MODELS = ("hog", *NETWORKS)
"""The names that :func:`load_model` knows; behind each there may be ``+`` and a template transform."""


def load_model(name: str, path: str | None, device: torch.device, workers: Workers) -> Model:
    """Return the model of this name, on ``device``.

    Args:
        name: one of :data:`MODELS`, or with a template transform, as in ``hog+ridge``.
        path: the file with the weights, for a network; None for ``hog``, which has none.
        device: where its crops are and its features shall be.
        workers: who runs a network's layers.

    Raises:
        InvalidArgument: names ``model``: an unknown name, a path too many or too few, or a file that is not
            what the network needs.
    """
    base, plus, transform = name.partition("+") if isinstance(name, str) else (name, "", "")
    if base not in MODELS:
        raise InvalidArgument.found("model", repr(name)[:80], f"one of {', '.join(MODELS)}")
    chosen = transform if plus else None
    if base == "hog":
        return _hog(path, chosen, device, workers)
    if path is None:
        raise InvalidArgument.found("model", f"no file for {base}", "the path of its state dict")
    architecture = import_module(f"siamcorr.embed.{NETWORKS[base]}").build(read_state_dict(path))
    return host(architecture, chosen, device, workers)


def find_model(name: str | None, models: Mapping[str, Model]) -> Model:
    """Find a model.

    Raises:
        ModelNotFound: nothing of that name is loaded.
    """
    if name is not None and name in models:
        return models[name]
    loaded = ", ".join(models) or "none"
    raise ModelNotFound(f"model: found {name!r:.80}, expected one that is loaded: {loaded}", field="model")


def _hog(path: str | None, transform: str | None, device: torch.device, workers: Workers) -> Model:
    if path is not None:
        raise InvalidArgument.found("model", f"a file for hog, {path[:80]!r}", "none: hog has no weights")
    from siamcorr.embed.hog import Hog  # noqa: PLC0415 - only the models that are asked for are loaded

    hog = Hog(device, workers)
    return model_of(hog, transform_of(hog.transform if transform is None else transform))
