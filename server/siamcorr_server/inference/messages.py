"""The bytes of requests and answers, read and written without copying the tensors about.

Rules:
- Raw contents are viewed where they lie in a request, and joined once into an answer. Through protobuf's own
  classes each of them is copied two or three times on its way.
- :func:`open_request` tells what parsing the whole tells, whatever the order of the fields.
- At most ``_MAX_FIELDS`` fields are looked at, and what is not raw is at most ``_MAX_HEAD_BYTES``: a small
  field becomes a far larger object. So tensors that are not raw are bounded too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import DecodeError

from siamcorr.errors import InvalidArgument
from siamcorr.wire.envelope import Buffer, Parts, read_varint, size_bytes, varint
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

__all__ = ["open_request", "seal_response"]

_RAW = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
_RAW_OUT_TAG = bytes([pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER << 3 | 2])
_MAX_FIELDS = 1024
_MAX_HEAD_BYTES = 1 << 20
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}


def open_request(data: bytes) -> tuple[pb.ModelInferRequest, list[memoryview]]:
    """Return the request without its raw contents, and those.

    Raises:
        InvalidArgument: the bytes are no such message, or have too many fields beside raw contents.

    >>> request = pb.ModelInferRequest(id="7", raw_input_contents=[b"ab", b""])
    >>> head, raw = open_request(request.SerializeToString())
    >>> head.id, [bytes(one) for one in raw]
    ('7', [b'ab', b''])
    """
    view = memoryview(data)
    heads: list[memoryview] = []
    raw: list[memoryview] = []
    position = fields = 0
    while position < len(view):
        fields += 1
        start, (number, begin, end) = position, _field(view, position)
        if end > len(view) or fields > _MAX_FIELDS:
            raise _unread(f"{len(view)} bytes with more than {_MAX_FIELDS} fields, or cut off")
        if number == _RAW:
            raw.append(view[begin:end])
        else:
            heads.append(view[start:end])
        position = end
    head = b"".join(heads)
    if len(head) > _MAX_HEAD_BYTES:
        expected = f"at most {_MAX_HEAD_BYTES}: larger tensors as raw_input_contents"
        raise InvalidArgument.found("message", f"{len(head)} bytes beside raw contents", expected)
    try:
        return pb.ModelInferRequest.FromString(head), raw
    except DecodeError as error:
        raise _unread(f"{len(view)} bytes that cannot be parsed") from error


def seal_response(head: pb.ModelInferResponse, raw: Iterable[Sequence[Buffer]]) -> Parts:
    """Return the bytes of an answer, to be joined: ``raw`` has the parts of each output.

    >>> answer = b"".join(seal_response(pb.ModelInferResponse(id="7"), [[b"a", b"b"], []]))
    >>> pb.ModelInferResponse.FromString(answer).raw_output_contents
    [b'ab', b'']
    """
    sealed: list[Buffer] = [head.SerializeToString()]
    for parts in raw:
        sealed += [_RAW_OUT_TAG, varint(size_bytes(parts)), *parts]
    return sealed


def _field(view: memoryview, position: int) -> tuple[int, int, int]:
    """Return a field's number, or 0 if its content has no length in front, and where that begins and ends."""
    tag, position = read_varint(view, position)
    number, wire_type = divmod(tag, 8)
    if wire_type == _LENGTH:
        length, position = read_varint(view, position)
        return number, position, position + length
    if wire_type == _VARINT:
        return 0, position, read_varint(view, position)[1]
    if wire_type in _FIXED_BYTES:
        return 0, position, position + _FIXED_BYTES[wire_type]
    raise _unread(f"{len(view)} bytes that cannot be parsed")


def _unread(found: str) -> InvalidArgument:
    return InvalidArgument.found("message", found, "the bytes of a ModelInferRequest")
