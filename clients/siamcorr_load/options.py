"""The command line, as a checked load and what to do with its result."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, resolve
from siamcorr_load.option_parser import command_parser
from siamcorr_load.settings import Load

__all__ = ["Options", "read_options"]

_OWN = ("compare", "against", "find_capacity", "within_s", "json", "html", "quiet", "chaos", "serve", "ttl_s")
"""Arguments that are no part of the load."""

_TURNS, _LEAST_TURNS = 8, 3
_MAX_WINDOWS = 10
_OWN_SERVER = "its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for: a comparison of two files, or a load and maybe the search for the most.

    No trial of a search is begun later than ``within_s`` seconds after its begin.
    The server ``against`` is loaded in turns with the load's, and compared with it.
    With ``chaos`` the server that the load names is put through that instead; templates live ``ttl_s`` there.
    To be restarted a server has to be one of our own: ``serve`` is its command line.
    """

    load: Load | None
    compare: tuple[Path, Path] | None
    against: str | None
    find_capacity: bool
    within_s: float
    json: Path | None
    html: Path | None
    quiet: bool
    chaos: str | None
    serve: str | None
    ttl_s: float


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line. What is wrong ends the process, with one line and code 2.

    >>> options = read_options(["--server", "127.0.0.1:1", "--cameras", "8"])
    >>> options.load.cameras, options.load.fps, options.find_capacity
    (8, 25.0, False)
    """
    parser = command_parser()
    given = vars(parser.parse_args(arguments))
    own = {name: given.pop(name) for name in _OWN}
    compare = own.pop("compare")
    if compare is not None:
        for name in ("server", "against", "find_capacity", "chaos", "serve"):
            if (given | own)[name] not in (None, False):
                option = name.replace("_", "-")
                parser.error(f"argument --compare: not allowed with argument --{option}")
        first, second = compare
        return Options(load=None, compare=(first, second), **own)
    given["server"] = _server(parser, given["server"], own)
    if given["cameras"] is None:
        given["cameras"] = 8 if own["find_capacity"] else 1
    if given["repeats"] is None:
        given["repeats"] = 1 if own["against"] is None else _TURNS
    if given["max_windows"] is None:
        given["max_windows"] = max(_MAX_WINDOWS, given["windows"])
    load = Load(**given)
    for message in _refusals(load, own):
        parser.error(message)
    return Options(load=load, compare=None, **own)


def _refusals(load: Load, own: dict[str, Any]) -> Iterator[str]:
    """Yield what does not go together."""
    if own["against"] is not None:
        if own["find_capacity"] or own["chaos"] or load.repeats < _LEAST_TURNS:
            yield f"argument --against: expected a load alone, and --repeats {_LEAST_TURNS} or more"
        if load.metrics_url is not None:
            yield "argument --metrics-url: not allowed with argument --against"
    if own["chaos"]:
        if own["find_capacity"]:
            yield "argument --chaos: not allowed with argument --find-capacity"
        if own["json"] or own["html"]:
            yield "argument --chaos: not allowed with argument --json or --html"
    if own["find_capacity"] and load.concurrency is not None:
        yield "argument --find-capacity: not allowed with argument --concurrency"
    if load.max_windows < load.windows:
        yield f"argument --max-windows: found {load.max_windows}, expected --windows, {load.windows}, or more"
    if load.payload != "features":
        return
    if load.frames is not None:
        yield "argument --frames: expected --payload jpeg or raw beside it"
    if load.kind == "network":
        yield "argument --kind: network expected --payload jpeg or raw beside it"
    try:
        resolve(Correlation(load.kind), load.template_shape, load.search_shape)
    except InvalidArgument as error:
        yield str(error)


def _server(parser: argparse.ArgumentParser, given: str | None, own: dict[str, Any]) -> str:
    if (own["chaos"] == "restart") != (own["serve"] is not None):
        parser.error("argument --serve: expected --chaos restart and --serve FLAGS, both or neither")
    if own["serve"] is not None:
        if given:
            parser.error("argument --serve: not allowed with argument --server")
        return _OWN_SERVER
    if not given:
        parser.error("found no server, expected --server HOST:PORT or --compare A.json B.json")
    return given
