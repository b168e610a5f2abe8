"""Correlate requests of which the like was written or read before: only their features are new.

A tracker asks for the same from frame to frame, and so do all that track alike: behind the handles their
messages go on with the same bytes, up to the payload. To check, write, parse and plan all of it again took
three quarters of what a call costs in Python.

Rules:
- Equal options have equal bytes, and equal bytes mean the same: nothing else is taken from what is known.
- Handles come first in a message, and are read, written and checked each time.
- Remembered are heads whose payload is the search features, and comes last or is in a shared slot that comes
  last. The others are done in full, each time.
- Memory is bounded: at most ``_MAX_HEADS``, of ``_MAX_HEAD_BYTES`` at most. At so many all are forgotten.
- The reader tries one length of head for a length of message, the last one's. Others are read in full.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, cast

import numpy as np
from google.protobuf.message import DecodeError

from siamcorr.answers import Template
from siamcorr.arguments import Array, as_name
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
_TEMPLATE_TAG = bytes([pb.CorrelateRequest.TEMPLATES_FIELD_NUMBER << 3 | 2])
_MAX_HANDLES, _MAX_HANDLE_BYTES = 64, 0x7F  # what is read here; a length is one byte then
_PLAIN = frozenset({str, int, float, bool, type(None)})


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
    >>> first.parts[0] == second.parts[0], bytes(second.parts[-1]) == (features + 2).tobytes()
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
            handles = _written([as_name(handle, "template") for handle in _handles(template)])
            features = _contiguous(cast(Array, options["features"]), known.dtype)
            head, *length = known.parts
            parts = handles + head, *length, features.reshape(-1).view(np.uint8).data
            return Sealed(parts, known.pairs, known.dtype)
        call = correlate_call(template, **options)
        sealed = Sealed(seal_correlate_request(call), len(call.template_index))
        if key is not None:
            self._remember(key, call, sealed)
        return sealed

    def _remember(self, key: Hashable, call: CorrelateCall, sealed: Sealed) -> None:
        head, *length, _ = sealed.parts
        handles = _written(call.templates)
        is_all_features = len(bulk_of(sealed.parts)) == 1
        if not is_all_features or len(head) > _MAX_HEAD_BYTES or not bytes(head).startswith(handles):
            return
        if len(self._known) >= _MAX_HEADS:
            self._known.clear()
        dtype = cast(Features, call.search).regions.dtype
        self._known[key] = replace(sealed, parts=(bytes(head)[len(handles) :], *length), dtype=dtype)


def _key(template: Handle | Sequence[Handle], options: CorrelateOptions) -> Hashable | None:
    """Return what is equal for equal requests, the numbers of their features apart; None: not known.

    Types are part of it: 1, 1.0 and True are equal, and not all of them are a gain.
    """
    features = options.get("features")
    if type(features) is not np.ndarray or features.dtype.str.startswith(">"):
        return None
    named = tuple([(name, type(value), value) for name, value in options.items() if name != "features"])
    if not _PLAIN.issuperset([kind for _, kind, _ in named]) or options.get("gain") == 0:  # of two signs
        return None
    handles = _handles(template)
    if not handles or not all(isinstance(handle, str) and handle.isascii() for handle in handles):
        return None
    return isinstance(template, str | Template), len(handles), features.shape, features.dtype, named


def _contiguous(features: Array, dtype: np.dtype[Any] | None) -> Array:
    if features.dtype == dtype:
        return np.ascontiguousarray(features)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(features, dtype)


def _handles(template: object) -> list[Any]:
    """Return the handles of what may be templates; whatever else there is comes out as it is."""
    asked = template if isinstance(template, tuple | list) else [template]
    return [one.handle if isinstance(one, Template) else one for one in asked]


def _written(handles: Sequence[str]) -> bytes:
    """Return a message's first field, as often as there are ``handles``."""
    raw = [handle.encode() for handle in handles]
    return b"".join([part for one in raw for part in (_TEMPLATE_TAG, bytes([len(one)]), one)])


