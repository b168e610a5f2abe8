"""The trackers whose reports a folder holds, beside each other: a table and plots.

Only those that followed the same frames of the same sequences are compared: those of the tracker that was
just run, or else the most.
"""

from __future__ import annotations

import sys
from pathlib import Path

from siamcorr.errors import InvalidArgument
from siamcorr_eval.plots import draw
from siamcorr_eval.report import Standing, comparison
from siamcorr_eval.results import REPORT

__all__ = ["compare"]


def compare(out: Path, tracker: str | None = None) -> None:
    """Print the table and write the plots.

    Args:
        out: the folder with a folder for each tracker.
        tracker: the one to compare with; None takes those of which there are most.

    Raises:
        InvalidArgument: names ``--out``: it holds no report, or cannot be written.
    """
    standings = [one for path in sorted(out.glob(f"*/{REPORT}")) if (one := _read(path)) is not None]
    if tracker is not None and not any(one.tracker == tracker for one in standings):
        return  # nothing could be measured
    if not standings:
        raise InvalidArgument.found("--out", f"no reports in {out}", "those of earlier runs")
    chosen = _comparable(standings, tracker)
    if len(chosen) > 1 or tracker is None:
        print(f"\n{comparison(chosen)}")
    if left_out := sorted({one.tracker for one in standings} - {one.tracker for one in chosen}):
        print(f"of other frames, so not compared: {', '.join(left_out)}")
    try:
        print(*(f"plot: {path}" for path in draw(chosen, out)), sep="\n")
    except ModuleNotFoundError as error:
        print(f"siamcorr-eval: no plots without {error.name}: pip install 'siamcorr[eval]'", file=sys.stderr)


def _comparable(standings: list[Standing], tracker: str | None) -> list[Standing]:
    groups = [[one for one in standings if one.frames == first.frames] for first in standings]
    if tracker is not None:
        groups = [group for group in groups if any(one.tracker == tracker for one in group)]
    return max(groups, key=len)


def _read(path: Path) -> Standing | None:
    try:
        return Standing.of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
