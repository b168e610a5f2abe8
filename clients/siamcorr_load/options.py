"""The command line, as a checked load and what to do with its result."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, resolve
from siamcorr_load.chaos import MODES
from siamcorr_load.pacer import PATTERNS
from siamcorr_load.settings import KINDS, PAYLOADS, Load

__all__ = ["Options", "read_options"]

_DESCRIPTION = """\
Load a siamcorr-server as trackers do, and say how well it answers: N cameras at a frame rate, M targets each.
Latency counts from the moment at which a frame was due. A run that cannot be believed says so, and why."""

_OWN = ("compare", "find_capacity", "json", "html", "quiet", "chaos", "ttl_s")
"""Arguments that are no part of the load."""

_EXAMPLES = """\
examples:
  siamcorr-load --server 127.0.0.1:50051 --find-capacity --html capacity.html
  siamcorr-load --server 127.0.0.1:50051 --cameras 8 --targets 4 --json a.json --html a.html
  siamcorr-load --server 127.0.0.1:50051 --payload jpeg --frames video/ --life 10 --update-every 25
  siamcorr-load --server HOST:50051 --concurrency 4 --kind depthwise --template 256,5,5 --search 256,29,29
  siamcorr-load --compare a.json b.json
  siamcorr-load --server 127.0.0.1:50051 --chaos kill --ttl 10

exit codes: 0 a valid run, 1 one that cannot be believed, or a comparison that found worse, 2 something is
wrong with the command, or the server cannot be reached"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for: a comparison of two files, or a load and maybe the search for the most.

    With ``chaos`` the server that the load names is put through that instead; templates live ``ttl_s`` there.
    """

    load: Load | None
    compare: tuple[Path, Path] | None
    find_capacity: bool
    json: Path | None
    html: Path | None
    quiet: bool
    chaos: str | None
    ttl_s: float


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line. What is wrong ends the process, with one line and code 2.

    >>> options = read_options(["--server", "127.0.0.1:1", "--cameras", "8"])
    >>> options.load.cameras, options.load.fps, options.find_capacity
    (8, 25.0, False)
    """
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    own = {name: given.pop(name) for name in _OWN}
    compare = own.pop("compare")
    if compare is not None:
        if given["server"]:
            parser.error("argument --compare: not allowed with argument --server")
        first, second = compare
        return Options(load=None, compare=(first, second), **own)
    if not given["server"]:
        parser.error("found no server, expected --server HOST:PORT or --compare A.json B.json")
    load = Load(**given)
    if own["find_capacity"] and own["chaos"]:
        parser.error("argument --chaos: not allowed with argument --find-capacity")
    if own["find_capacity"] and load.concurrency is not None:
        parser.error("argument --find-capacity: not allowed with argument --concurrency")
    if load.frames is not None and load.payload == "features":
        parser.error("argument --frames: expected --payload jpeg or raw beside it")
    if load.payload == "features":
        if load.kind == "network":
            parser.error("argument --kind: network expected --payload jpeg or raw beside it")
        try:
            resolve(Correlation(load.kind), load.template_shape, load.search_shape)
        except InvalidArgument as error:
            parser.error(str(error))
    return Options(load=load, compare=None, **own)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line: a usage in front would hide it."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="siamcorr-load",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=None,
    )
    parser.add_argument("--server", metavar="HOST:PORT", help="the server to load")
    parser.add_argument(
        "--compare", nargs=2, metavar=("A.json", "B.json"), type=Path, help="what became better or worse"
    )
    parser.add_argument(
        "--find-capacity", action="store_true", help="find the most targets that are answered in time"
    )
    _add_load(parser.add_argument_group("the load"))
    _add_payload(parser.add_argument_group("what is sent"))
    _add_measuring(parser.add_argument_group("how it is measured"))
    report = parser.add_argument_group("the report")
    report.add_argument("--json", metavar="FILE", type=Path, help="write the result")
    report.add_argument("--html", metavar="FILE", type=Path, help="write a page with plots")
    report.add_argument("--quiet", action="store_true", help="no progress")
    chaos = parser.add_argument_group("chaos instead of a load")
    chaos.add_argument(
        "--chaos", choices=tuple(MODES), help="clients that behave badly; is the server sound after?"
    )
    chaos.add_argument(
        "--ttl", dest="ttl_s", metavar="S", type=_number(0, 86_400), default=600.0, help="the server's (600)"
    )
    return parser


