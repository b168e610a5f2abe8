"""Correlate requests of which the like was written or read before: only their features are new.

A tracker asks for the same from frame to frame, so its messages start with the same bytes, up to the payload.
To check, write, parse and plan all of it again took three quarters of what a call costs in Python.

Rules:
- Equal options have equal bytes, and equal bytes mean the same: nothing else is taken from what is known.
- Remembered are heads whose payload is the search features, and comes last or is in a shared slot that comes
  last. The others are done in full, each time.
- Memory is bounded: at most ``_MAX_HEADS``, of ``_MAX_HEAD_BYTES`` at most. At so many all are forgotten.
- The reader tries one length of head for a length of message, the last one's. Others are read in full.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
from google.protobuf.message import DecodeError

from siamcorr.answers import Template
from siamcorr.arguments import Array
from siamcorr.calls import CorrelateCall, CorrelateOptions, Family, Features, Frame, Handle
from siamcorr.checks import correlate_call
from siamcorr.errors import InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.v1.tensor_pb2 import SharedSlot
from siamcorr.wire.correlation import read_correlate_request, seal_correlate_request
from siamcorr.wire.envelope import Buffer, Parts, bulk_of, unseal

__all__ = ["Opened", "RequestReader", "RequestWriter", "Sealed"]

_MAX_HEADS = 4096
_MAX_HEAD_BYTES = 1024
_SHARED_TAG = pb.CorrelateRequest.SHARED_FIELD_NUMBER << 3 | 2
_MAX_SLOT_BYTES = 0x7F  # of a message's slot: its length is one byte then, and an honest one has less than 50
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Sealed:
    """A request's bytes, to be joined, how many responses it asks for, and what its features are sent as."""

    parts: Parts
    pairs: int
    dtype: np.dtype[Any] | None = None


class RequestWriter:
    """Checks requests and writes them. Threads may share it.

    >>> writer = RequestWriter()
    >>> features = np.zeros((4, 2, 2), np.float32)
    >>> first, second = (writer.seal("tpl", {"features": features + n, "gain": 0.5}) for n in (1, 2))
    >>> first.parts[0] is second.parts[0], bytes(second.parts[-1]) == (features + 2).tobytes()
    (True, True)
    """

    def __init__(self) -> None:
        """Start without knowing any."""
        self._known: dict[Hashable, Sealed] = {}

    def seal(self, template: Handle | Sequence[Handle], options: CorrelateOptions) -> Sealed:
        """Return what :func:`~siamcorr.checks.correlate_call` makes of these, as a message.

        Raises:
            InvalidArgument: names the argument.
        """
        key = _key(template, options)
        if key is not None and (known := self._known.get(key)) is not None:
            with np.errstate(over="ignore"):
                features = np.ascontiguousarray(cast(Array, options["features"]), known.dtype)
            return replace(known, parts=(*known.parts, features.reshape(-1).view(np.uint8).data))
        call = correlate_call(template, **options)
        sealed = Sealed(seal_correlate_request(call), len(call.template_index))
        is_all_features = len(bulk_of(sealed.parts)) == 1
        if key is not None and is_all_features and len(sealed.parts[0]) <= _MAX_HEAD_BYTES:
            if len(self._known) >= _MAX_HEADS:
                self._known.clear()
            dtype = cast(Features, call.search).regions.dtype
            self._known[key] = replace(sealed, parts=sealed.parts[:-1], dtype=dtype)
        return sealed


def _key(template: Handle | Sequence[Handle], options: CorrelateOptions) -> Hashable | None:
    """Return what is equal for equal requests, the numbers of their features apart; None: not known.

    Types are part of it: 1, 1.0 and True are equal, and not all of them are a gain.
    """
    features = options.get("features")
    if type(features) is not np.ndarray or features.dtype.str.startswith(">"):
        return None
    named = tuple((name, type(value), value) for name, value in options.items() if name != "features")
    if not all(kind in _PLAIN for _, kind, _ in named):
        return None
    is_one = isinstance(template, str | Template)
    asked = (template,) if is_one else template
    if not isinstance(asked, tuple | list) or not all(isinstance(one, str | Template) for one in asked):
        return None
    handles = tuple(one.handle if isinstance(one, Template) else one for one in asked)
    return is_one, handles, features.shape, features.dtype, named


