"""What cuts a load test short, so that what was measured until then is reported and not lost.

Rules:

- A server that goes away, or a generator that fails, ends a run or a search with a reason why it is not to be
  believed. Where nothing was measured yet it is an error as ever.
- So does the first Ctrl-C, and the exit code tells of it. The generators do not hear it: they end when the
  controller lets go of them, and drop their templates. The second one ends the process at once.
"""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Self

from siamcorr.errors import SiamcorrError

__all__ = ["CUTS", "Interrupts", "why_cut"]

CUTS = (KeyboardInterrupt, SiamcorrError)
"""What a run or a search that has measured something ends with, and says."""

_STDERR = 2
_SAID = b"siamcorr-load: ending, with a report; Ctrl-C again ends at once\n"


def why_cut(error: BaseException) -> str:
    """Return the reason, as a sentence.

    >>> why_cut(KeyboardInterrupt())
    'it was interrupted before its end'
    >>> why_cut(SiamcorrError("nobody is there"))
    'it could not go on: nobody is there'
    """
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted before its end"
    return f"it could not go on: {error}"


class Interrupts:
    """Within the block the first Ctrl-C raises KeyboardInterrupt, as ever; the second ends the process.

    Only a process's main thread may enter it.
    """

    def __init__(self) -> None:
        """See the class."""
        self.came = False
        """Whether there was one."""

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._before = signal.signal(signal.SIGINT, self._come)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it to who listened before."""
        signal.signal(signal.SIGINT, self._before)

    def _come(self, number: int, _: FrameType | None) -> None:
        self.came = True
        signal.signal(number, signal.SIG_DFL)
        os.write(_STDERR, _SAID)  # not print: it may be what was interrupted
        raise KeyboardInterrupt
