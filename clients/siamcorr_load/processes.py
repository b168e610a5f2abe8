"""Processes of a load test, each with a pipe to it.

They do not hear a Ctrl-C: that ends the controller, and they end when their pipe does. So they drop their
templates, and none writes a traceback between the lines of the report.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from siamcorr.errors import InternalError, ServerUnavailable

__all__ = ["process", "receive"]

_SPAWN = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
_END_S = 10.0


@contextmanager
def process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run ``target`` in a process of its own, which is told by the end of its pipe that it is not needed."""
    here, there = _SPAWN.Pipe()
    started = _SPAWN.Process(target=target, args=(*arguments, there), daemon=True)
    try:
        with _interrupts_held():
            started.start()
        there.close()
        yield here
    finally:
        here.close()
        if started.pid is not None:
            _end(started)


def receive(pipe: Connection, patience_s: float) -> Any:
    """Return what a process sends next.

    Raises:
        ServerUnavailable: it sent nothing within ``patience_s`` seconds.
        InternalError: it has ended by itself.
    """
    if not pipe.poll(patience_s):
        raise ServerUnavailable(f"a generator said nothing within {patience_s:g} s")
    try:
        return pipe.recv()
    except EOFError as error:
        raise InternalError("a generator has ended by itself") from error


def _end(started: SpawnProcess) -> None:
    try:
        started.join(_END_S)
    finally:
        started.kill()
        started.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Within the block processes are started deaf to Ctrl-C; one that comes meanwhile waits for its end.

    A new process inherits the mask. It does not keep the signal from this one, whose other threads take it.
    """
    with ExitStack() as after:
        if hasattr(signal, "pthread_sigmask"):
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            after.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        if threading.current_thread() is threading.main_thread():
            after.enter_context(_handler_held())
        yield


@contextmanager
def _handler_held() -> Iterator[None]:
    came: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda *what: came.append(what))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came and callable(handler):
        handler(*came[0])
