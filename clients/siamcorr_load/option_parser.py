"""The options of the command line, and what --help says of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from siamcorr_load.capacity import WITHIN_S
from siamcorr_load.chaos import MODES
from siamcorr_load.option_values import address, count, number, shape
from siamcorr_load.pacer import PATTERNS
from siamcorr_load.settings import KINDS, PAYLOADS

__all__ = ["command_parser"]

_DESCRIPTION = """\
Load a siamcorr-server as trackers do, and say how well it answers: N cameras at a frame rate, M targets each.
Latency counts from the moment at which a frame was due. A run that cannot be believed says so, and why."""

_EXAMPLES = """\
examples:
  siamcorr-load --server 127.0.0.1:50051 --find-capacity --html capacity.html
  siamcorr-load --server 127.0.0.1:50051 --cameras 8 --targets 4 --json a.json --html a.html
  siamcorr-load --server 127.0.0.1:50051 --payload jpeg --frames video/ --life 10 --update-every 25
  siamcorr-load --server HOST:50051 --concurrency 4 --kind depthwise --template 256,5,5 --search 256,29,29
  siamcorr-load --compare a.json b.json
  siamcorr-load --server OLD:50051 --against NEW:50051 --html difference.html
  siamcorr-load --server 127.0.0.1:50051 --chaos kill --ttl 10
  siamcorr-load --chaos restart --serve "--device cpu" --ttl 10

exit codes: 0 a valid run, 1 one that cannot be believed, a comparison that found worse, or a server that is
not sound after chaos, 2 something is wrong with the command, or the server cannot be reached, 130 after
Ctrl-C and 143 after SIGTERM, which report what was measured until then; a second Ctrl-C ends at once"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line: a usage in front would hide it."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def command_parser() -> argparse.ArgumentParser:
    """Return the parser; what is wrong with a single option it says itself.

    What is not given has no attribute: the defaults are those of :class:`siamcorr_load.settings.Load`.
    """
    parser = _Parser(
        prog="siamcorr-load",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--server", metavar="HOST:PORT", type=address, help="the server to load")
    parser.add_argument(
        "--compare", nargs=2, metavar=("A.json", "B.json"), type=Path, help="what became better or worse"
    )
    parser.add_argument(
        "--against",
        metavar="HOST:PORT",
        type=address,
        help="a second server: load both in turns, and compare",
    )
    parser.add_argument(
        "--runs",
        nargs=2,
        metavar=("A.json", "B.json"),
        type=Path,
        help="with --against: keep both runs; --compare pairs them again",
    )
    parser.add_argument(
        "--find-capacity", action="store_true", help="find the most targets that are answered in time"
    )
    parser.add_argument(
        "--within",
        dest="within_s",
        metavar="S",
        type=number(1, 86_400),
        help=f"with --find-capacity: begin no trial later ({WITHIN_S:g} s)",
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
        "--chaos",
        choices=(*MODES, "restart"),
        help="clients that behave badly, or a server that dies; is it sound after?",
    )
    chaos.add_argument(
        "--serve", metavar="FLAGS", help='for restart: run a siamcorr-server of our own, with FLAGS or ""'
    )
    chaos.add_argument(
        "--ttl",
        dest="ttl_s",
        metavar="S",
        type=number(0, 86_400),
        help="with --chaos: the server's --template-ttl (600)",
    )
    return parser


def _add_load(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--cameras", metavar="N", type=count(), help="cameras (1; with --find-capacity begin with 8)")
    add("--fps", metavar="RATE", type=number(0.1, 10_000), help="frames a second of each (25)")
    add("--targets", metavar="M", type=count(most=4096), help="targets of each camera (1)")
    add("--pattern", choices=PATTERNS, help="when frames are due (jittered)")
    add("--concurrency", metavar="N", type=count(), help="a closed loop: N requests out, whatever is due")
    add(
        "--life",
        dest="life_s",
        metavar="S",
        type=number(0.1, 1e6),
        help="a target is replaced after S seconds",
    )
    add(
        "--update-every",
        metavar="N",
        type=count(least=0),
        help="a template is updated each N frames",
    )


def _add_payload(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--payload", choices=PAYLOADS, help="features, or frames (features)")
    add("--kind", choices=KINDS, help="the correlation, or the model's network (naive)")
    add(
        "--template",
        dest="template_shape",
        metavar="C,h,w",
        type=shape(3),
        help="of features (256,6,6)",
    )
    add(
        "--search",
        dest="search_shape",
        metavar="C,H,W",
        type=shape(3),
        help="of features (256,22,22)",
    )
    add("--wire-dtype", choices=("float32", "float16"), help="of features (float32)")
    add("--map-dtype", choices=("float32", "float16"), help="of responses (float32)")
    add("--output", choices=("map", "peaks", "both"), help="what comes back (map)")
    add("--model", metavar="NAME", help="for frames: a model of the server's")
    add("--frames", metavar="DIR", help="a folder of JPEG files; without it frames are drawn")
    add(
        "--frame-size",
        metavar="W,H",
        type=shape(2, least=64),
        help="of drawn frames (640,480)",
    )
    add("--shared-memory", action="store_true", help="send through memory that the server shares")
    add("--stream", action="store_true", help="one stream for each camera, not a call for each frame")


def _add_measuring(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--processes", metavar="N", type=count(most=256), help="generator processes (1)")
    add(
        "--warm-up",
        dest="warm_up_s",
        metavar="S",
        type=number(0, 3600),
        help="seconds left out (2; 1 with --find-capacity)",
    )
    add(
        "--window",
        dest="window_s",
        metavar="S",
        type=number(0.1, 3600),
        help="seconds of a window (2; with --find-capacity at least)",
    )
    add("--windows", metavar="N", type=count(least=3), help="windows at least (3)")
    add(
        "--max-windows", metavar="N", type=count(least=3), help="windows until three agree (10, or --windows)"
    )
    add("--tolerance", metavar="SHARE", type=number(0, 10), help="within which they agree (0.2)")
    add("--repeats", metavar="N", type=count(), help="do it all N times (1; with --against 8)")
    add(
        "--check-every",
        metavar="N",
        type=count(least=0),
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
        type=number(0.001, 3600),
        help="of a request (10; with --find-capacity 1, or 4 frame periods)",
    )
    add("--seed", metavar="N", type=count(least=0), help="of all that is random (0)")
    add("--server-pid", metavar="PID", type=count(), help="the server's process, to tell its memory")
    add(
        "--metrics-url",
        metavar="URL",
        help="the server's --metrics, for its own account: http://HOST:PORT/metrics",
    )
