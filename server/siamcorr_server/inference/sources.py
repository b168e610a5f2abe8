"""Inputs that several models take: templates, and boxes in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from siamcorr.calls import Image
from siamcorr.errors import InvalidArgument
from siamcorr_server.inference.declared import ANY, Spec
from siamcorr_server.inference.tensors import BYTES, Value

__all__ = ["BOX", "FEATURE_TYPES", "FRAME", "IMAGE", "TEMPLATE", "frame_of", "handles_of"]

FEATURE_TYPES = ("FP32", "FP16", "BF16")

TEMPLATE = Spec("template", (BYTES,), (ANY,))
IMAGE = Spec("image", ("UINT8", BYTES), (ANY, ANY, 3))
BOX = Spec("box", ("FP32", "FP64"), (ANY, 4))
FRAME = (IMAGE, BOX)


def handles_of(value: Value) -> list[str]:
    """Return the handles in an input ``template``.

    Raises:
        InvalidArgument: names ``template``: an element is no text.
    """
    try:
        return [element.decode() for element in cast(list[bytes], value)]
    except UnicodeDecodeError as error:
        raise InvalidArgument.found("template", repr(error.object)[:80], "a handle, in UTF-8") from error


def frame_of(inputs: Mapping[str, Value], options: Mapping[str, object]) -> dict[str, Any]:
    """Return the inputs ``image`` and ``box``, and the option ``model``, as keywords of a call.

    Raises:
        InvalidArgument: names ``image``: it is BYTES, and not one file.
    """
    image = inputs.get("image")
    if isinstance(image, list) and len(image) != 1:
        raise InvalidArgument.found("image", f"{len(image)} files", "one, JPEG or PNG")
    found: Image | None = image[0] if isinstance(image, list) else cast("np.ndarray[Any, Any] | None", image)
    return {"image": found, "box": inputs.get("box"), "model": options.get("model")}
