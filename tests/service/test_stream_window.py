"""A stream has bounds: in what is held for a peer that does not read, and in what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from functools import partial

import pytest

from siamcorr.answers import Response
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr_server.correlate_stream import CorrelateAsked, Submitted
from siamcorr_server.interceptor import Call
from siamcorr_server.streams import Stream, Write


def stream_of(requests: AsyncIterator[bytes], write: Write, *, window: int = 4) -> Stream:
    """Return a stream whose requests are answered at once."""
    done: Future[list[Response]] = Future()
    done.set_result([Response("template", 1, None)])
    read = partial(CorrelateAsked, submit=lambda *_: Submitted(done), max_message_bytes=1000)
    return Stream(
        Call("id", "CorrelateStream", None, peer=lambda: ""), requests, write, read=read, window=window
    )


def request(id_: int) -> bytes:
    return pb.CorrelateStreamRequest(id=id_).SerializeToString()


async def test_a_peer_that_does_not_read_holds_no_more_than_the_window() -> None:
    sent, written, reads = [], [], asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        for id_ in range(50):
            sent.append(id_)
            yield request(id_)

    async def write(data: bytes) -> None:
        await reads.wait()
        written.append(pb.CorrelateStreamResponse.FromString(data).id)

    running = asyncio.create_task(stream_of(requests(), write, window=4).run())
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(sent) == 4
    reads.set()
    await running
    assert written == list(range(50))


async def test_an_id_is_free_before_the_peer_can_see_its_answer() -> None:
    written, may_end = asyncio.Queue[bytes](), asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield request(7)
        await written.get()
        yield request(7)
        may_end.set()

    async def write(data: bytes) -> None:
        written.put_nowait(data)
        await may_end.wait()

    await stream_of(requests(), write).run()
    assert written.qsize() == 1


async def test_a_stream_leaves_no_task_behind_when_writing_fails() -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield request(1)
        await asyncio.Event().wait()

    async def write(_: bytes) -> None:
        raise ConnectionError("the peer is gone")

    with pytest.raises(ConnectionError):
        await stream_of(requests(), write).run()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
