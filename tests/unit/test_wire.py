"""The wire contract: a call goes through a message and its bytes, and is the same call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from random_calls import bits, correlate_calls, sources
from siamcorr.answers import MapToFrame, Response, Template, TensorInfo, Timings
from siamcorr.calls import CorrelateCall, TemplateSource
from siamcorr.checks import correlate_call, create_call
from siamcorr.peaks import Peak
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import template_service_pb2 as template_pb
from siamcorr.wire.correlation import (
    read_correlate_request,
    read_correlate_response,
    seal_correlate_request,
    seal_correlate_response,
)
from siamcorr.wire.envelope import unseal
from siamcorr.wire.templates import (
    Update,
    read_create_request,
    read_template,
    read_update_request,
    seal_create_request,
    seal_update_request,
    write_template,
)
from whole_messages import correlate_request, read, update_request

FLOATS = st.floats(allow_nan=False)


@settings(max_examples=60)
@given(correlate_calls())
def test_a_correlate_call_comes_out_as_it_went_in(call: CorrelateCall) -> None:
    data = b"".join(seal_correlate_request(call))
    assert data == correlation_pb.CorrelateRequest.FromString(data).SerializeToString(), "as protobuf does"
    request, payload = unseal(correlation_pb.CorrelateRequest, data)
    assert not request.payload
    assert bits(read_correlate_request(request, payload)) == bits(call)


@given(sources())
def test_a_source_comes_out_as_it_went_in(source: TemplateSource) -> None:
    data = b"".join(seal_create_request(source))
    assert data == template_pb.CreateTemplateRequest.FromString(data).SerializeToString()
    assert bits(read_create_request(*unseal(template_pb.CreateTemplateRequest, data))) == bits(source)


@given(sources(), st.floats(0, 1, exclude_min=True))
def test_an_update_comes_out_as_it_went_in(source: TemplateSource, rate: float) -> None:
    update = Update("tpl_1", create_one(source), rate)
    data = b"".join(seal_update_request(update))
    assert data == template_pb.UpdateTemplateRequest.FromString(data).SerializeToString()
    assert bits(read_update_request(*unseal(template_pb.UpdateTemplateRequest, data))) == bits(update)


def create_one(source: TemplateSource) -> TemplateSource:
    """Return ``source``, with its first box only."""
    if isinstance(source, dict):
        return source
    frame: Any = source
    return create_call(image=frame.image, boxes=frame.boxes[:1], model=frame.model)


@st.composite
def responses(draw: st.DrawFn) -> list[Response]:
    dtype = draw(st.sampled_from([np.float32, np.float16]))
    timings = draw(st.builds(Timings, *[FLOATS] * 5, st.integers(0, 2**32 - 1), st.text("a, "), FLOATS))
    peaks = st.builds(Peak, FLOATS, FLOATS, st.floats(), FLOATS, st.integers(0, 2**32 - 1))
    maps = st.one_of(
        st.none(), st.tuples(*[st.integers(1, 3)] * 3).map(lambda shape: np.full(shape, np.nan, dtype))
    )
    places = st.one_of(st.none(), st.builds(MapToFrame, FLOATS, FLOATS, FLOATS, FLOATS))
    one = st.builds(
        Response,
        template=st.text("abc_09", min_size=1),
        generation=st.integers(0, 2**64 - 1),
        map=maps,
        peaks=st.lists(peaks, max_size=2).map(tuple),
        map_to_frame=places,
        timings=st.just(timings),
    )
    return draw(st.lists(one, min_size=1, max_size=3))


@given(responses())
def test_responses_come_out_as_they_went_in(answers: list[Response]) -> None:
    data = b"".join(seal_correlate_response(answers))
    unsealed = read_correlate_response(*unseal(correlation_pb.CorrelateResponse, data))
    assert repr([*map(bits, unsealed)]) == repr([*map(bits, answers)]), "as text, in which NaN equals NaN"


def test_a_template_comes_out_as_it_went_in() -> None:
    infos = (TensorInfo("features", "bfloat16", (256, 6, 6)), TensorInfo("é", "float16", (1, 2, 3, 4)))
    for template in (Template("a", 1, infos, None, 2**63, 0.5), Template("b", 2**64 - 1, (), "hog", 0, 0.0)):
        message = template_pb.Template()
        write_template(message, template)
        assert read_template(template_pb.Template.FromString(message.SerializeToString())) == template


def test_what_is_not_told_has_its_default() -> None:
    call = correlate_call(["a"], features=np.ones((1, 2, 3, 3), np.float32))
    request = correlate_request(call)
    for field in ("tensor_name", "output", "template_index", "search_index"):
        request.ClearField(field)
    for field in ("padding", "stride", "dilation", "gain"):
        request.correlation.ClearField(field)
    assert bits(read(read_correlate_request, request)) == bits(call)


def test_an_update_without_a_rate_replaces() -> None:
    request = update_request(Update("a", {"features": np.ones((1, 1, 1), np.float32)}, 0.5))
    request.ClearField("rate")
    assert read(read_update_request, request).rate == 1.0


@pytest.mark.parametrize("kind", ["naive", "depthwise", "upchannel", "pixelwise"])
def test_every_kind_has_its_code(kind: str) -> None:
    request = correlate_request(correlate_call("a", features=np.ones((2, 3, 3), np.float32), kind=kind))
    assert correlation_pb.Kind.Name(request.correlation.kind) == f"KIND_{kind.upper()}"
