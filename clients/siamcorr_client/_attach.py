"""The stream that holds a region of shared memory, for threads and for asyncio.

A thread, or a task, reads it until it ends: with the client, with the server, or with the connection.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, cast

import grpc

from siamcorr.errors import Cancelled, DeadlineExceeded, InternalError, ServerUnavailable, SiamcorrError
from siamcorr_client._errors import RpcFailure, error_of_call
from siamcorr_client._shared_memory import SharedMemory

__all__ = ["ATTACH", "attach", "attach_async", "late"]

ATTACH = "/siamcorr.v1.SharedMemoryService/Attach"


def attach(start: Callable[[Iterator[bytes]], Any], slot_bytes: int, limit_s: float) -> SharedMemory:
    """Open a stream with ``start``, and return its region once it is mapped.

    Raises:
        SiamcorrError: there is none. InvalidArgument names ``shared_memory``.
    """
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    memory = SharedMemory(slot_bytes, requests.put)
    rpc = start(iter(requests.get, None))
    mapped: Future[None] = Future()

    def read() -> None:
        end: SiamcorrError = InternalError("the shared memory failed")
        try:
            for data in rpc:
                memory.feed(data)
                if not mapped.done():
                    mapped.set_result(None)
            end = _ended()
        except grpc.RpcError as failure:
            end = error_of_call(cast(RpcFailure, failure))
        except SiamcorrError as error:
            end = error
        finally:
            memory.lose()
            requests.put(None)
            rpc.cancel()
            if not mapped.done():
                mapped.set_exception(end)

    threading.Thread(target=read, name="siamcorr-shared-memory", daemon=True).start()
    try:
        mapped.result(limit_s)
    except TimeoutError as error:
        rpc.cancel()
        raise late(limit_s) from error
    return memory


async def attach_async(
    start: Callable[[AsyncIterator[bytes]], Any], slot_bytes: int, limit_s: float
) -> tuple[SharedMemory, asyncio.Task[None]]:
    """Do the same for asyncio; return the task as well that reads the stream.

    Raises:
        SiamcorrError: as :func:`attach`.
    """
    requests: asyncio.Queue[bytes | None] = asyncio.Queue()
    memory = SharedMemory(slot_bytes, requests.put_nowait)
    mapped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def written() -> AsyncIterator[bytes]:
        while (request := await requests.get()) is not None:
            yield request

    async def read() -> None:
        end: SiamcorrError = InternalError("the shared memory failed")
        try:
            async for data in rpc:
                memory.feed(data)
                if not mapped.done():
                    mapped.set_result(None)
            end = _ended()
        except grpc.RpcError as failure:
            end = error_of_call(cast(RpcFailure, failure))
        except asyncio.CancelledError:  # how grpc.aio tells that the call was cancelled on this side
            end = Cancelled("the client was closed")
        except SiamcorrError as error:
            end = error
        finally:
            memory.lose()
            requests.put_nowait(None)
            rpc.cancel()
            if not mapped.done():
                mapped.set_exception(end)

    rpc = start(written())
    reader = asyncio.create_task(read(), name="siamcorr-shared-memory")
    try:
        async with asyncio.timeout(limit_s):
            await mapped
    except TimeoutError as error:
        rpc.cancel()
        raise late(limit_s) from error
    except BaseException:
        rpc.cancel()
        raise
    return memory, reader


def _ended() -> ServerUnavailable:
    return ServerUnavailable("the server has ended the stream of the shared memory")


def late(limit_s: float) -> DeadlineExceeded:
    """Return the error for a region that is not there after so many seconds."""
    return DeadlineExceeded(f"the server did not share its memory within {limit_s:.3g} s")
