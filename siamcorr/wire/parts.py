"""What the messages of both services share: boxes, frames and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from siamcorr.arguments import FEATURE_DTYPES, MAX_PAIRS, Array
from siamcorr.calls import Frame, TemplateSource
from siamcorr.checks import create_call
from siamcorr.errors import InvalidArgument
from siamcorr.tensors import PayloadReader, PayloadWriter
from siamcorr.v1 import tensor_pb2
from siamcorr.wire.envelope import Buffer

__all__ = ["read_frame", "read_source", "write_frame", "write_source"]


def write_frame(message: tensor_pb2.Frame, frame: Frame, writer: PayloadWriter) -> None:
    """Fill ``message`` and the payload with an image and its boxes."""
    image = frame.image
    pixels = np.frombuffer(image, np.uint8) if isinstance(image, bytes) else image
    writer.add(message.image, pixels)
    for x, y, width, height in frame.boxes.tolist():
        message.boxes.add(x=x, y=y, width=width, height=height)
    message.model = frame.model or ""


def read_frame(message: tensor_pb2.Frame, reader: PayloadReader) -> tuple[bytes | Array, Array, str | None]:
    """Return the image, boxes (N, 4) and model, not yet checked against one another."""
    if len(message.boxes) > MAX_PAIRS:
        raise InvalidArgument.found("box", f"{len(message.boxes)} boxes", f"1 to {MAX_PAIRS}")
    image = reader.read(message.image, "image", ("uint8",))
    boxes = np.array([(box.x, box.y, box.width, box.height) for box in message.boxes], np.float64)
    return image.tobytes() if image.ndim == 1 else image, boxes.reshape(-1, 4), message.model or None


def write_source(
    features: tensor_pb2.Features, frame: tensor_pb2.Frame, source: TemplateSource
) -> Sequence[Buffer]:
    """Fill one of two messages with what templates are made from, and return the payload in parts."""
    writer = PayloadWriter()
    if isinstance(source, Frame):
        write_frame(frame, source, writer)
    else:
        for name, array in source.items():
            writer.add(features.tensors.add(), array, name)
    return writer.parts


def read_source(
    which: str | None, features: tensor_pb2.Features, frame: tensor_pb2.Frame, payload: Buffer
) -> TemplateSource:
    """Return what templates are made from; ``which`` of the two messages is set.

    Raises:
        InvalidArgument: names the field.
    """
    reader = PayloadReader(payload)
    if which == "frame":
        image, boxes, model = read_frame(frame, reader)
        reader.finish()
        return create_call(image=image, boxes=boxes, model=model)
    tensors = _read_named(features, reader)
    reader.finish()
    return create_call(tensors if which else None)


def _read_named(features: tensor_pb2.Features, reader: PayloadReader) -> Mapping[str, Array]:
    tensors: dict[str, Array] = {}
    for tensor in features.tensors:
        if tensor.name in tensors:
            raise InvalidArgument.found(
                "features", f"{tensor.name!r:.80} twice", "tensors of different names"
            )
        tensors[tensor.name] = reader.read(tensor, "features", FEATURE_DTYPES)
    return tensors