def _read_handles(data: memoryview) -> tuple[tuple[str, ...], int] | None:
    """Return a message's handles and where they end; None where they are not written as above."""
    handles: list[str] = []
    position = 0
    while data[position : position + 1] == _TEMPLATE_TAG and len(handles) < _MAX_HANDLES:
        length = data[position + 1] if position + 1 < len(data) else 0
        end = position + 2 + length
        if length > _MAX_HANDLE_BYTES or end > len(data):
            return None
        try:
            handles.append(str(data[position + 2 : end], "utf-8"))
        except UnicodeDecodeError:
            return None
        position = end
    return tuple(handles), position


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
        self._known: dict[tuple[int, bytes], _Known] = {}
        self._head_bytes: dict[int, int] = {}  # by the length of the message

    def open(self, data: Buffer) -> Opened:
        """Return a request up to its payload.

        Raises:
            InvalidArgument: names the field.
        """
        opened = self._open_known(memoryview(data))
        if opened is not None:
            return opened
        request, payload = unseal(pb.CorrelateRequest, data)
        shared = request.shared if request.HasField("shared") else None
        if shared is not None and len(payload):
            raise InvalidArgument.found("shared", f"a payload of {len(payload)} bytes beside it", "none")
        return Opened(shared, payload, partial(self._read, request, data))

    def _open_known(self, data: memoryview) -> Opened | None:
        head_bytes = self._head_bytes.get(len(data))
        if head_bytes is None or (found := _read_handles(data)) is None:
            return None
        handles, start = found
        known = self._known.get((len(handles), bytes(data[start:head_bytes])))
        return None if known is None else known.open(handles, data[head_bytes:])

    def _read(self, request: pb.CorrelateRequest, data: Buffer, payload: memoryview) -> CorrelateCall:
        call = read_correlate_request(request, payload)
        head_bytes = _head_bytes(request, data, payload)
        if head_bytes is None or head_bytes > _MAX_HEAD_BYTES or not _is_all_of(payload, call.search):
            return call
        found = _read_handles(memoryview(data))
        if found is None or found[0] != call.templates:  # they stand elsewhere too
            return call
        if len(self._known) >= _MAX_HEADS:
            self._known.clear()
            self._head_bytes.clear()
        call = replace(call, family=Family())
        key = len(call.templates), bytes(data[found[1] : head_bytes])
        self._known[key] = _Known(call, is_shared=request.HasField("shared"))
        self._head_bytes[len(data)] = head_bytes
        return call


class _Known:
    """What a head means: a call, and how to see a payload as its features."""

    def __init__(self, call: CorrelateCall, *, is_shared: bool) -> None:
        regions = cast(Features, call.search).regions
        kept = {field.name: getattr(call, field.name) for field in fields(call)}
        del kept["templates"], kept["search"]  # with the payload
        self._call: Callable[[tuple[str, ...], Features], CorrelateCall] = partial(CorrelateCall, **kept)
        self._dtype, self._shape, self._size_bytes = regions.dtype, regions.shape, regions.nbytes
        self._is_shared = is_shared

    def open(self, handles: tuple[str, ...], rest: memoryview) -> Opened | None:
        """Open a message that goes on with ``rest``; None where that is not what is known."""
        read = partial(self._read, handles)
        if not self._is_shared:
            return Opened(None, rest, read) if len(rest) == self._size_bytes else None
        if not 2 <= len(rest) <= 2 + _MAX_SLOT_BYTES or rest[:2] != bytes([_SHARED_TAG, len(rest) - 2]):
            return None
        try:
            shared = SharedSlot.FromString(bytes(rest[2:]))
        except DecodeError:
            return None
        return Opened(shared, rest[:0], read) if shared.length_bytes == self._size_bytes else None

    def _read(self, handles: tuple[str, ...], payload: memoryview) -> CorrelateCall:
        for handle in handles:
            as_name(handle, "template")
        regions: Array = np.frombuffer(payload, self._dtype).reshape(self._shape)
        return self._call(handles, Features(regions))


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
