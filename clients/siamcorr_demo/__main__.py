"""The program ``siamcorr-demo``: from the command line to the last frame.

Exit codes: 0 when all is done, 1 when the server failed, 2 when something is wrong with the command or its
files; 128 and the signal's number after a signal. However it ends, the server that it started ends with it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain, islice

from tqdm import tqdm  # type: ignore[import-untyped]

from siamcorr.closed_pipe import quiet_when_unread
from siamcorr.errors import InvalidArgument, ModelNotFound, SiamcorrError
from siamcorr_client import Client
from siamcorr_client.server_process import options_for, running_server, signals_unwind
from siamcorr_client.trackers import MultiTracker, settings_for
from siamcorr_demo.drawing import Painter
from siamcorr_demo.follow import Follower, Stopwatch
from siamcorr_demo.options import Options, read_options
from siamcorr_demo.report import Report
from siamcorr_demo.sources import Source, clip_source, open_source
from siamcorr_demo.stage import Stage
from siamcorr_demo.targets import choose_targets
from siamcorr_demo.video import Video, write_picture
from siamcorr_demo.window import Window, has_screen, pick_boxes

__all__ = ["main"]

_TIMEOUT_S = 30.0


@quiet_when_unread
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    options = read_options(sys.argv[1:] if arguments is None else arguments, has_screen())
    try:
        with signals_unwind():
            _demonstrate(options)
    except (InvalidArgument, ModelNotFound) as error:
        return _complain(error, 2)
    except SiamcorrError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _demonstrate(options: Options) -> None:
    settings = settings_for(options.model)
    source = clip_source(options.targets) if options.source is None else open_source(options.source)
    frames = islice(source.frames, options.frames)
    total = min(filter(None, (source.count, options.frames)), default=None)
    first = next(frames)
    targets = choose_targets(
        source,
        first,
        init=options.init,
        truth_files=options.truth,
        draw=None if options.headless else pick_boxes,
    )
    report = Report(source.name, options.model, len(targets.boxes))
    with ExitStack() as stack:
        video = stack.enter_context(Video(options.out, source.fps)) if options.out else None
        window = None if options.headless else stack.enter_context(Window(source.fps))
        address = options.server or stack.enter_context(
            running_server(options_for(options.model, options.weights))
        )
        stopwatch = Stopwatch(stack.enter_context(Client(address, timeout_s=_TIMEOUT_S)))
        tracker = stack.enter_context(MultiTracker(stopwatch, model=options.model, settings=settings))
        follower = Follower(tracker, targets, stopwatch)
        bar = stack.enter_context(tqdm(total=total, desc=source.name, unit="frame", disable=None))
        stage = Stage(Painter(first, list(targets.boxes)), report, total=total, video=video, window=window)
        has_ended = True
        for image in chain([first], frames):
            has_ended = stage.take(image, follower.step(image))
            bar.update()
            if not has_ended:
                break
    if has_ended:
        _tell_end(options, source, len(report.frames))
    _hand_over(options, report, stage)


def _tell_end(options: Options, source: Source, frames: int) -> None:
    """Tell of an end that was not to be expected: a camera has none, and a video says how long it is."""
    if frames in {options.frames, source.count}:
        return
    announced = "" if source.count is None else f" of {source.count}"
    print(f"siamcorr-demo: {source.name} gave no more than {frames}{announced} frames", file=sys.stderr)


def _hand_over(options: Options, report: Report, stage: Stage) -> None:
    print(report.table())
    if options.json:
        report.write_json(options.json)
    if options.snapshot and stage.picture is not None:
        write_picture(options.snapshot, stage.picture)
    for what, path in (("video", options.out), ("numbers", options.json), ("picture", options.snapshot)):
        if path:
            print(f"{what}: {path}")


def _complain(error: SiamcorrError, code: int) -> int:
    print(f"siamcorr-demo: error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
