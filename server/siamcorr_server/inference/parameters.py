"""A request's parameters: the protocol's own, and the model's options. An unknown one is an error.

Triton's client sends some by itself. ``timeout`` is honoured; sequences and priorities have no meaning here,
where every request stands alone and is served in its turn, and are let pass.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from siamcorr.arguments import is_int
from siamcorr.errors import InvalidArgument
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

__all__ = [
    "EMPTY_FINAL",
    "Parameter",
    "Place",
    "as_options",
    "models_own",
    "place_of",
    "timeout_of",
]

Parameter: TypeAlias = bool | int | float | str

EMPTY_FINAL = "triton_enable_empty_final_response"
"""Asks that the last answer to a request says so."""

_PROTOCOL = frozenset(
    {
        *("sequence_id", "sequence_start", "sequence_end", "priority", "timeout"),
        *("binary_data_output", EMPTY_FINAL),
    }
)
_PLACE = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")
_CELLS = ("padding", "stride", "dilation")
_PAIR = re.compile(r"(\d{1,7}), ?(\d{1,7})")
_MOST_TIMEOUT_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor is, or shall be, in a region of shared memory."""

    region: str
    offset: int
    byte_size: int


def _values(
    parameters: Mapping[str, pb.InferParameter],
    field: str,
    allowed: Collection[str],
    let_pass: Collection[str] = (),
) -> dict[str, Parameter]:
    """Return parameters by name.

    Raises:
        InvalidArgument: names ``field`` and the parameter: it is not allowed, or has no value.
    """
    values: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        if name not in allowed and name not in let_pass:
            expected = f"one of {', '.join(sorted(allowed))}" if allowed else "none"
            raise InvalidArgument.found(field, repr(name)[:80], expected)
        which = parameter.WhichOneof("parameter_choice")
        if which is None:
            raise InvalidArgument.found(f"{field}.{name}", "none", "a value")
        values[name] = getattr(parameter, which)
    return values


def place_of(parameters: Mapping[str, pb.InferParameter], field: str) -> Place | None:
    """Return where in shared memory a tensor is; None if it is not.

    Raises:
        InvalidArgument: names the parameter.
    """
    if not parameters:
        return None
    values = _values(parameters, f"{field}.parameters", _PLACE)
    region = values.get("shared_memory_region")
    offset, byte_size = values.get("shared_memory_offset", 0), values.get("shared_memory_byte_size")
    if not isinstance(region, str):
        raise InvalidArgument.found("shared_memory_region", repr(region)[:80], "the name of a region")
    if not is_int(offset):
        raise InvalidArgument.found("shared_memory_offset", repr(offset)[:80], "a number of bytes")
    if not is_int(byte_size):
        raise InvalidArgument.found("shared_memory_byte_size", repr(byte_size)[:80], "a number of bytes")
    return Place(region, offset, byte_size)


def as_options(parameters: Mapping[str, pb.InferParameter], allowed: Collection[str]) -> dict[str, Parameter]:
    """Return a request's parameters; the protocol's own are among them.

    Raises:
        InvalidArgument: names ``parameters``.
    """
    return _values(parameters, "parameters", allowed, _PROTOCOL) if parameters else {}


def timeout_of(parameters: Mapping[str, pb.InferParameter]) -> float | None:
    """Return how many seconds a request may take: it says so in microseconds, and 0 is no bound.

    Raises:
        InvalidArgument: names ``timeout``.
    """
    if "timeout" not in parameters:
        return None
    timeout_us = _values({"timeout": parameters["timeout"]}, "parameters", _PROTOCOL)["timeout"]
    if not is_int(timeout_us) or not 0 <= timeout_us <= _MOST_TIMEOUT_US:
        raise InvalidArgument.found("timeout", repr(timeout_us)[:80], "microseconds, 0 or more")
    return timeout_us * 1e-6 if timeout_us else None


def models_own(options: dict[str, Parameter]) -> dict[str, object]:
    """Return the options that are the model's; a pair of cells is written ``"1,2"``.

    >>> models_own({"priority": 1, "gain": 0.5, "padding": "1,2"})
    {'gain': 0.5, 'padding': (1, 2)}
    """
    own: dict[str, object] = {name: value for name, value in options.items() if name not in _PROTOCOL}
    for name in _CELLS:
        value = own.get(name)
        if isinstance(value, str) and (pair := _PAIR.fullmatch(value)):
            own[name] = int(pair[1]), int(pair[2])
    return own
