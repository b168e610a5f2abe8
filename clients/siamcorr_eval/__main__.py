"""The program ``siamcorr-eval``: from the command line to the last plot.

Exit codes: 0 when all is done; 1 when the server failed, or a sequence; 2 when something is wrong with the
command or its files; 128 and the signal's number after a signal. A sequence that fails, for one of its frames
cannot be read, is told and left out of the figures, and the others are still followed.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from siamcorr.closed_pipe import quiet_when_unread
from siamcorr.errors import InvalidArgument, ModelNotFound, SiamcorrError
from siamcorr_eval.compare import compare
from siamcorr_eval.follow import follow
from siamcorr_eval.measures import measure
from siamcorr_eval.opencv import opencv_trackers
from siamcorr_eval.options import Options, read_options
from siamcorr_eval.report import Measured, Report
from siamcorr_eval.results import REPORT, make_folder, write_text, write_track
from siamcorr_eval.sequences import TrackedSequence, find_sequences
from siamcorr_eval.trackers import MakeTracker, served_trackers

__all__ = ["main"]


@quiet_when_unread
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the evaluation; return the exit code."""
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    try:
        if options.name is None:
            compare(options.out)
            return 0
        return _evaluate(options, options.name)
    except (InvalidArgument, ModelNotFound) as error:
        return _complain(error, 2)
    except SiamcorrError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _evaluate(options: Options, name: str) -> int:
    sequences = find_sequences(options.sequences, frames=options.frames)
    for note in (note for sequence in sequences for note in sequence.notes):
        print(f"siamcorr-eval: note: {note}", file=sys.stderr)
    make_folder(options.out / name)
    report = Report(name, [sequence.name for sequence in sequences], options.frames)
    with _trackers(options, name) as make_tracker:
        print(report.head(), flush=True)
        for sequence in sequences:
            _take(report, sequence, make_tracker, options.out)
            print(report.row(sequence.name), flush=True)
    print(report.foot())
    for path in filter(None, (options.out / name / REPORT, options.json)):
        write_text(path, report.as_json())
    compare(options.out, name)
    return 1 if report.failed else 0


def _trackers(options: Options, name: str) -> AbstractContextManager[MakeTracker]:
    if options.is_opencv:
        return nullcontext(opencv_trackers(name, options.files))
    return served_trackers(name, options.files, options.server)


def _take(report: Report, sequence: TrackedSequence, make_tracker: MakeTracker, out: Path) -> None:
    try:
        with make_tracker() as tracker:
            track = follow(tracker, sequence)
    except InvalidArgument as error:
        report.failed[sequence.name] = error.message
        return
    write_track(out, report.tracker, sequence.name, track)
    measures = measure(track.boxes, sequence.truth, track.size)
    report.measured[sequence.name] = Measured(measures, track.times_s[1:])


def _complain(error: SiamcorrError, code: int) -> int:
    print(f"siamcorr-eval: error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
