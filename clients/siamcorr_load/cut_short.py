"""What cuts a load test short, so that what was measured until then is reported and not lost.

Rules:

- A server that goes away, or a generator that fails, ends a run or a search with a reason why it is not to be
  believed. Where nothing was measured yet it is an error as ever.
- So does the first Ctrl-C, and the exit code tells of it. The generators do not hear it: they end when the
  controller lets go of them, and drop their templates. The second one ends the process at once.
- SIGTERM is taken as a Ctrl-C, by whoever it is sent. A further one changes nothing: ``timeout`` sends it to
  the program and once more to all of its group.
- Once all is measured a signal does not keep it from being reported.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

from siamcorr.errors import SiamcorrError
from siamcorr_load.results import INVALID, Run, Verdict

__all__ = ["CUTS", "Interrupts", "as_cut", "was_cut", "why_cut"]

CUTS = (KeyboardInterrupt, SiamcorrError)
"""What a run or a search that has measured something ends with, and says."""

_INTERRUPTED = "it was interrupted before its end"
_COULD_NOT = "it could not go on: "

_STDERR = 2
_SAID = b"siamcorr-load: ending, with a report; the next Ctrl-C ends at once\n"


def why_cut(error: BaseException) -> str:
    """Return the reason, as a sentence.

    >>> why_cut(KeyboardInterrupt())
    'it was interrupted before its end'
    >>> why_cut(SiamcorrError("nobody is there"))
    'it could not go on: nobody is there'
    """
    return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else f"{_COULD_NOT}{error}"


def as_cut(run: Run, error: BaseException) -> Run:
    """Return a run of what was measured until ``error`` as one that cannot be believed."""
    reasons = (why_cut(error), *run.verdict.reasons)
    return dataclasses.replace(run, verdict=Verdict(INVALID, reasons, run.verdict.notes))


def was_cut(run: Run) -> bool:
    """Whether a run, of today or read from a file, was cut short."""
    return any(reason.startswith((_INTERRUPTED, _COULD_NOT)) for reason in run.verdict.reasons)


class Interrupts:
    """Within the block the first Ctrl-C or SIGTERM raises KeyboardInterrupt; then Ctrl-C ends the process.

    Only a process's main thread may enter it.
    """

    def __init__(self) -> None:
        """See the class."""
        self.came: int | None = None
        """The number of the first signal that came."""
        self._is_measured = False

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._before = {
            number: signal.signal(number, self._come) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it to who listened before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def report(self) -> None:
        """Let the report be written: from now on a first signal raises nothing. It is noted in ``came``."""
        self._is_measured = True

    def _come(self, number: int, _: FrameType | None) -> None:
        self.came = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with suppress(OSError):  # who reads it may be gone
            os.write(_STDERR, _SAID)  # not print: it may be what was interrupted
        if not self._is_measured:
            raise KeyboardInterrupt
