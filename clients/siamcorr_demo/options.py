"""The command line, as checked values."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from siamcorr_demo.toys import MOST_TOYS

__all__ = ["DEFAULT_VIDEO", "Options", "read_options"]

DEFAULT_VIDEO = Path("out/siamcorr-demo.mp4")

_USUAL_TARGETS = 8

_DESCRIPTION = """\
Follow targets through a video with a siamcorr server; show boxes, scores, response maps and times.

Without a source it follows eight toys through a clip of its own. Without --server it starts a
server for itself. In the window, q or ESC quits and space pauses.

Frames that are grey or of 16 bits are followed as BGR of 8 bits: the upper 8 of 16. A video's
frames of another size are scaled to that of the first; in a folder they are an error."""

_EXAMPLES = """\
examples:
  siamcorr-demo                     the clip of its own
  siamcorr-demo --targets 16        twice as many toys
  siamcorr-demo OTB/Crossing        a data set's folder; boxes and truth are found in it
  siamcorr-demo 0                   camera 0; draw boxes with the mouse
  siamcorr-demo race.mp4 --init 120,80,40,90 --init 300,95,38,88 --out race-followed.mp4
  siamcorr-demo OTB/Crossing --model hog+ridge
  siamcorr-demo VOT/bag --model nanotrackv3=nanotrackv3.pt --headless --json bag.json
  siamcorr-demo race.mp4 --server 10.0.0.5:50051 --model nanotrackv3

exit codes: 0 done, 1 the server failed, 2 something is wrong with the command or its files"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for, and what follows from it.

    ``targets`` is how many toys there are in the clip of its own. ``weights`` is the file of ``model``, for
    the server that is started. ``headless`` is true where there is no screen, and ``out`` is
    :data:`DEFAULT_VIDEO` where nothing else would be left to see.
    """

    source: str | None
    init: list[tuple[float, ...]]
    truth: list[Path]
    targets: int
    server: str | None
    model: str
    weights: str | None
    out: Path | None
    json: Path | None
    snapshot: Path | None
    headless: bool
    frames: int | None


def read_options(arguments: Sequence[str], has_screen: bool) -> Options:
    """Read the command line. What is wrong ends the process, with one line on stderr and code 2.

    >>> read_options(["race.mp4", "--init", "1,2,30,40"], has_screen=True).init
    [(1.0, 2.0, 30.0, 40.0)]
    """
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    if given["targets"] and (given["source"] is not None or given["targets"] > MOST_TOYS):
        parser.error(f"argument --targets: expected 1 to {MOST_TOYS}, and no source but the clip of its own")
    given["targets"] = given["targets"] or _USUAL_TARGETS
    name, equals, weights = given.pop("model").partition("=")
    if not name or (equals and not weights):
        parser.error("argument --model: expected NAME[+TRANSFORM][=FILE]")
    if weights and given["server"]:
        parser.error("argument --model: expected NAME alone with --server, which has its own weights")
    if weights and not Path(weights).is_file():
        parser.error(f"argument --model: found no file {weights!r:.80}, expected the weights of {name}")
    given["headless"] = given["headless"] or not has_screen
    if given["headless"] or given["source"] is None:
        given["out"] = given["out"] or DEFAULT_VIDEO
    return Options(**given, model=name, weights=weights or None)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="siamcorr-demo",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        metavar="VIDEO|FOLDER|CAMERA",
        help="a video, a folder of frames, a camera's number",
    )
    add(
        "--init",
        metavar="X,Y,W,H",
        type=_box,
        action="append",
        default=[],
        help="a target's box in the first frame, in pixels; once for each target",
    )
    add(
        "--truth",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a target's true boxes, a row for each frame: x,y,w,h or a polygon; once for each target",
    )
    add(
        "--targets", metavar="N", type=_count, help=f"how many toys in the clip of its own ({_USUAL_TARGETS})"
    )
    add("--server", metavar="HOST:PORT", help="a server that runs already")
    add(
        "--model",
        metavar="NAME[+TRANSFORM][=FILE]",
        default="hog",
        help="what makes maps of frames (hog), as siamcorr-server knows it, and its weights",
    )
    add(
        "--out", metavar="FILE", type=_ending(".mp4"), help=f"write a video, .mp4 (headless: {DEFAULT_VIDEO})"
    )
    add(
        "--json",
        metavar="FILE",
        type=Path,
        help="write boxes, scores, states, IoUs and latencies of each frame",
    )
    add(
        "--snapshot",
        metavar="FILE",
        type=_ending(".png", ".jpg"),
        help="write the last picture, .png or .jpg",
    )
    add("--headless", action="store_true", help="no window; taken for granted where there is no screen")
    add("--frames", metavar="N", type=_count, help="stop after N frames")
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line: a usage in front would hide it."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def _box(text: str) -> tuple[float, ...]:
    try:
        x, y, w, h = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected four numbers: X,Y,W,H") from None
    return x, y, w, h


def _ending(*endings: str) -> Callable[[str], Path]:
    def path(text: str) -> Path:
        if not text.lower().endswith(endings):
            expected = f"a name that ends in {' or '.join(endings)}"
            raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected {expected}")
        return Path(text)

    return path


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected a number from 1")
    return int(text)