@dataclass(frozen=True, slots=True)
class Opened:
    """A request whose payload is still to be read: ``payload``, or where there is one, that in ``shared``.

    ``read`` takes it, and raises InvalidArgument, which names the field.
    """

    shared: SharedSlot | None
    payload: memoryview
    read: Callable[[memoryview], CorrelateCall]


class RequestReader:
    """Reads requests. For one thread.

    >>> reader, features = RequestReader(), np.zeros((4, 2, 2), np.float32)
    >>> for n in (1, 2):
    ...     opened = reader.open(b"".join(RequestWriter().seal("tpl", {"features": features + n}).parts))
    ...     call = opened.read(opened.payload)
    ...     print(call.templates, call.search.regions.max(), call.family is not None)
    ('tpl',) 1.0 True
    ('tpl',) 2.0 True
    """

    def __init__(self) -> None:
        """Start without knowing any."""
        self._known: dict[bytes, _Known] = {}
        self._head_bytes: dict[int, int] = {}  # by the length of the message

    def open(self, data: Buffer) -> Opened:
        """Return a request up to its payload.

        Raises:
            InvalidArgument: names the field.
        """
        head_bytes = self._head_bytes.get(len(data))
        if head_bytes is not None and (known := self._known.get(bytes(data[:head_bytes]))) is not None:
            opened = known.open(memoryview(data)[head_bytes:])
            if opened is not None:
                return opened
        request, payload = unseal(pb.CorrelateRequest, data)
        shared = request.shared if request.HasField("shared") else None
        if shared is not None and len(payload):
            raise InvalidArgument.found("shared", f"a payload of {len(payload)} bytes beside it", "none")
        return Opened(shared, payload, partial(self._read, request, data))

    def _read(self, request: pb.CorrelateRequest, data: Buffer, payload: memoryview) -> CorrelateCall:
        call = read_correlate_request(request, payload)
        head_bytes = _head_bytes(request, data, payload)
        if head_bytes is None or head_bytes > _MAX_HEAD_BYTES or not _is_all_of(payload, call.search):
            return call
        if len(self._known) >= _MAX_HEADS:
            self._known.clear()
            self._head_bytes.clear()
        call = replace(call, family=Family())
        self._known[bytes(data[:head_bytes])] = _Known(call, is_shared=request.HasField("shared"))
        self._head_bytes[len(data)] = head_bytes
        return call


class _Known:
    """What a head means: a call, and how to see a payload as its features."""

    def __init__(self, call: CorrelateCall, *, is_shared: bool) -> None:
        regions = cast(Features, call.search).regions
        self._call = replace(call, search=Features(regions[:0].copy()))  # without the payload
        self._dtype, self._shape, self._size_bytes = regions.dtype, regions.shape, regions.nbytes
        self._is_shared = is_shared

    def open(self, rest: memoryview) -> Opened | None:
        """Open a message that goes on with ``rest``; None where that is not what is known."""
        if not self._is_shared:
            return Opened(None, rest, self._read) if len(rest) == self._size_bytes else None
        if not 2 <= len(rest) <= 2 + _MAX_SLOT_BYTES or rest[:2] != bytes([_SHARED_TAG, len(rest) - 2]):
            return None
        try:
            shared = SharedSlot.FromString(bytes(rest[2:]))
        except DecodeError:
            return None
        return Opened(shared, rest[:0], self._read) if shared.length_bytes == self._size_bytes else None

    def _read(self, payload: memoryview) -> CorrelateCall:
        regions: Array = np.frombuffer(payload, self._dtype).reshape(self._shape)
        return replace(self._call, search=Features(regions))


def _head_bytes(request: pb.CorrelateRequest, data: Buffer, payload: memoryview) -> int | None:
    """Return where a message's head ends, if only its payload follows, or only the slot that has it."""
    if not request.HasField("shared"):
        is_last = payload.obj is memoryview(data).obj
        return len(data) - len(payload) if is_last else None
    slot = request.shared.SerializeToString()
    if len(slot) > _MAX_SLOT_BYTES:  # fields that nobody knows are part of it
        return None
    tail = bytes([_SHARED_TAG, len(slot)]) + slot
    return len(data) - len(tail) if bytes(data[-len(tail) :]) == tail else None


def _is_all_of(payload: memoryview, search: Features | Frame) -> bool:
    return isinstance(search, Features) and search.regions.nbytes == len(payload)