def _add_load(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--cameras", metavar="N", type=_count(), default=1, help="cameras (1)")
    add("--fps", metavar="RATE", type=_number(0.1, 10_000), default=25.0, help="frames a second of each (25)")
    add("--targets", metavar="M", type=_count(most=4096), default=1, help="targets of each camera (1)")
    add("--pattern", choices=PATTERNS, default="jittered", help="when frames are due (jittered)")
    add("--concurrency", metavar="N", type=_count(), help="a closed loop: N requests out, whatever is due")
    add(
        "--life",
        dest="life_s",
        metavar="S",
        type=_number(0.1, 1e6),
        help="a target is replaced after S seconds",
    )
    add(
        "--update-every",
        metavar="N",
        type=_count(least=0),
        default=0,
        help="a template is updated each N frames",
    )


def _add_payload(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--payload", choices=PAYLOADS, default="features", help="features, or frames (features)")
    add("--kind", choices=KINDS, default="naive", help="the correlation, or the model's network (naive)")
    add("--template", dest="template_shape", metavar="C,h,w", type=_shape(3), default=(256, 6, 6))
    add("--search", dest="search_shape", metavar="C,H,W", type=_shape(3), default=(256, 22, 22))
    add("--wire-dtype", choices=("float32", "float16"), default="float32", help="of features (float32)")
    add("--map-dtype", choices=("float32", "float16"), default="float32", help="of responses (float32)")
    add("--output", choices=("map", "peaks", "both"), default="map", help="what comes back (map)")
    add("--model", metavar="NAME", help="for frames: a model of the server's")
    add("--frames", metavar="DIR", help="a folder of JPEG files; without it frames are drawn")
    add(
        "--frame-size",
        metavar="W,H",
        type=_shape(2, least=64),
        default=(640, 480),
        help="of drawn frames (640,480)",
    )
    add("--shared-memory", action="store_true", help="send through memory that the server shares")
    add("--stream", action="store_true", help="one stream for each camera, not a call for each frame")


def _add_measuring(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--processes", metavar="N", type=_count(most=256), default=1, help="generator processes (1)")
    add(
        "--warm-up",
        dest="warm_up_s",
        metavar="S",
        type=_number(0, 3600),
        default=2.0,
        help="seconds left out (2)",
    )
    add(
        "--window",
        dest="window_s",
        metavar="S",
        type=_number(0.1, 3600),
        default=2.0,
        help="seconds of a window (2)",
    )
    add("--windows", metavar="N", type=_count(least=3), default=3, help="windows at least (3)")
    add("--max-windows", metavar="N", type=_count(least=3), default=10, help="windows until three agree (10)")
    add(
        "--tolerance", metavar="SHARE", type=_number(0, 10), default=0.2, help="within which they agree (0.2)"
    )
    add("--repeats", metavar="N", type=_count(), default=1, help="do it all N times (1)")
    add(
        "--check-every",
        metavar="N",
        type=_count(least=0),
        default=10,
        help="check each Nth answer; 0: none (10)",
    )
    add(
        "--no-headroom",
        dest="headroom",
        action="store_false",
        help="do not try a server that answers at once",
    )
    add(
        "--timeout",
        dest="timeout_s",
        metavar="S",
        type=_number(0.001, 3600),
        default=10.0,
        help="of a request (10)",
    )
    add("--seed", metavar="N", type=_count(least=0), default=0, help="of all that is random (0)")
    add("--server-pid", metavar="PID", type=_count(), help="the server's process, to tell its memory")


def _count(least: int = 1, most: int = 1 << 20) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected a number from {least} to {most}")
        return int(text)

    return read


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected {least:g} to {most:g}")
        return value

    return read


def _shape(axes: int, least: int = 1) -> Callable[[str], tuple[int, ...]]:
    def read(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if len(parts) != axes or not all(part.isdecimal() and int(part) >= least for part in parts):
            raise argparse.ArgumentTypeError(
                f"found {text!r:.80}, expected {axes} numbers from {least}, with commas"
            )
        return tuple(int(part) for part in parts)

    return read
