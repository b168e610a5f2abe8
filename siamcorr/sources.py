"""Where templates and search regions come from: features, or boxes in a frame. Refused by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siamcorr.arguments import FEATURE_DTYPES, MAX_PAIRS, Array, as_features, as_name, numpy_dtype
from siamcorr.calls import Features, Frame, Image, WireDtype
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import as_boxes

__all__ = ["as_frame", "as_search", "not_one_source", "only_with_image"]


def as_search(
    features: Array | None,
    wire_dtype: WireDtype | None,
    *,
    image: Image | None,
    box: npt.ArrayLike | None,
    model: str | None,
) -> Features | Frame:
    """Check search regions: features, rounded to ``wire_dtype`` if there is one, or boxes in an image."""
    features = _rounded(features, wire_dtype)
    if image is not None and features is None:
        return as_frame(image, box, model)
    if features is None or image is not None:
        raise not_one_source(features)
    only_with_image(box, model)
    regions = as_features(features, "features", axes=(3, 4))
    if regions.ndim == 4 and len(regions) > MAX_PAIRS:
        raise InvalidArgument.found("features", f"{len(regions)} search regions", f"at most {MAX_PAIRS}")
    return Features(regions if regions.ndim == 4 else regions[None])


def _rounded(features: Array | None, dtype: WireDtype | None) -> Array | None:
    if dtype is None or features is None:
        return features
    if dtype not in FEATURE_DTYPES:
        expected = f"one of {', '.join(FEATURE_DTYPES)}, or None"
        raise InvalidArgument.found("wire_dtype", repr(dtype)[:80], expected)
    found = as_features(features, "features", axes=(3, 4))
    try:
        with np.errstate(
            over="ignore"
        ):  # infinity is refused by the engine, unless it is to be computed with
            return found.astype(numpy_dtype(dtype), copy=False)
    except ModuleNotFoundError as error:
        expected = f"the package {error.name} to be installed beside bfloat16"
        raise InvalidArgument.found("wire_dtype", "no such package", expected) from error


def not_one_source(features: object) -> InvalidArgument:
    """Return the error for neither features nor an image, or both."""
    found = "neither features nor image" if features is None else "both features and image"
    return InvalidArgument.found("features", found, "one of them")


def only_with_image(box: npt.ArrayLike | None, model: str | None) -> None:
    """Refuse what says something of an image where there is none."""
    for name, value in (("box", box), ("model", model)):
        if value is not None:
            raise InvalidArgument.found(name, "a value beside features", f"{name} only beside image")


def as_frame(image: object, boxes: npt.ArrayLike | None, model: str | None) -> Frame:
    """Check an image, and boxes in it."""
    if boxes is None:
        raise InvalidArgument.found("box", "none", "x, y, w, h in pixels beside image")
    checked = as_boxes(boxes)
    if not 1 <= len(checked) <= MAX_PAIRS:
        raise InvalidArgument.found("box", f"{len(checked)} boxes", f"1 to {MAX_PAIRS}")
    return Frame(_image(image), checked, None if model is None else as_name(model, "model"))


def _image(image: object) -> Image:
    expected = "a JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR, not empty"
    if isinstance(image, bytes | bytearray | memoryview):
        if not len(image):
            raise InvalidArgument.found("image", "no bytes", expected)
        return bytes(image)
    if not isinstance(image, np.ndarray):
        raise InvalidArgument.found("image", type(image).__name__, expected)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InvalidArgument.found("image", f"{image.dtype} {image.shape}", expected)
    return image
