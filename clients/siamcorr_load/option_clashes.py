"""Which options do not go together: one that would do nothing is refused, or one would believe that it did.

Options go by the parser's names here, in the order in which they were given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["clashes"]

_REPORT = {"json", "html", "quiet"}
_ALONE = {
    "compare": {"compare", *_REPORT},
    "chaos": {"chaos", "server", "serve", "ttl_s", "seed", "quiet"},
}
"""Beside these nothing else has a meaning."""

_IDLE = {
    "find_capacity": ("against", "concurrency", "windows", "max_windows", "tolerance", "repeats", "headroom"),
    "against": ("max_windows", "tolerance", "headroom", "server_pid", "metrics_url"),
    "concurrency": ("pattern",),
    "frames": ("frame_size",),
    "serve": ("server", "seed"),
}
"""What does nothing, or would mean two things, beside these: a search looks itself how often and how long,
and servers in turns have a fixed number of windows, and two accounts."""

_NEEDS = {"within_s": ("find_capacity", ""), "runs": ("against", " HOST:PORT"), "ttl_s": ("chaos", " MODE")}
_OF_FRAMES = ("model", "frames", "frame_size")
_OF_FEATURES = ("template_shape", "search_shape", "wire_dtype")
_FRAMES_BESIDE = "expected --payload jpeg or raw beside it"


def clashes(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not go together, a sentence each.

    Args:
        given: the options of the command line by their names in the parser, without defaults.

    >>> list(clashes({"server": "a:1", "find_capacity": True, "repeats": 2}))
    ['argument --repeats: not allowed with argument --find-capacity']
    >>> list(clashes({"server": "a:1", "ttl_s": 10.0}))
    ['argument --ttl: expected --chaos MODE beside it']
    """
    if (given.get("chaos") == "restart") != ("serve" in given):
        yield "argument --serve: expected --chaos restart and --serve FLAGS, both or neither"
    if not given.keys() & {"server", "compare", "serve"}:
        yield "found no server, expected --server HOST:PORT or --compare A.json B.json"
    for one, others in _ALONE.items():
        if one in given:
            yield from (_not_beside(name, one) for name in given if name not in others)
    for one, idle in _IDLE.items():
        if one in given:
            yield from (_not_beside(name, one) for name in idle if name in given)
    for name, (needed, value) in _NEEDS.items():
        if name in given and needed not in given:
            yield f"argument {_option(name)}: expected {_option(needed)}{value} beside it"
    if given.get("output") == "peaks" and "map_dtype" in given:
        yield "argument --map-dtype: not allowed with --output peaks, which has no maps"
    yield from _of_the_payload(given)


def _of_the_payload(given: Mapping[str, Any]) -> Iterator[str]:
    kind = given.get("kind")
    if given.get("payload", "features") == "features":
        yield from (f"argument {_option(name)}: {_FRAMES_BESIDE}" for name in _OF_FRAMES if name in given)
        if kind == "network":
            yield f"argument --kind: network {_FRAMES_BESIDE}"
        return
    for name in _OF_FEATURES:
        if name in given:
            yield f"argument {_option(name)}: expected --payload features beside it"
    if kind == "network" and "output" in given:
        yield "argument --output: not allowed with --kind network, whose outputs are its own"


def _not_beside(name: str, other: str) -> str:
    return f"argument {_option(name)}: not allowed with argument {_option(other)}"


def _option(name: str) -> str:
    """Return how an option is written, by its name in the parser.

    >>> [_option(name) for name in ("within_s", "template_shape", "headroom", "frames")]
    ['--within', '--template', '--no-headroom', '--frames']
    """
    if name == "headroom":
        return "--no-headroom"
    return f"--{name.removesuffix('_s').removesuffix('_shape').replace('_', '-')}"
