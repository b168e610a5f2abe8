"""Random calls for property tests, and what it means that two of them are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from siamcorr.arguments import Array
from siamcorr.calls import CorrelateCall, TemplateSource
from siamcorr.checks import correlate_call, create_call

__all__ = ["ARRAY_DTYPES", "LAYOUTS", "bits", "correlate_calls", "feature_arrays", "in_layout", "sources"]

ARRAY_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "big float32": np.dtype(">f4"),
    "float16": np.dtype("<f2"),
    "big float16": np.dtype(">f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
LAYOUTS = ("C", "F", "reversed", "strided")

_SIZES = st.integers(1, 3)
_NAMES = st.text("abz_09-é ", min_size=1, max_size=64)
_PAIR = st.tuples(st.integers(1, 4), st.integers(1, 4))
_KINDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "naive": st.just({}),
    "depthwise": st.just({}),
    "upchannel": st.one_of(st.just({}), st.fixed_dictionaries({"k": st.integers(1, 9)})),
    "groupwise": st.fixed_dictionaries({"groups": st.integers(1, 9)}),
    "pixelwise": st.just({}),
    "grouped": st.fixed_dictionaries({"groups": st.integers(1, 9)}),
}


def in_layout(array: Array, layout: str) -> Array:
    """Return the same numbers, lying differently in memory."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[..., ::-1].copy()[..., ::-1]
    if layout == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return array


def feature_arrays(*axes: int) -> st.SearchStrategy[Array]:
    """Draw features with one of these numbers of axes, in all dtypes, byte orders and layouts."""
    shapes = st.sampled_from(axes).flatmap(lambda count: st.tuples(*[_SIZES] * count))
    dtypes, layouts = st.sampled_from([*ARRAY_DTYPES]), st.sampled_from(LAYOUTS)
    return st.builds(_features, shapes, st.integers(0, 99), dtypes, layouts)


def _features(shape: tuple[int, ...], seed: int, dtype: str, layout: str) -> Array:
    numbers = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return in_layout(numbers.astype(ARRAY_DTYPES[dtype]), layout)


def _images() -> st.SearchStrategy[bytes | Array]:
    pixels = st.builds(
        lambda shape, layout: in_layout(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), layout),
        st.tuples(_SIZES, _SIZES, st.just(3)),
        st.sampled_from(LAYOUTS),
    )
    return st.one_of(st.binary(min_size=1, max_size=9), pixels)


def _boxes() -> st.SearchStrategy[Array]:
    box = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
    return st.lists(box, min_size=1, max_size=3).map(np.array)


def _frames() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"image": _images(), "boxes": _boxes(), "model": st.one_of(st.none(), _NAMES)}
    )


def sources() -> st.SearchStrategy[TemplateSource]:
    """Draw what templates are made from."""
    features = st.one_of(
        feature_arrays(3, 4), st.dictionaries(_NAMES, feature_arrays(3, 4), min_size=1, max_size=3)
    )
    return st.one_of(features.map(create_call), _frames().map(lambda frame: create_call(**frame)))


@st.composite
def correlate_calls(draw: st.DrawFn) -> CorrelateCall:
    """Draw a call that is in order, as far as that can be told without its templates."""
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["features"] = draw(feature_arrays(4))
        regions = len(options["features"])
    else:
        frame = draw(_frames())
        options |= {"image": frame["image"], "box": frame["boxes"], "model": frame["model"]}
        regions = len(frame["boxes"])
    if draw(st.booleans()):
        templates = draw(st.sampled_from([1, regions]))
    else:
        templates = draw(_SIZES)
        indices = st.tuples(st.integers(0, templates - 1), st.integers(0, regions - 1))
        pairs = draw(st.lists(indices, min_size=1, max_size=4))
        options["pairs"] = ([left for left, _ in pairs], [right for _, right in pairs])
    options |= draw(_operators())
    options |= draw(_answers())
    return correlate_call(draw(st.lists(_NAMES, min_size=templates, max_size=templates)), **options)


def _operators() -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from([*_KINDS]).flatmap(_operator)


def _operator(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    steps = {} if kind == "pixelwise" else {"padding": _PAIR, "stride": _PAIR, "dilation": _PAIR}
    numbers = st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2)
    heads = st.one_of(numbers.map(lambda row: [row]), numbers.map(lambda row: ([row], [1.0])))
    rest = st.fixed_dictionaries(
        {},
        optional={
            "gain": st.floats(allow_nan=False, allow_infinity=False),
            "bias": numbers,
            "head": heads,
            "tensor": _NAMES,
            "precision": st.sampled_from(["float32", "bfloat16"]),
            **steps,
        },
    )
    return st.builds(lambda more, own: {"kind": kind, **more, **own}, rest, _KINDS[kind])


def _answers() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "output": st.sampled_from(["map", "peaks", "both"]),
            "map_dtype": st.sampled_from(["float32", "float16"]),
            "top_k": st.integers(1, 1024),
            "sum_channels": st.booleans(),
        },
    )


def bits(value: Any) -> Any:
    """Return ``value`` with arrays as dtype, shape and bytes, so that ``==`` compares all of it."""
    if isinstance(value, np.ndarray):
        native = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="), copy=False))
        return native.dtype.name, value.shape, native.tobytes()
    if isinstance(value, Mapping):
        return {name: bits(one) for name, one in value.items()}
    if dataclasses.is_dataclass(value):
        return type(value), [bits(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value
