"""Requests that no client of ours sends: refused by field, or read, and never anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from random_calls import correlate_calls, sources
from siamcorr.calls import CorrelateCall, TemplateSource
from siamcorr.checks import correlate_call, create_call
from siamcorr.errors import InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import template_service_pb2 as template_pb
from siamcorr.v1.tensor_pb2 import Tensor
from siamcorr.wire.correlation import read_correlate_request, read_correlate_response
from siamcorr.wire.envelope import unseal
from siamcorr.wire.templates import (
    Update,
    read_create_request,
    read_template,
    read_update_request,
)
from whole_messages import correlate_request, create_request, read, update_request

READERS: dict[type[Message], Callable[..., object]] = {
    correlation_pb.CorrelateRequest: read_correlate_request,
    correlation_pb.CorrelateResponse: read_correlate_response,
    template_pb.CreateTemplateRequest: read_create_request,
    template_pb.UpdateTemplateRequest: read_update_request,
}

FRAME = np.zeros((2, 3, 3), np.uint8)


def is_read(kind: type[Message], data: bytes) -> bool:
    """Tell whether ``data`` is read, and not refused."""
    try:
        READERS[kind](*unseal(kind, data))
    except InvalidArgument:
        return False
    return True


def whole_call() -> correlation_pb.CorrelateRequest:
    """Return a request with one of everything."""
    return correlate_request(
        correlate_call(
            ["tpl_a", "tpl_b"],
            features=np.ones((2, 2, 4, 4), np.float32),
            kind="upchannel",
            k=1,
            gain=0.5,
            bias=[1.0],
            head=([[2.0]], [3.0]),
            pairs=([0, 1], [1, 0]),
            tensor="cls",
            output="both",
            top_k=3,
        )
    )


def frame_call() -> correlation_pb.CorrelateRequest:
    return correlate_request(correlate_call(["a"], image=FRAME, box=(0, 0, 2, 2), model="hog"))


@pytest.mark.parametrize("request_of", [whole_call, frame_call])
def test_a_request_cut_at_any_length_is_refused(request_of: Callable[[], Message]) -> None:
    data = request_of().SerializeToString()
    assert is_read(correlation_pb.CorrelateRequest, data)
    for length in range(len(data)):
        assert not is_read(correlation_pb.CorrelateRequest, data[:length])


def test_a_payload_that_is_shorter_or_longer_is_refused() -> None:
    for payload in (b"", whole_call().payload[:-1], whole_call().payload + b"\0"):
        request = whole_call()
        request.payload = payload
        assert not is_read(correlation_pb.CorrelateRequest, request.SerializeToString())


def changed(change: Callable[[Any], object], request: Any = None) -> InvalidArgument:
    request = request or whole_call()
    change(request)
    with pytest.raises(InvalidArgument) as caught:
        read(read_correlate_request, request)
    return caught.value


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda it: it.ClearField("templates"), "template"),
        (lambda it: it.templates.append(""), "template"),
        (lambda it: it.templates.extend(["x"] * 4095), "template"),
        (lambda it: it.ClearField("correlation"), "kind"),
        (lambda it: setattr(it.correlation, "kind", 99), "kind"),
        (lambda it: setattr(it.correlation, "groups", 2), "groups"),
        (lambda it: setattr(it.correlation, "k", 2**32 - 1), "k"),
        (lambda it: setattr(it.correlation.padding, "rows", 1025), "padding"),
        (lambda it: setattr(it.correlation.stride, "rows", 0), "stride"),
        (lambda it: setattr(it.correlation.dilation, "cols", 2**32 - 1), "dilation"),
        (lambda it: setattr(it.correlation, "gain", float("nan")), "gain"),
        (lambda it: setattr(it.correlation, "gain", float("inf")), "gain"),
        (lambda it: it.template_index.append(0), "pairs"),
        (lambda it: it.ClearField("template_index"), "pairs"),
        (lambda it: it.search_index.__setitem__(0, 2), "pairs"),
        (lambda it: it.template_index.__setitem__(0, 2**32 - 1), "pairs"),
        (lambda it: setattr(it, "tensor_name", "a\nb"), "tensor"),
        (lambda it: setattr(it.features, "dtype", 4), "features"),
        (lambda it: it.features.ClearField("shape"), "features.shape"),
        (lambda it: it.features.shape.__setitem__(0, 2**63), "features.shape"),
        (lambda it: setattr(it.features, "offset_bytes", 2**63), "features.offset_bytes"),
        (lambda it: setattr(it.features, "length_bytes", 2**63), "features.length_bytes"),
        (lambda it: setattr(it.bias, "offset_bytes", 0), "bias.offset_bytes"),
        (lambda it: setattr(it.bias, "dtype", 2), "bias"),
        (lambda it: it.head.ClearField("weight"), "head"),
        (lambda it: it.head.weight.shape.append(1), "head"),
        (lambda it: it.head.bias.shape.append(1), "head"),
        (lambda it: setattr(it.output, "kind", 9), "output"),
        (lambda it: setattr(it.output, "map_dtype", 3), "map_dtype"),
        (lambda it: setattr(it.output, "map_dtype", 9), "map_dtype"),
        (lambda it: setattr(it.output, "top_k", 1025), "top_k"),
        (lambda it: setattr(it, "payload", b""), "payload"),
    ],
)
def test_a_wrong_field_of_a_correlate_request_is_named(change: Callable[[Any], object], field: str) -> None:
    assert changed(change).field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda it: it.frame.ClearField("image"), "image"),
        (lambda it: it.frame.ClearField("boxes"), "box"),
        (lambda it: it.frame.boxes.add(), "box"),
        (lambda it: it.frame.boxes.extend([it.frame.boxes[0]] * 4096), "box"),
        (lambda it: setattr(it.frame.boxes[0], "x", float("nan")), "box"),
        (lambda it: setattr(it.frame.boxes[0], "width", float("inf")), "box"),
        (lambda it: setattr(it.frame.boxes[0], "height", -1.0), "box"),
        (lambda it: setattr(it.frame, "model", "m" * 65), "model"),
        (lambda it: setattr(it.frame.image, "dtype", 1), "image"),
        (lambda it: it.frame.image.shape.__setitem__(slice(None), [9, 2]), "image"),
        (lambda it: it.frame.image.shape.__setitem__(slice(None), [3, 2, 3, 1]), "image"),
        (lambda it: it.frame.image.shape.__setitem__(slice(None), [3, 3, 2]), "image"),
    ],
)
def test_a_wrong_field_of_a_frame_is_named(change: Callable[[Any], object], field: str) -> None:
    assert changed(change, frame_call()).field == field


def named(*names: str) -> template_pb.CreateTemplateRequest:
    """Ask for a template with these tensors."""
    request = create_request({str(n): np.ones((1, 1, 1), np.float32) for n in range(len(names))})
    for tensor, name in zip(request.features.tensors, names, strict=True):
        tensor.name = name
    return request


@pytest.mark.parametrize("names", [(), ("",), ("a", "a"), ("a\0",), ("n" * 65,), tuple(map(str, range(65)))])
def test_tensors_without_good_names_are_refused(names: tuple[str, ...]) -> None:
    request = named(*names)
    request.features.SetInParent()
    with pytest.raises(InvalidArgument, match="features"):
        read(read_create_request, request)


def test_search_regions_from_nothing_are_refused() -> None:
    request = correlate_request(correlate_call("a", features=np.ones((1, 1, 1), np.float32)))
    request.ClearField("search")
    request.ClearField("payload")
    with pytest.raises(InvalidArgument, match="neither features nor image"):
        read(read_correlate_request, request)


def test_a_template_of_a_dtype_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="tensors: found dtype code 0"):
        read_template(template_pb.Template(tensors=[Tensor(shape=[1, 1, 1])]))


def test_templates_from_nothing_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="neither features nor image"):
        read(read_create_request, template_pb.CreateTemplateRequest())


def test_an_update_from_many_boxes_is_refused() -> None:
    two = create_call(image=b"jpeg", boxes=[(0, 0, 1, 1), (0, 0, 2, 2)])
    with pytest.raises(InvalidArgument, match="box: found 2 boxes"):
        read(read_update_request, update_request(Update("a", two, 1.0)))


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, float("nan")])
def test_an_update_with_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(InvalidArgument, match="rate: found"):
        read(
            read_update_request,
            update_request(Update("a", {"features": np.ones((1, 1, 1), np.float32)}, rate)),
        )


def damaged(data: bytes, draw: st.DataObject) -> bytes:
    """Return ``data`` with some bytes changed, left out, doubled or added."""
    raw = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(raw)))
        length = draw.draw(st.integers(0, 3))
        raw[at : at + length] = draw.draw(st.binary(max_size=3))
    return bytes(raw)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(correlate_calls(), st.data())
def test_a_damaged_correlate_request_is_read_or_refused(call: CorrelateCall, draw: st.DataObject) -> None:
    is_read(correlation_pb.CorrelateRequest, damaged(correlate_request(call).SerializeToString(), draw))


@given(sources(), st.data())
def test_damaged_template_requests_are_read_or_refused(source: TemplateSource, draw: st.DataObject) -> None:
    is_read(template_pb.CreateTemplateRequest, damaged(create_request(source).SerializeToString(), draw))
    update = update_request(Update("tpl", source, 0.5))
    is_read(template_pb.UpdateTemplateRequest, damaged(update.SerializeToString(), draw))


@given(st.sampled_from([*READERS]), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(kind: type[Message], data: bytes) -> None:
    is_read(kind, data)
