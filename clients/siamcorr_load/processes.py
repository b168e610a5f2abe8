"""Processes of a load test, each with a pipe to it.

They hear neither a Ctrl-C nor SIGTERM, which often come to all of a group: that ends the controller, and they
end when their pipe does. So they drop their templates, and none writes a traceback between the lines of the
report.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from siamcorr.errors import InternalError, ServerUnavailable

__all__ = ["process", "receive"]

_SPAWN = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
_END_S = 10.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run ``target`` in a process of its own, which is told by the end of its pipe that it is not needed."""
    here, there = _SPAWN.Pipe()
    started = _SPAWN.Process(target=target, args=(*arguments, there), daemon=True)
    try:
        with _signals_held():
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
def _signals_held() -> Iterator[None]:
    """Within the block processes are started deaf to signals; one that comes meanwhile waits for its end.

    A new process inherits the mask. It does not keep a signal from this one, whose other threads take it.
    """
    with ExitStack() as after:
        if hasattr(signal, "pthread_sigmask"):
            resource_tracker.ensure_running()  # multiprocessing starts it with the first, and lifts the mask
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            after.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        if threading.current_thread() is threading.main_thread():
            after.enter_context(_handlers_held())
        yield


@contextmanager
def _handlers_held() -> Iterator[None]:
    came: list[int] = []
    before = [(one, signal.signal(one, lambda number, _: came.append(number))) for one in _SIGNALS]
    try:
        yield
    finally:
        for one, handler in before:
            signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)
