"""How a command ends when nobody reads what it writes any more, as behind ``| head -1``: without a word.

Rules:

- Its exit code is 141, as a shell tells of a program that SIGPIPE has ended. What it was doing unwinds by way
  of its ``with`` blocks first.
- Only its output counts: a pipe between processes that breaks is a fault, and shows.

Rejected: to let SIGPIPE end the process, as it does by default in C. It would come at every socket and every
pipe that a process has, and leave its children behind.
"""

from __future__ import annotations

import functools
import os
import select
import sys
from collections.abc import Callable
from typing import ParamSpec, TextIO, TypeVar

__all__ = ["quiet_when_unread"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_SIGPIPE = 13  # not of the module signal, which lacks it where there are no signals


def quiet_when_unread(main: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a command's ``main`` end quietly when its output, or its errors, go into a pipe that is closed.

    Returns:
        What does the same. It raises SystemExit with code 141 where ``main`` could not write.

    >>> quiet_when_unread(lambda: 2)()
    2
    """

    @functools.wraps(main)
    def quiet(*arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            try:
                return main(*arguments, **named)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()  # what is not flushed here Python flushes at its end, and complains
        except BrokenPipeError:
            unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
            if not unread:
                raise
            for stream in unread:
                _discard(stream)
            raise SystemExit(128 + _SIGPIPE) from None

    return quiet


def _is_unread(stream: TextIO | None) -> bool:
    if stream is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except ValueError:  # it is closed, or no file
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _discard(stream: TextIO) -> None:
    """Let what is still to be written go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
