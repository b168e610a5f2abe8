"""Regions of shared memory, and the requests that use them; :mod:`siamcorr.shared_memory` has the layout.

Rules:
- A region lives as long as the stream that asked for it. gRPC ends that when the client's process does.
- All regions' slots together hold at most as many bytes as the operator says, those included that nobody can
  name any more but a launch still reads. There are at most 128: small ones would use up the descriptors.
- A slot is read through views, and the engine holds one for as long as it may read: a slot without views is
  not read. It is written in one step of the event loop, when its request is answered.
- A use that was given up is over for good: a request for it that comes late is refused. So a slot that was
  released is neither read nor written until its client names it again.
"""

# ruff: noqa: N802 - gRPC names a handler as the method in the contract

from __future__ import annotations

import asyncio
import mmap
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from copy import copy

from siamcorr.answers import Response
from siamcorr.arguments import Array
from siamcorr.errors import Draining, InvalidArgument, QueueFull, SiamcorrError
from siamcorr.shared_memory import Layout, Region, Slot, create_region
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import shared_memory_service_pb2 as pb
from siamcorr.v1 import shared_memory_service_pb2_grpc as rpc
from siamcorr.v1.tensor_pb2 import SharedSlot
from siamcorr.wire.correlation import seal_correlate_response
from siamcorr.wire.envelope import Parts, bulk_of, size_bytes, without_bulk
from siamcorr_server.interceptor import Context
from siamcorr_server.messages import parse

__all__ = ["SharedMemoryService", "SlotUse"]

_MAX_REGIONS = (
    128  # each takes two descriptors, of which a process may have no more than 1024, for all it does
)


