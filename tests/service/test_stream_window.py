"""A stream has bounds: in what is held for a peer that does not read, and in what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future

import pytest

from siamcorr.answers import Response
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr_server.interceptor import Call
from siamcorr_server.streams import Stream, Write


class SlowReader:
    """A stream whose peer sends without end and reads nothing until it is told to."""

    def __init__(self, *, window: int, write: Write | None = None) -> None:
        self.sent = 0
        self.reads = asyncio.Event()
        self.written: list[int] = []
        call = Call("id", "CorrelateStream", None)
        done: Future[list[Response]] = Future()
        done.set_result([Response("template", 1, None)])
        self.stream = Stream(
            call,
            self.requests(),
            write or self.write,
            submit=lambda *_: done,
            max_message_bytes=1000,
            window=window,
        )

    async def requests(self) -> AsyncIterator[bytes]:
        while self.sent < 50:
            self.sent += 1
            yield pb.CorrelateStreamRequest(id=self.sent).SerializeToString()

    async def write(self, data: bytes) -> None:
        await self.reads.wait()
        self.written.append(pb.CorrelateStreamResponse.FromString(data).id)


async def test_a_peer_that_does_not_read_holds_no_more_than_the_window() -> None:
    peer = SlowReader(window=4)
    running = asyncio.create_task(peer.stream.run())
    for _ in range(200):
        await asyncio.sleep(0)
    assert peer.sent == 4
    peer.reads.set()
    await running
    assert peer.written == list(range(1, 51))


async def test_a_stream_leaves_no_task_behind_when_writing_fails() -> None:
    async def broken(_: object) -> None:
        raise ConnectionError("the peer is gone")

    with pytest.raises(ConnectionError):
        await SlowReader(window=4, write=broken).stream.run()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
