"""The command line, as a checked load and what to do with its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, resolve
from siamcorr_load.capacity import WITHIN_S
from siamcorr_load.option_clashes import clashes
from siamcorr_load.option_parser import command_parser
from siamcorr_load.settings import Load

__all__ = ["Options", "read_options"]

_TURNS, _LEAST_TURNS = 8, 3
_MAX_WINDOWS = 10
_OWN_SERVER = "its own"
_SEARCH_CAMERAS = 8
_SEARCH_WARM_UP_S = 1.0
_SEARCH_TIMEOUT_S, _SEARCH_PERIODS = 1.0, 4
"""In a search nothing is waited for much longer than a period, unless asked for: overload would pile up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for: a comparison of two files, or a load and maybe the search for the most.

    No trial of a search is begun later than ``within_s`` seconds after its begin.
    The server ``against`` is loaded in turns with the load's, and compared with it; ``runs`` are the files
    that keep what was found of each.
    With ``chaos`` the server that the load names is put through that instead; templates live ``ttl_s`` there.
    To be restarted a server has to be one of our own: ``serve`` is its command line.
    """

    load: Load | None
    compare: tuple[Path, Path] | None = None
    against: str | None = None
    runs: tuple[Path, ...] = ()
    find_capacity: bool = False
    within_s: float = WITHIN_S
    json: Path | None = None
    html: Path | None = None
    quiet: bool = False
    chaos: str | None = None
    serve: str | None = None
    ttl_s: float = 600.0


_OWN = frozenset(field.name for field in fields(Options)) - {"load"}
"""Arguments that are no part of the load."""


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line. What is wrong ends the process, with one line and code 2.

    >>> options = read_options(["--server", "127.0.0.1:1", "--cameras", "8"])
    >>> options.load.cameras, options.load.fps, options.find_capacity
    (8, 25.0, False)
    """
    parser = command_parser()
    given = vars(parser.parse_args(arguments))
    for message in clashes(given):
        parser.error(message)
    own = {name: given.pop(name) for name in _OWN & given.keys()}
    own |= {name: tuple(own[name]) for name in ("compare", "runs") if name in own}
    if "compare" in own:
        return Options(load=None, **own)
    load = Load(**(_defaults(own, given) | given))
    if "find_capacity" in own and "timeout_s" not in given:
        timeout_s = max(_SEARCH_TIMEOUT_S, _SEARCH_PERIODS * load.period_s)
        load = replace(load, timeout_s=timeout_s)
    for message in _refusals(load, is_in_turns="against" in own):
        parser.error(message)
    return Options(load=load, **own)


def _defaults(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is not as in :class:`siamcorr_load.settings.Load` where it is not given."""
    defaults: dict[str, Any] = {"max_windows": max(_MAX_WINDOWS, given.get("windows", 0))}
    if "serve" in own:
        defaults["server"] = _OWN_SERVER
    if "against" in own:
        defaults["repeats"] = _TURNS
    if "find_capacity" in own:  # it sees for itself whether the generators gave out
        defaults |= {"cameras": _SEARCH_CAMERAS, "warm_up_s": _SEARCH_WARM_UP_S, "headroom": False}
    return defaults


def _refusals(load: Load, *, is_in_turns: bool) -> Iterator[str]:
    """Yield which values do not go together."""
    if is_in_turns and load.repeats < _LEAST_TURNS:
        yield f"argument --repeats: found {load.repeats}, expected {_LEAST_TURNS} or more with --against"
    if load.max_windows < load.windows:
        yield f"argument --max-windows: found {load.max_windows}, expected --windows, {load.windows}, or more"
    if load.payload == "features":
        try:
            resolve(Correlation(load.kind), load.template_shape, load.search_shape)
        except InvalidArgument as error:
            yield str(error)
