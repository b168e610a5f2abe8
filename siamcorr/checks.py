"""From what a caller writes to checked calls; every refusal that needs no template and no pixel is here.

A call is checked when it is built, so the same mistake reads the same in process and across the network. What
needs a template (channels that do not match, a template larger than its search region) is checked at
admission, and what needs every number (NaN, infinity) on the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

import numpy.typing as npt

from siamcorr.answers import Template
from siamcorr.arguments import (
    MAX_PAIRS,
    Array,
    Indices,
    as_features,
    as_name,
    as_number,
    as_numbers,
    as_pairs,
)
from siamcorr.calls import (
    DEFAULT_TENSOR,
    NETWORK,
    CorrelateCall,
    Frame,
    Handle,
    HeadLike,
    HeadWeights,
    Image,
    MapDtype,
    Output,
    OutputKind,
    Precision,
    TemplateSource,
    WireDtype,
)
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, IntPair
from siamcorr.sources import as_frame, as_search, not_one_source, only_with_image

__all__ = [
    "MAX_PEAKS",
    "correlate_call",
    "create_call",
    "handle_of",
    "update_rate",
    "update_source",
]

_MAX_TENSORS = 64
_COMPARABLE = (int, float, str, tuple, Real)  # the last takes longest to tell

MAX_PEAKS = 16_384
"""The most peaks in one call: a peak costs several passes over its map, so nobody may ask for millions."""


def correlate_call(
    template: Handle | Sequence[Handle],
    *,
    features: Array | None = None,
    image: Image | None = None,
    box: npt.ArrayLike | None = None,
    model: str | None = None,
    tensor: str = "",
    kind: str = "naive",
    groups: int | None = None,
    k: int | None = None,
    padding: IntPair = 0,
    stride: IntPair = 1,
    dilation: IntPair = 1,
    gain: float = 1.0,
    bias: npt.ArrayLike | None = None,
    pairs: tuple[Indices, Indices] | None = None,
    head: HeadLike | None = None,
    output: OutputKind = "map",
    map_dtype: MapDtype = "float32",
    top_k: int = 1,
    sum_channels: bool = False,
    precision: Precision = "float32",
    wire_dtype: WireDtype | None = None,
) -> CorrelateCall:
    """Check a correlation request and bring it into one form.

    Args:
        template: a handle or :class:`Template`, or a list of them. One makes one response, a list a list.
        features: (C, H, W) or (N, C, H, W) search regions; float32, float16 or bfloat16. This, or ``image``.
        image: a JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR.
        box: (4,) or (N, 4): x, y, w, h in pixels. Around each, one search region is cropped.
        model: the embedder for ``image``; None is the template's own.
        tensor: which of a template's named tensors; may be empty when it has only one.
        kind: ``naive``, ``depthwise``, ``upchannel``, ``groupwise``, ``pixelwise`` or ``grouped``: see
            :mod:`siamcorr.shapes`. Or ``network``: the model's own maps of each template and search region,
            which go through its correlations and its head. Then there is an ``image``, and of what follows
            only ``pairs`` and ``map_dtype`` may be set.
        groups: for ``groupwise`` and ``grouped``.
        k: for ``upchannel``: checked against the channels.
        padding: zeros around the search region, in cells: an integer, or (row, col).
        stride: in cells, as ``padding``.
        dilation: in cells, as ``padding``.
        gain: the response is ``head(gain * correlation + bias)``.
        bias: a number, or (O,) numbers.
        pairs: (template indices, search indices) of one length, one entry a response. Without it template i
            meets search region i, and one template or one search region is shared by all.
        head: weights (K, O/groups) of a 1x1 convolution, or (weights, bias (K,)).
        output: ``map``, ``peaks`` or ``both``.
        map_dtype: ``float32`` or ``float16``.
        top_k: how many peaks at most.
        sum_channels: sum the response's channels, after the head, into one.
        precision: ``float32``, or ``bfloat16``: faster where matrix products are computed, with relative
            errors below 1e-2.
        wire_dtype: ``float32``, ``float16`` or ``bfloat16``: ``features`` are rounded to it before they are
            sent, which halves what has to be sent. None sends them as they are.

    Raises:
        InvalidArgument: names the argument, what was found and what was expected.

    >>> import numpy as np
    >>> call = correlate_call(["a", "b"], features=np.zeros((8, 6, 6), np.float32), kind="depthwise")
    >>> call.template_index, call.search_index
    ((0, 1), (0, 0))
    """
    handles = _handles(template)
    is_network = kind == NETWORK
    if is_network:
        kind = "naive"
        _refuse_beside_network(
            features=features is None,
            tensor=tensor == "",
            groups=groups is None,
            k=k is None,
            padding=_is_one_of(padding, 0, (0, 0)),
            stride=_is_one_of(stride, 1, (1, 1)),
            dilation=_is_one_of(dilation, 1, (1, 1)),
            gain=_is_one_of(gain, 1),
            bias=bias is None,
            head=head is None,
            output=_is_one_of(output, "map"),
            top_k=_is_one_of(top_k, 1),
            sum_channels=sum_channels is False,
            precision=_is_one_of(precision, "float32"),
            wire_dtype=wire_dtype is None,
        )
    search = as_search(features, wire_dtype, image=image, box=box, model=model)
    template_index, search_index = as_pairs(pairs, len(handles), search.count, most=MAX_PAIRS)
    if isinstance(template, str | Template) and (len(template_index) != 1 or pairs is not None):
        found = f"one template for {len(template_index)} responses"
        raise InvalidArgument.found("template", found, "a list of templates, which gives a list of responses")
    if not isinstance(tensor, str) or tensor:
        as_name(tensor, "tensor")
    return CorrelateCall(
        templates=handles,
        search=search,
        template_index=template_index,
        search_index=search_index,
        correlation=Correlation(kind, groups=groups, k=k, padding=padding, stride=stride, dilation=dilation),
        tensor=tensor,
        gain=as_number(gain, "gain"),
        bias=None if bias is None else as_numbers(bias, "bias", axes=(0, 1)).reshape(-1),
        head=_head(head),
        output=_output(Output(output, map_dtype, top_k, sum_channels), len(template_index)),
        precision=_precision(precision),
        is_network=is_network,
    )


def create_call(
    features: Array | Mapping[str, Array] | None = None,
    *,
    image: Image | None = None,
    boxes: npt.ArrayLike | None = None,
    model: str | None = None,
) -> TemplateSource:
    """Check what templates are made from.

    Args:
        features: (C, h, w), or (O, C/groups, h, w) for ``grouped``; or a mapping of such tensors by name.
        image: a JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR.
        boxes: (4,) or (N, 4): x, y, w, h in pixels.
        model: the embedder for ``image``; None is the engine's default.

    Raises:
        InvalidArgument: names the argument, what was found and what was expected.
    """
    if image is not None and features is None:
        return as_frame(image, boxes, model)
    if features is None or image is not None:
        raise not_one_source(features)
    only_with_image(boxes, model)
    if not isinstance(features, Mapping):
        return {DEFAULT_TENSOR: as_features(features, "features", axes=(3, 4))}
    if not 1 <= len(features) <= _MAX_TENSORS:
        raise InvalidArgument.found("features", f"{len(features)} tensors", f"1 to {_MAX_TENSORS}")
    return {
        as_name(name, "features"): as_features(value, f"features[{name!r}]", axes=(3, 4))
        for name, value in features.items()
    }


def update_source(
    features: Array | Mapping[str, Array] | None = None,
    *,
    image: Image | None = None,
    box: npt.ArrayLike | None = None,
    model: str | None = None,
) -> TemplateSource:
    """Check what one template is made from: as :func:`create_call`, with one box."""
    source = create_call(features, image=image, boxes=box, model=model)
    if isinstance(source, Frame) and source.count != 1:
        raise InvalidArgument.found("box", f"{source.count} boxes", "one box for one template")
    return source


def update_rate(rate: float) -> float:
    """Check the share of the new features: 1 replaces, 0.01 blends ``0.99 * z + 0.01 * z2``."""
    number = as_number(rate, "rate")
    if not 0 < number <= 1:
        raise InvalidArgument.found("rate", number, "a number above 0 and up to 1")
    return number


def handle_of(template: Handle) -> str:
    """Return the handle of a template that is given as either."""
    return as_name(template.handle if isinstance(template, Template) else template, "template")


def _refuse_beside_network(**is_unset: bool) -> None:
    """Refuse what only a correlation has."""
    for name, unset in is_unset.items():
        if not unset:
            raise InvalidArgument.found(
                name, "a value beside kind='network'", f"{name} only for correlations"
            )


def _is_one_of(value: object, *plain: object) -> bool:
    """Tell for a value that is not checked yet: one of no plain type equals none."""
    return isinstance(value, _COMPARABLE) and value in plain


def _handles(template: Handle | Sequence[Handle]) -> tuple[str, ...]:
    if isinstance(template, str | Template):
        return (handle_of(template),)
    if not isinstance(template, Sequence) or not 1 <= len(template) <= MAX_PAIRS:
        expected = f"a template, or a list of 1 to {MAX_PAIRS}"
        raise InvalidArgument.found("template", repr(template)[:80], expected)
    return tuple(handle_of(one) for one in template)


def _precision(precision: Precision) -> Precision:
    if precision not in ("float32", "bfloat16"):
        raise InvalidArgument.found("precision", repr(precision)[:80], "'float32' or 'bfloat16'")
    return precision


def _output(output: Output, pairs: int) -> Output:
    if output.kind != "map" and pairs * output.top_k > MAX_PEAKS:
        found = f"{output.top_k} for each of {pairs} responses"
        raise InvalidArgument.found("top_k", found, f"at most {MAX_PEAKS} peaks in all")
    return output


def _head(head: HeadLike | None) -> HeadWeights | None:
    if head is None:
        return None
    weight, bias = _weight_and_bias(head)
    checked = as_numbers(weight, "head", axes=(2, 4))
    if checked.ndim == 4 and checked.shape[2:] != (1, 1):
        raise InvalidArgument.found("head", f"shape {checked.shape}", "(K, O/groups) or (K, O/groups, 1, 1)")
    checked = checked.reshape(checked.shape[:2])
    if bias is None:
        return HeadWeights(checked)
    offsets = as_numbers(bias, "head", axes=(1,))
    if len(offsets) != len(checked):
        raise InvalidArgument.found("head", f"a bias of {len(offsets)} numbers", f"{len(checked)}")
    return HeadWeights(checked, offsets)


def _weight_and_bias(head: HeadLike) -> tuple[object, object]:
    if isinstance(head, HeadWeights):
        return head.weight, head.bias
    return head if isinstance(head, tuple) and len(head) == 2 else (head, None)
