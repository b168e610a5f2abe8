"""The correlation service: messages to the engine's calls and back."""

# ruff: noqa: N802 - gRPC names a handler as the method in the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from siamcorr import Engine
from siamcorr.calls import NETWORK
from siamcorr.errors import Draining, SiamcorrError
from siamcorr.v1 import correlation_service_pb2_grpc as rpc
from siamcorr.wire.correlation import seal_correlate_response
from siamcorr.wire.envelope import Buffer
from siamcorr.wire.families import RequestReader
from siamcorr_server.correlate_stream import CorrelateAsked, Seal, Submitted
from siamcorr_server.interceptor import Context, current_call
from siamcorr_server.messages import join
from siamcorr_server.shared_memory import SharedMemoryService
from siamcorr_server.streams import Stream

__all__ = ["CorrelationService"]


class CorrelationService(rpc.CorrelationServiceServicer):
    """Correlates with an engine's templates, call by call or many in flight on a stream."""

    def __init__(
        self, engine: Engine, memory: SharedMemoryService, *, max_message_bytes: int, stream_window: int
    ) -> None:
        """Serve ``engine``; the bounds are those of :class:`~siamcorr_server.config.ServerConfig`."""
        self._engine = engine
        self._memory = memory
        self._reader = RequestReader()
        self._max_message_bytes = max_message_bytes
        self._stream_window = stream_window
        self._streams: set[Stream] = set()

    async def Correlate(self, data: bytes, _: Context) -> bytes:
        """Answer one request."""
        call = current_call()
        future, seal = self._submit(data, call.deadline_s)
        call.answered = responses = await asyncio.wrap_future(future)
        return join(seal(responses), self._max_message_bytes)

    async def CorrelateStream(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Answer the requests of one stream."""
        read = partial(CorrelateAsked, submit=self._submit, max_message_bytes=self._max_message_bytes)
        stream = Stream(current_call(), requests, context.write, read=read, window=self._stream_window)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    def drain(self, reason: Draining) -> None:
        """End the streams that are open, once what they have read is answered."""
        for stream in self._streams:
            stream.drain(reason)

    def _submit(self, data: Buffer, deadline_s: float | None) -> Submitted:
        try:
            return self._admit(data, deadline_s)
        except SiamcorrError as error:
            raise error.with_traceback(None)  # noqa: B904 - its frames hold the payload, maybe in a slot

    def _admit(self, data: Buffer, deadline_s: float | None) -> Submitted:
        opened = self._reader.open(data)
        seal: Seal = seal_correlate_response
        payload = opened.payload
        if opened.shared is not None:
            use, payload = self._memory.use(opened.shared)
            seal = use.seal
        call = opened.read(payload)
        known = current_call()
        known.templates += len(call.templates)
        known.kind = NETWORK if call.is_network else call.correlation.kind
        return Submitted(self._engine.submit_correlate(call, deadline_s), seal)
