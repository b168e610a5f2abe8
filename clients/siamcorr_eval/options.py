"""The command lines, as checked values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

__all__ = ["DEFAULT_OUT", "Options", "TraxOptions", "read_options", "read_trax_options"]

DEFAULT_OUT = Path("out/siamcorr-eval")

_DESCRIPTION = """\
Run a tracker over sequences with ground truth and measure it: success AUC, precision at 20 px, AO,
SR 0.5 and 0.75, frames a second. SEQUENCES are folders in the layout of OTB, GOT-10k, LaSOT or VOT,
or data sets of such folders. Without --server it starts a server for itself.

DIR keeps what every tracker gave. Runs on the same frames are compared, in a table and in plots;
without a tracker that is all that is done."""

_EXAMPLES = """\
examples:
  siamcorr-eval OTB --model hog --out results
  siamcorr-eval OTB/Crossing VOT/bag --model nanotrackv3=nanotrackv3.pt --out results
  siamcorr-eval OTB --model nanotrackv3 --server 10.0.0.5:50051 --out results --frames 120
  siamcorr-eval OTB --opencv CSRT --out results
  siamcorr-eval OTB --opencv NANO=backbone.onnx,head.onnx --out results
  siamcorr-eval --out results

exit codes: 0 done, 1 the server or a sequence failed, 2 something is wrong with the command or its files"""

_TRAX_DESCRIPTION = """\
Speak TraX on stdin and stdout, so that the VOT toolkit can drive a tracker on a siamcorr server.
It needs the package vot-trax. Without --server it starts a server for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for.

    ``name`` is what results go by: the model's name, with its template transform, or OpenCV's. ``files`` are
    the weights of either. Without a name, what ``out`` holds is shown again.
    """

    sequences: list[Path]
    name: str | None
    files: str | None
    is_opencv: bool
    server: str | None
    out: Path
    json: Path | None
    frames: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraxOptions:
    """What the user asked for: a ``model``, its ``weights`` for a server that is started, or a ``server``."""

    model: str
    weights: str | None
    server: str | None


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line of siamcorr-eval. What is wrong ends the process, with one line and code 2.

    >>> options = read_options(["OTB", "--opencv", "CSRT", "--frames", "120"])
    >>> options.name, options.is_opencv, options.frames
    ('CSRT', True, 120)
    """
    parser = _parser("siamcorr-eval", _DESCRIPTION, _EXAMPLES)
    add = parser.add_argument
    add("sequences", nargs="*", metavar="SEQUENCES", type=Path, help="folders: sequences or data sets")
    trackers = parser.add_mutually_exclusive_group()
    _add_model(trackers)
    trackers.add_argument(
        "--opencv",
        metavar="NAME[=FILES]",
        help="a tracker of OpenCV's: KCF, MIL, CSRT or NANO=BACKBONE.onnx,HEAD.onnx",
    )
    add("--server", metavar="HOST:PORT", help="a server that runs already")
    add("--out", metavar="DIR", type=Path, default=DEFAULT_OUT, help=f"where results go ({DEFAULT_OUT})")
    add("--frames", metavar="N", type=_count, help="the first N frames of each sequence")
    add("--json", metavar="FILE", type=Path, help="a second copy of DIR/NAME/report.json")
    given = vars(parser.parse_args(arguments))
    model, opencv = given.pop("model"), given.pop("opencv")
    if opencv and given["server"]:
        parser.error("argument --opencv: not allowed with argument --server")
    name, files = (None, None)
    if model:
        name, files = _name_and_weights(parser, model, given["server"])
    elif opencv:
        name, _, files = opencv.partition("=")
    if given["sequences"] and name is None:
        parser.error("found no tracker, expected --model NAME[=FILE] or --opencv NAME")
    if name is not None and not given["sequences"]:
        parser.error(f"found no SEQUENCES, expected some for {name!r:.80} to follow")
    return Options(**given, name=name, files=files or None, is_opencv=bool(opencv))


def read_trax_options(arguments: Sequence[str]) -> TraxOptions:
    """Read the command line of siamcorr-trax. What is wrong ends the process, with one line and code 2.

    >>> read_trax_options(["--model", "hog"])
    TraxOptions(model='hog', weights=None, server=None)
    """
    parser = _parser("siamcorr-trax", _TRAX_DESCRIPTION, None)
    _add_model(parser, default="hog")
    parser.add_argument("--server", metavar="HOST:PORT", help="a server that runs already")
    given = parser.parse_args(arguments)
    model, weights = _name_and_weights(parser, given.model, given.server)
    return TraxOptions(model=model, weights=weights, server=given.server)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line: a usage in front would hide it."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def _parser(program: str, description: str, epilog: str | None) -> _Parser:
    return _Parser(
        prog=program,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_model(to: argparse._ActionsContainer, default: str | None = None) -> None:
    said = f" ({default})" if default else ""
    to.add_argument(
        "--model",
        metavar="NAME[=FILE]",
        default=default,
        help=f"a model of the server's, and its weights{said}",
    )


def _name_and_weights(parser: _Parser, text: str, server: str | None) -> tuple[str, str | None]:
    name, equals, weights = text.partition("=")
    if not name or (equals and not weights):
        parser.error("argument --model: expected NAME or NAME=FILE")
    if weights and server:
        parser.error("argument --model: expected NAME alone with --server, which has its own weights")
    if weights and not Path(weights).is_file():
        parser.error(f"argument --model: found no file {weights!r:.80}, expected the weights of {name}")
    return name, weights or None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected a number from 1")
    return int(text)