class SharedMemoryService(rpc.SharedMemoryServiceServicer):
    """Makes regions, and finds their slots again."""

    def __init__(self, max_bytes: int) -> None:
        """Let the slots of all regions hold ``max_bytes``; 0 is none."""
        self._max_bytes = max_bytes
        self._attached: dict[bytes, _Attached] = {}
        self._mapped: weakref.WeakKeyDictionary[mmap.mmap, int] = weakref.WeakKeyDictionary()
        self._streams: set[asyncio.Task[None]] = set()
        self._draining: Draining | None = None

    async def Attach(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Share a region until the stream ends."""
        stream = asyncio.create_task(self._attach(requests, context))
        self._streams.add(stream)
        try:
            await asyncio.wait([stream])
        finally:
            self._streams.discard(stream)
            stream.cancel()
        if stream.cancelled() and self._draining is not None:
            raise copy(self._draining)
        try:
            stream.result()
        except SiamcorrError as error:
            raise error.with_traceback(None)  # noqa: B904 - its frames hold the region

    def use(self, shared: SharedSlot) -> tuple[SlotUse, memoryview]:
        """Return the use of a slot that a request names, and a view of the payload in it.

        Nobody here holds the view, so it goes when the engine is done with it.

        Raises:
            InvalidArgument: names ``shared``.
        """
        attached = self._attached.get(shared.region)
        if attached is None:
            raise InvalidArgument.found("shared", "a region that is not attached", "that of an open stream")
        return SlotUse(attached, shared), attached.read(shared).data

    def drain(self, reason: Draining) -> None:
        """End the streams. Requests that are under way still find their slots."""
        self._draining = reason
        for stream in self._streams:
            stream.cancel()

    async def _attach(self, requests: AsyncIterator[bytes], context: Context) -> None:
        asked = parse(pb.AttachRequest, await anext(requests, b""))
        if not asked.HasField("open"):
            raise InvalidArgument.found("step", asked.WhichOneof("step"), "open, first")
        layout = Layout(asked.open.slots, asked.open.slot_bytes)
        self._check_room(layout.room_bytes)
        descriptor, region = create_region(layout)
        try:
            self._mapped[region.memory] = layout.room_bytes
            attached = self._attached[region.key] = _Attached(region)
            told = pb.Region(process_id=os.getpid(), descriptor=descriptor, key=region.key)
            await context.write(pb.AttachResponse(region=told).SerializeToString())
            async for data in requests:
                said = parse(pb.AttachRequest, data)
                if not said.HasField("given_up"):
                    raise InvalidArgument.found("step", said.WhichOneof("step"), "given_up")
                await attached.give_up(said.given_up)
                await context.write(pb.AttachResponse(released=said.given_up).SerializeToString())
        finally:
            self._attached.pop(region.key, None)
            os.close(descriptor)

    def _check_room(self, room_bytes: int) -> None:
        if not self._max_bytes:
            expected = "one that was started with --shared-memory"
            raise InvalidArgument.found("shared_memory", "a server that has it off", expected)
        if room_bytes > self._max_bytes:
            expected = f"at most {self._max_bytes}, as the server's --shared-memory says, or smaller slots"
            raise InvalidArgument.found("shared_memory", f"slots for {room_bytes} bytes", expected)
        taken = sum(self._mapped.values())
        if taken + room_bytes > self._max_bytes:
            raise QueueFull(f"shared_memory: {taken} bytes of {self._max_bytes} are taken by other clients")
        if len(self._mapped) >= _MAX_REGIONS:
            raise QueueFull(f"shared_memory: {_MAX_REGIONS} regions are taken by other clients")


class SlotUse:
    """One request's use of a slot."""

    def __init__(self, attached: _Attached, shared: SharedSlot) -> None:
        """Use the slot ``shared`` of a region."""
        self._attached = attached
        self._shared = shared

    def seal(self, responses: list[Response]) -> Parts:
        """Return the bytes of the answer, to be joined; its payload goes into the slot, if it fits.

        Raises:
            InvalidArgument: the slot was given up or written to meanwhile, so what was read may be nonsense.
        """
        parts = seal_correlate_response(responses)
        shared = self._attached.write(self._shared, bulk_of(parts))
        if shared is None:
            return parts
        return without_bulk(parts, correlation_pb.CorrelateResponse(shared=shared))


class _Attached:
    """A region of an open stream, and how each of its slots is used."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._given_up = [-1] * region.layout.slots  # up to which sequence number, of each slot
        self._views: list[list[weakref.ref[Array]]] = [[] for _ in self._given_up]

    def read(self, shared: SharedSlot) -> Array:
        slot = self._own_slot(shared)
        view = slot.read(shared.sequence, shared.length_bytes)
        views = self._views[shared.slot]
        views[:] = [ref for ref in views if ref() is not None] + [weakref.ref(view)]
        return view

    def write(self, shared: SharedSlot, bulk: Parts) -> SharedSlot | None:
        """Write an answer into its request's slot, and return where it is; None where it does not fit."""
        slot = self._own_slot(shared)
        slot.check(shared.sequence)
        size = size_bytes(bulk)
        if not 0 < size <= slot.capacity_bytes:
            return None
        sequence = shared.sequence + 2
        slot.write(bulk, sequence)
        return SharedSlot(region=shared.region, slot=shared.slot, sequence=sequence, length_bytes=size)

    async def give_up(self, use: pb.SlotUse) -> None:
        """Take no more requests of that use, and wait until nobody reads the slot."""
        self._region.slot(use.slot)
        self._given_up[use.slot] = max(use.sequence, self._given_up[use.slot])
        for ref in list(self._views[use.slot]):
            await _when_gone(ref)

    def _own_slot(self, shared: SharedSlot) -> Slot:
        slot = self._region.slot(shared.slot)
        if shared.sequence <= self._given_up[shared.slot]:
            raise InvalidArgument.found("shared", "a use of a slot that was given up", "a new one")
        return slot


def _when_gone(ref: weakref.ref[Array]) -> asyncio.Future[None]:
    """Return what is done when a view has gone, on whichever thread."""
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not gone.done():
            gone.set_result(None)

    def tell() -> None:
        with suppress(RuntimeError):  # the loop has ended, and the region with it
            loop.call_soon_threadsafe(settle)

    view = ref()
    if view is None:
        settle()
    else:
        weakref.finalize(view, tell).atexit = False
    return gone
