"""Payloads through memory that is shared with the server: slots, each lent to one call at a time.

Rules:
- A call that gets no slot, because all are lent or its payload is too large, carries it in its message.
- A slot is free again when its call's answer has been read. A call that ends otherwise may still be on its
  way, or running: its slot is kept until the server has released it.
- When the stream that holds the region ends, the region is lost: its slots are not lent again. Answers that
  are on their way can still be read.
- Here is no input or output: :mod:`siamcorr_client._attach` reads and writes the stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from google.protobuf.message import DecodeError

from siamcorr.errors import InternalError, InvalidArgument
from siamcorr.shared_memory import Layout, Region, Slot, open_region
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import shared_memory_service_pb2 as pb
from siamcorr.v1.tensor_pb2 import SharedSlot
from siamcorr.wire.envelope import Buffer, Parts, bulk_of, seal, size_bytes, unseal, without_bulk

__all__ = ["SLOTS", "Loan", "SharedMemory"]

SLOTS = 32
"""How many calls of a client can have a slot at once."""

_USE = 4  # sequence numbers: an odd and an even one for the request, and for its answer
_ALIGNED = 16  # bytes: where numpy lets arrays begin, at the least


class SharedMemory:
    """The client's side of one region. Threads may share it."""

    def __init__(self, slot_bytes: int, send: Callable[[bytes], None]) -> None:
        """Ask for a region. ``send`` takes what goes out on the stream, and does not wait."""
        self._layout = Layout(SLOTS, slot_bytes)
        self._send = send
        self._lock = threading.Lock()
        self._region: Region | None = None
        self._free: list[int] = []  # the last one was used last, so its memory is there and maybe cached
        self._sequences = [0] * SLOTS
        self._given_up: dict[int, int] = {}
        self.is_lost = False
        size = pb.RegionSize(slots=SLOTS, slot_bytes=slot_bytes)
        send(pb.AttachRequest(open=size).SerializeToString())

    def feed(self, data: bytes) -> None:
        """Take what the server says on the stream.

        Raises:
            InvalidArgument: the region cannot be opened.
            InternalError: the server broke the stream's rules.
        """
        try:
            answer = pb.AttachResponse.FromString(data)
        except DecodeError as error:
            raise InternalError(f"the server's answer cannot be read: {error}") from error
        step, told = answer.WhichOneof("step"), answer.region
        if step == "region" and self._region is None:
            self._region = open_region(told.process_id, told.descriptor, told.key, self._layout)
            self._free.extend(reversed(range(SLOTS)))
        elif step == "released":
            self._release(answer.released)
        else:
            raise InternalError(f"the server says {step} where that has no place")

    def lose(self) -> None:
        """Lend no slot any more: the stream has ended."""
        with self._lock:
            self.is_lost = True
            self._free.clear()

    def lend(self, parts: Parts) -> Loan | None:
        """Write a request's payload into a slot, if there is one for it."""
        bulk = bulk_of(parts)
        size = size_bytes(bulk)
        with self._lock:
            if self._region is None or not self._free or size > self._layout.slot_bytes:
                return None
            number = self._free.pop()
            self._sequences[number] += _USE
            sequence = self._sequences[number] - _USE // 2
        slot = self._region.slot(number)
        slot.write(bulk, sequence)
        named = SharedSlot(region=self._region.key, slot=number, sequence=sequence, length_bytes=size)
        request = correlation_pb.CorrelateRequest(shared=named)
        return Loan(self, slot, named, without_bulk(parts, request))

    def give_back(self, number: int) -> None:
        """Lend the slot to others."""
        with self._lock:
            if not self.is_lost:
                self._free.append(number)

    def give_up(self, number: int, sequence: int) -> None:
        """Keep the slot until the server has released it."""
        with self._lock:
            self._given_up[number] = sequence
        use = pb.SlotUse(slot=number, sequence=sequence)
        self._send(pb.AttachRequest(given_up=use).SerializeToString())

    def _release(self, use: pb.SlotUse) -> None:
        with self._lock:
            if self._given_up.get(use.slot) != use.sequence:
                raise InternalError("the server has released a slot that was not given up")
            del self._given_up[use.slot]
        self.give_back(use.slot)


class Loan:
    """A slot that one call has; ``parts`` are its request's bytes, to be joined."""

    def __init__(self, memory: SharedMemory, slot: Slot, named: SharedSlot, parts: Parts) -> None:
        """The request's payload is in ``slot``, as ``named`` says."""
        self.parts = parts
        self._memory = memory
        self._slot = slot
        self._named = named
        self._is_answered = False

    def answer(self, data: Buffer) -> Buffer:
        """Return the answer as if it had come in one message, whose payload is copied out of the slot.

        Raises:
            InvalidArgument: it cannot be read.
        """
        message, _ = unseal(correlation_pb.CorrelateResponse, data)
        if message.HasField("shared"):
            data = self._whole(message)
        self._is_answered = True
        return data

    def end(self) -> None:
        """Give the slot back, or up where there was no answer."""
        if self._is_answered:
            self._memory.give_back(self._named.slot)
        else:
            self._memory.give_up(self._named.slot, self._named.sequence)

    def _whole(self, message: correlation_pb.CorrelateResponse) -> memoryview:
        found, asked = message.shared, self._named
        if (found.region, found.slot, found.sequence) != (asked.region, asked.slot, asked.sequence + 2):
            raise InvalidArgument.found("shared", "another slot than the request's", "its own")
        payload = self._slot.read(found.sequence, found.length_bytes)
        head = np.frombuffer(b"".join([*seal(message, [payload.data])][:-1]), np.uint8)
        start = -len(head) % _ALIGNED  # then the payload's arrays need no copy of their own
        whole = np.concatenate([np.empty(start, np.uint8), head, payload])
        self._slot.check(found.sequence)
        return memoryview(whole.data)[start:].toreadonly()
