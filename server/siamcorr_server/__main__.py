"""The program ``siamcorr-server``.

Exit codes: 0 after a signal, once what was in flight has ended or its time is over; 2 when a setting is
wrong; 1 after a fault of ours; 128 and the signal's number when a second signal cuts the end short.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from siamcorr.errors import CallerError
from siamcorr.kept_memory import keep_freed_memory
from siamcorr_server.collector import spare_what_stays
from siamcorr_server.command_line import CommandLine
from siamcorr_server.config import ServerConfig
from siamcorr_server.logs import logging_to

__all__ = ["main"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal comes; return the exit code."""
    command_line = CommandLine()
    config = command_line.read(sys.argv[1:] if arguments is None else arguments)
    try:
        with asyncio.Runner() as runner:
            with logging_to(sys.stderr, config.log_format, config.log_level):
                has_ended = runner.run(_serve(config))
            if not has_ended:
                os._exit(0)  # the runner, and Python itself, would wait for what is left behind
    except CallerError as error:
        command_line.refuse(error)
    except ModuleNotFoundError as error:
        print(f"siamcorr-server needs {error.name}: pip install 'siamcorr[server]'", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:  # while starting: there is nothing to finish
        return 128 + signal.SIGINT
    return 0


async def _serve(config: ServerConfig) -> bool:
    # Heavy, and not needed to refuse a bad setting.
    import torch  # noqa: PLC0415

    from siamcorr import Engine  # noqa: PLC0415
    from siamcorr_server.doors import doors_of  # noqa: PLC0415
    from siamcorr_server.observers import Observers  # noqa: PLC0415
    from siamcorr_server.server import Server  # noqa: PLC0415

    keep_freed_memory()
    torch.set_num_threads(config.threads)
    doors = doors_of(config)
    observers = Observers(doors)
    # It binds at once: a port in use should not take a model's loading time to find out.
    server = Server(config, observers, doors)
    on_launch = observers.launched if observers else None
    engine = await asyncio.to_thread(Engine, config.engine, on_launch=on_launch)
    await asyncio.to_thread(engine.warm_up)
    await server.start(engine)
    spare_what_stays()
    told_to_stop = _signalled()
    print(f"listening on {server.address}", flush=True)  # noqa: T201 - the promise to whoever starts it
    await told_to_stop
    return await server.drain(config.drain_s)


def _signalled() -> asyncio.Future[None]:
    """Return what the first signal completes. The second one ends the process."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def tell(_number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, _exit_at_once)
        loop.call_soon_threadsafe(told.set_result, None)

    for number in _SIGNALS:
        signal.signal(number, tell)
    return told


def _exit_at_once(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)  # not an exception: the main thread may be anywhere


if __name__ == "__main__":
    sys.exit(main())
