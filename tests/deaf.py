"""A process that tells which signals it does not hear: what it runs has to be importable in it by name."""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection

from siamcorr_load.processes import process, receive

__all__ = ["deaf_to", "tell_mask"]

_PATIENCE_S = 30.0


def tell_mask(pipe: Connection) -> None:
    """Be that process."""
    pipe.send(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def deaf_to() -> set[int]:
    """Start one, and return what it told."""
    with process(tell_mask) as pipe:
        return {int(number) for number in receive(pipe, _PATIENCE_S)}
