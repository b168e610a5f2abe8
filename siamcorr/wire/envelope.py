"""Messages that carry their bulk in field 15, their last: written and read without copying the bulk about.

A request's payload is such a field, and so is the request within a request of a stream. Through protobuf's
own classes the bulk is copied into the message, out of it as the message is serialised, and twice more at the
other end. On 8 MiB that took 100 times as long as joining the parts (29 ms and 0.3 ms).

Rules:

- :func:`seal` writes the bytes that ``SerializeToString`` writes, in parts that are joined once. (An empty
  bulk is written too. Every parser takes that for the same message.)
- :func:`unseal` tells what parsing the whole tells. Where the bulk is not the last field, or there are many
  fields before it, it does parse the whole: any order of fields is legal.
- At most ``_MAX_FIELDS`` fields are looked at in Python, so that nobody can keep it busy with small ones.
- What is not bulk is at most ``_MAX_HEAD_BYTES``. protobuf makes an object of every two bytes that say so: of
  60 MiB of empty boxes it made 10 GB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message

from siamcorr.errors import InvalidArgument

__all__ = [
    "Buffer",
    "Parts",
    "bulk_of",
    "read_varint",
    "seal",
    "size_bytes",
    "unseal",
    "varint",
    "without_bulk",
]

Buffer: TypeAlias = bytes | memoryview
"""Bytes; a memoryview is one of single bytes, so that its length counts them."""

Parts: TypeAlias = Sequence[Buffer]
"""The bytes of a message, to be joined."""

_M = TypeVar("_M", bound=Message)

_BULK = 15
_TAG = bytes([_BULK << 3 | 2])
_PADDING = bytes([13 << 3 | 2])
_ALIGNED_BYTES = 16  # Python's own bytes begin at such a multiple
_MAX_FIELDS = 16_384  # more than the 4096 handles and 8192 indices of the largest call, should each be one
_MAX_HEAD_BYTES = 2 << 20  # the largest answer, of 4096 results and 16384 peaks, takes 1.2 MB
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def seal(head: Message, bulk: Iterable[Buffer], *, padded: bool = False) -> Parts:
    """Return the bytes of ``head`` with ``bulk`` as its field 15, which ``head`` itself leaves empty.

    ``padded``: its field 13 is filled with zeros, so that the bulk begins at a multiple of 16 bytes.

    >>> from siamcorr.v1.template_service_pb2 import CreateTemplateRequest
    >>> CreateTemplateRequest.FromString(b"".join(seal(CreateTemplateRequest(), [b"ab", b"c"]))).payload
    b'abc'
    """
    parts = list(bulk)
    size = size_bytes(parts)
    length, data = varint(size), head.SerializeToString()
    if padded:
        rest = -(len(data) + len(_PADDING) + 1 + len(_TAG) + len(length)) % _ALIGNED_BYTES
        zeros = rest or _ALIGNED_BYTES  # protobuf leaves out what is empty
        data = b"".join((data, _PADDING, bytes([zeros]), bytes(zeros)))
    return [data, _TAG, length, *parts]


def size_bytes(parts: Parts) -> int:
    """Return how many bytes ``parts`` are together.

    >>> size_bytes([b"ab", memoryview(b"c")])
    3
    """
    return sum(map(len, parts))


def bulk_of(parts: Parts) -> Parts:
    """Return the bulk of a message that :func:`seal` has made."""
    return parts[3:]


def without_bulk(parts: Parts, instead: Message) -> Parts:
    """Return the bytes of that message with the fields of ``instead``, of the same kind, and no bulk.

    >>> from siamcorr.v1.template_service_pb2 import UpdateTemplateRequest
    >>> parts = seal(UpdateTemplateRequest(rate=0.5), [b"ab", b"c"])
    >>> bulk_of(parts)
    [b'ab', b'c']
    >>> changed = b"".join(without_bulk(parts, UpdateTemplateRequest(template="t")))
    >>> UpdateTemplateRequest.FromString(changed) == UpdateTemplateRequest(template="t", rate=0.5)
    True
    """
    return [parts[0], instead.SerializeToString()]


def unseal(kind: type[_M], data: Buffer) -> tuple[_M, memoryview]:
    """Return the message without its field 15, and that field's bytes: none where it is not there.

    Raises:
        InvalidArgument: the bytes are no such message, or have too much beside a bulk that comes last.

    >>> from siamcorr.v1.template_service_pb2 import CreateTemplateRequest
    >>> data = CreateTemplateRequest(payload=b"abc").SerializeToString()
    >>> head, payload = unseal(CreateTemplateRequest, data)
    >>> head.payload, bytes(payload)
    (b'', b'abc')
    """
    view = memoryview(data)
    found = _find_bulk(view)
    head_bytes = len(view) if found is None else found[0]
    if head_bytes > _MAX_HEAD_BYTES:
        expected = f"at most {_MAX_HEAD_BYTES} before a bulk that comes last"
        raise InvalidArgument.found("message", f"{head_bytes} bytes", expected)
    try:
        if found is not None:
            start, bulk_start = found
            return kind.FromString(bytes(view[:start])), view[bulk_start:]
        return _parse_whole(kind, data if isinstance(data, bytes) else bytes(data))
    except DecodeError as error:
        expected = f"the bytes of a {kind.DESCRIPTOR.full_name}"
        raise InvalidArgument.found(
            "message", f"{len(view)} bytes that cannot be parsed", expected
        ) from error


def _parse_whole(kind: type[_M], data: bytes) -> tuple[_M, memoryview]:
    message = kind.FromString(data)
    found = [value for field, value in message.ListFields() if field.number == _BULK]
    if not found:
        return message, memoryview(b"")
    (value,) = found
    bulk: bytes = value if isinstance(value, bytes) else value.SerializeToString()
    message.ClearField(kind.DESCRIPTOR.fields_by_number[_BULK].name)
    return message, memoryview(bulk)


def _find_bulk(view: memoryview) -> tuple[int, int] | None:
    """Return where field 15 and where its bytes begin, if they end where the message ends."""
    position, size = 0, len(view)
    for _ in range(_MAX_FIELDS):
        if position >= size:
            return None
        start = position
        tag, position = read_varint(view, position)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == _LENGTH:
            length, position = read_varint(view, position)
            if field == _BULK:
                return (start, position) if position + length == size else None
            position += length
        elif wire_type == _VARINT:
            _, position = read_varint(view, position)
        elif wire_type in {_FIXED32, _FIXED64}:
            position += 4 if wire_type == _FIXED32 else 8
        else:
            return None
    return None


def varint(number: int) -> bytes:
    """Return a number as the wire has lengths and tags.

    >>> varint(300)
    b'\\xac\\x02'
    """
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def read_varint(view: memoryview, position: int) -> tuple[int, int]:
    """Return such a number and where it ends. Past the end of ``view``: a number too large to be right."""
    if position < len(view) and (only := view[position]) < 0x80:  # as most are
        return only, position + 1
    number = shift = 0
    for end in range(position, min(position + 10, len(view))):
        group = view[end]
        number |= (group & 0x7F) << shift
        shift += 7
        if group < 0x80:
            return number, end + 1
    return 1 << 70, len(view)
