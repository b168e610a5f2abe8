"""Weights from files, checked by name and shape before a network sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from siamcorr.embed.checkpoint import read_checkpoint
from siamcorr.errors import InvalidArgument

__all__ = ["StateDict", "load", "read_state_dict", "select"]

StateDict = Mapping[str, torch.Tensor]

_NAMES_SHOWN = 8
_PARALLEL = "module."  # what nn.DataParallel puts before each name
_NOT_WEIGHTS = "num_batches_tracked"  # a counter of batch normalisation's training, missing in old files


def read_state_dict(path: str, *, blank_foreign: bool = False) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict file by name, on the CPU.

    A checkpoint's ``state_dict`` is taken out of it, whatever lies beside it. Where all names begin with
    ``module.``, it is taken off.

    Args:
        path: of ``torch.save`` or a safetensors file.
        blank_foreign: see :func:`siamcorr.embed.checkpoint.read_checkpoint`.

    Raises:
        InvalidArgument: names ``model``: the file cannot be read, or is not a dict of names and tensors.
    """
    state = read_checkpoint(path, blank_foreign=blank_foreign)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    expected = "a state dict: names and tensors"
    if not isinstance(state, Mapping):
        raise InvalidArgument.found("model", f"a {type(state).__name__} in {path!r}", expected)
    tensors = {str(key): value for key, value in state.items() if _is_plain_tensor(value)}
    if not tensors or len(tensors) != len(state):
        others = [key for key in state if str(key) not in tensors]
        raise InvalidArgument.found("model", f"a dict with {_first(others)} in {path!r}", expected)
    if all(key.startswith(_PARALLEL) for key in tensors):
        return {key.removeprefix(_PARALLEL): value for key, value in tensors.items()}
    return tensors


def load(module: nn.Module, state: StateDict, prefix: str = "") -> None:
    """Give a module, which may be on the meta device, the tensors whose names begin with ``prefix``.

    The tensors themselves stay as they are. Counters of training steps stay on the device where they were.

    Raises:
        InvalidArgument: as :func:`select`.
    """
    layout = {name: tensor.shape for name, tensor in module.state_dict().items()}
    tensors = {name: tensor.detach() for name, tensor in select(state, prefix, layout).items()}
    module.load_state_dict(tensors, strict=False, assign=True)


def select(state: StateDict, prefix: str, shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with ``prefix``, without it, if they are those of ``shapes``.

    Other names belong to other parts of the network and are left alone. Counters of training steps are not
    weights: they may be there or not, and are left out.

    Raises:
        InvalidArgument: names ``model``, and says what is missing, unexpected and misshapen: the first names
            of each, and how many more there are.

    >>> state = {"backbone.0.weight": torch.zeros(2, 3), "head.0.bias": torch.zeros(2)}
    >>> list(select(state, "backbone.", {"0.weight": torch.Size((2, 3))}))
    ['0.weight']
    >>> select(state, "backbone.", {"0.bias": torch.Size((2,))})
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: model: found backbone.0.bias missing; backbone.0.weight unexpected, \
expected the 1 tensors of its layout
    """
    wanted = {name: shape for name, shape in shapes.items() if not name.endswith(_NOT_WEIGHTS)}
    part = {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix) and not key.endswith(_NOT_WEIGHTS)
    }
    missing = [prefix + name for name in wanted if name not in part]
    unexpected = [prefix + name for name in part if name not in wanted]
    misshapen = [
        f"{prefix}{name} of {part[name].dtype} {tuple(part[name].shape)} for floating point {tuple(shape)}"
        for name, shape in wanted.items()
        if name in part and not (part[name].shape == shape and part[name].is_floating_point())
    ]
    faults = [
        f"{_first(names)}{fault}"
        for names, fault in ((missing, " missing"), (unexpected, " unexpected"), (misshapen, ""))
        if names
    ]
    if faults:
        raise InvalidArgument.found("model", "; ".join(faults), f"the {len(wanted)} tensors of its layout")
    return part


def _is_plain_tensor(value: object) -> bool:
    """Dense, in memory, and each of its numbers in a place of its own."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _first(names: Iterable[object]) -> str:
    shown = [str(name)[:160] for name in names] or ["nothing"]
    more = f" and {len(shown) - _NAMES_SHOWN} more" if len(shown) > _NAMES_SHOWN else ""
    return ", ".join(shown[:_NAMES_SHOWN]) + more
