"""Results as JSON text, and back."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from siamcorr.errors import InvalidArgument
from siamcorr_load.results import Capacity, Comparison, Json, Run

__all__ = ["from_json", "to_json"]

_T = TypeVar("_T")


def to_json(result: Run | Capacity | Comparison) -> str:
    """Write a result as JSON text, with the kind of it.

    >>> json.loads(to_json(Comparison((), "no difference")))
    {'result': 'Comparison', 'rows': [], 'verdict': 'no difference', 'warnings': []}
    """
    return json.dumps({"result": type(result).__name__} | dataclasses.asdict(result), indent=1) + "\n"


def from_json(text: str | bytes, kind: type[_T]) -> _T:
    """Read what :func:`to_json` wrote.

    Raises:
        InvalidArgument: names ``json``: it is none, or of another kind.

    >>> from_json(to_json(Comparison((), "no difference")), Comparison)
    Comparison(rows=(), verdict='no difference', warnings=())
    """
    try:
        read = json.loads(text)
    except ValueError as error:
        raise InvalidArgument.found("json", f"{error}"[:80], f"a {kind.__name__}") from error
    found = read.pop("result", "no result") if isinstance(read, dict) else "no object"
    if found != kind.__name__:
        raise InvalidArgument.found("json", repr(found)[:80], f"a {kind.__name__}")
    try:
        value: _T = _read(read, kind)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidArgument.found("json", repr(error)[:80], f"a whole {kind.__name__}") from error
    return value


def _read(value: Json, kind: Any) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        kinds = typing.get_type_hints(kind)
        return kind(**{name: _read(one, kinds[name]) for name, one in value.items()})
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        parts: Sequence[Any] = [inside[0]] * len(value) if inside[-1] is Ellipsis else inside
        return tuple(_read(one, part) for one, part in zip(value, parts, strict=True))
    if origin is Mapping:
        return {inside[0](key): _read(one, inside[1]) for key, one in value.items()}
    if origin is types.UnionType:
        return None if value is None else _read(value, inside[0])
    return kind(value) if kind in (int, float, str, bool) else value
