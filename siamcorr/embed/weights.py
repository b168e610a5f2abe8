"""Weights from files: read as data, checked by name and shape before a network sees them.

A checkpoint is a pickle, and a pickle is a program. Only ``torch.load(weights_only=True)`` reads one here: it
builds tensors and plain containers, and refuses the rest. What it refuses is refused; there is no way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from siamcorr.errors import InvalidArgument

__all__ = ["StateDict", "read_state_dict", "select"]

StateDict = Mapping[str, torch.Tensor]

_NAMES_SHOWN = 3
_NOT_WEIGHTS = "num_batches_tracked"  # a counter of batch normalisation's training, missing in old files


def read_state_dict(path: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict file by name, on the CPU.

    Raises:
        InvalidArgument: names ``model``: the file cannot be read, or is not a dict of names and tensors.
    """
    expected = "a state dict that torch.load reads with weights_only=True"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        found = f"no readable file at {path!r} ({error.strerror})"
        raise InvalidArgument.found("model", found, expected) from error
    except Exception as error:  # the unpickler passes on whatever a broken file makes it hit
        found = f"{path!r}, which it refuses ({type(error).__name__})"
        raise InvalidArgument.found("model", found, expected) from error
    if not isinstance(state, Mapping):
        raise InvalidArgument.found("model", f"a {type(state).__name__} in {path!r}", expected)
    tensors = {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors or len(tensors) != len(state):
        raise InvalidArgument.found("model", f"a dict with {_first(state)} in {path!r}", expected)
    return tensors


def select(state: StateDict, prefix: str, shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with ``prefix``, without it, if they are those of ``shapes``.

    Other names belong to other parts of the network and are left alone. Counters of training steps are not
    weights: they may be there or not, and are left out.

    Raises:
        InvalidArgument: names ``model``, and the first names that are missing, unexpected or misshapen.

    >>> state = {"backbone.0.weight": torch.zeros(2, 3), "head.0.bias": torch.zeros(2)}
    >>> list(select(state, "backbone.", {"0.weight": torch.Size((2, 3))}))
    ['0.weight']
    >>> select(state, "backbone.", {"0.bias": torch.Size((2,))})
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: model: found backbone.0.weight unexpected, expected backbone.0.bias
    """
    wanted = {name: shape for name, shape in shapes.items() if not name.endswith(_NOT_WEIGHTS)}
    part = {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix) and not key.endswith(_NOT_WEIGHTS)
    }
    missing = [prefix + name for name in wanted if name not in part]
    unexpected = [prefix + name for name in part if name not in wanted]
    if missing or unexpected:
        found = f"{_first(unexpected)} unexpected" if unexpected else f"{_first(missing)} missing"
        expected = _first(missing) if unexpected and missing else f"the {len(wanted)} tensors of its layout"
        raise InvalidArgument.found("model", found, expected)
    for name, shape in wanted.items():
        tensor = part[name]
        if tensor.shape != shape or not tensor.is_floating_point():
            found = f"{prefix}{name} of {tensor.dtype} {tuple(tensor.shape)}"
            raise InvalidArgument.found("model", found, f"floating point {tuple(shape)}")
    return part


def _first(names: Iterable[object]) -> str:
    shown = [str(name)[:80] for name in names] or ["nothing"]
    more = f" and {len(shown) - _NAMES_SHOWN} more" if len(shown) > _NAMES_SHOWN else ""
    return ", ".join(shown[:_NAMES_SHOWN]) + more
