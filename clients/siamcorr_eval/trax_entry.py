"""The program ``siamcorr-trax``: a siamcorr tracker that speaks TraX.

The protocol is the package vot-trax's. It is LGPL by its repository and BSD by its package index, so it is
none of our dependencies: who has the VOT toolkit has it. An implementation of our own was rejected: the text
protocol is small, but its escapes, its five kinds of regions and its versions are not ours to keep up with.

Exit codes: 0 when the client has quit, 1 when the server or the session failed, 2 when something is wrong
with the command; 128 and the signal's number after a signal.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import trax

from siamcorr.errors import SiamcorrError
from siamcorr_eval.options import TraxOptions, read_trax_options
from siamcorr_eval.trackers import served_trackers
from siamcorr_eval.trax_session import serve

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one session; return the exit code."""
    options = read_trax_options(sys.argv[1:] if arguments is None else arguments)
    try:
        # The hello goes out before the server starts: if it does not, the client can be told why.
        channel = trax.Server(
            [trax.Region.RECTANGLE],
            [trax.Image.PATH, trax.Image.BUFFER, trax.Image.MEMORY],
            tracker_name=f"siamcorr-{options.model}",
        )
        reason = _serve(channel, options)
        if reason is None:
            return 0
        print(f"siamcorr-trax: error: {reason}", file=sys.stderr)
        channel.quit(reason)
    except trax.TraxException as error:
        print(f"siamcorr-trax: error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 1


def _serve(channel: trax.Server, options: TraxOptions) -> str | None:
    """Serve until the client quits; return what went wrong."""
    try:
        with (
            served_trackers(options.model, options.weights, options.server) as make_tracker,
            make_tracker() as tracker,
        ):
            serve(channel, tracker, trax.Rectangle.create)
    except SiamcorrError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
