"""Calls: what they send, and that only an answer to what was asked is taken for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from random_calls import bits
from scripted import answer
from siamcorr.answers import Template, TensorInfo
from siamcorr.calls import Frame
from siamcorr.checks import correlate_call
from siamcorr.errors import InternalError, InvalidArgument
from siamcorr.v1 import correlation_service_pb2 as correlation_pb
from siamcorr.v1 import template_service_pb2 as template_pb
from siamcorr.wire.correlation import read_correlate_request
from siamcorr.wire.templates import read_create_request, read_update_request, write_template
from siamcorr_client import _calls
from siamcorr_client._calls import Call
from whole_messages import read

X = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
TEMPLATE = Template("tpl_a", 2, (TensorInfo("features", "float32", (2, 2, 2)),), None, 32, 1.5)
TWO_BOXES = Frame(b"jpeg", np.array([[0.0, 0, 1, 1], [0, 0, 2, 2]]), "hog")

CALLS: dict[str, Call[Any]] = {
    "create": _calls.create({"features": X}),
    "create from boxes": _calls.create(TWO_BOXES),
    "get": _calls.get("tpl_a"),
    "page": _calls.page("token"),
    "update": _calls.update("tpl_a", {"features": X}, 0.5),
    "delete": _calls.delete("tpl_a"),
    "correlate": _calls.correlate(["a", "b"], {"features": X}),
    "correlate one": _calls.correlate_as_written("a", {"features": X}),
    "correlate many": _calls.correlate_as_written(["a"], {"features": X}),
}


def sent(call: Call[Any]) -> bytes:
    return b"".join(call.parts)


def created(count: int) -> bytes:
    response = template_pb.CreateTemplateResponse()
    for _ in range(count):
        write_template(response.templates.add(), TEMPLATE)
    return response.SerializeToString()


def test_a_source_is_sent_as_it_is() -> None:
    request = template_pb.CreateTemplateRequest.FromString(sent(CALLS["create from boxes"]))
    assert bits(read(read_create_request, request)) == bits(TWO_BOXES)
    message = template_pb.UpdateTemplateRequest.FromString(sent(CALLS["update"]))
    update = read(read_update_request, message)
    assert bits(update.source) == bits({"features": X})
    assert (update.handle, update.rate) == ("tpl_a", 0.5)


def test_handles_and_tokens_are_sent() -> None:
    assert template_pb.GetTemplateRequest.FromString(sent(CALLS["get"])).template == "tpl_a"
    assert template_pb.DeleteTemplateRequest.FromString(sent(CALLS["delete"])).template == "tpl_a"
    page = template_pb.ListTemplatesRequest.FromString(sent(CALLS["page"]))
    assert (page.page_size, page.page_token) == (0, "token")


def test_a_correlate_call_is_sent_as_it_is_and_its_answer_read() -> None:
    request = correlation_pb.CorrelateRequest.FromString(sent(CALLS["correlate"]))
    assert bits(read(read_correlate_request, request)) == bits(correlate_call(["a", "b"], features=X))
    responses = CALLS["correlate"].answer(answer(request).SerializeToString())
    assert [response.template for response in responses] == ["a", "b"]


def test_one_template_gives_one_response_and_a_list_a_list() -> None:
    one, many = CALLS["correlate one"], CALLS["correlate many"]
    data = answer(correlation_pb.CorrelateRequest.FromString(sent(one))).SerializeToString()
    assert sent(one) == sent(many)
    named = _calls.correlate_as_written(TEMPLATE, {"features": X})
    assert not isinstance(named.answer(data), list)
    assert [one.answer(data).template] == [response.template for response in many.answer(data)] == ["a"]


def test_templates_are_read() -> None:
    assert CALLS["create"].answer(created(1)) == [TEMPLATE]
    assert CALLS["create from boxes"].answer(created(2)) == [TEMPLATE, TEMPLATE]
    response = template_pb.ListTemplatesResponse(next_page_token="2nd")  # noqa: S106 - no password
    write_template(response.templates.add(), TEMPLATE)
    assert CALLS["page"].answer(response.SerializeToString()) == ([TEMPLATE], "2nd")
    assert CALLS["delete"].answer(b"") is None


@pytest.mark.parametrize(("call", "count"), [("create", 0), ("create", 2), ("create from boxes", 1)])
def test_another_number_of_templates_is_no_answer(call: str, count: int) -> None:
    with pytest.raises(InternalError, match="templates: found"):
        CALLS[call].answer(created(count))


@pytest.mark.parametrize("pairs", [0, 1, 3])
def test_another_number_of_responses_is_no_answer(pairs: int) -> None:
    data = b""
    if pairs:
        other = _calls.correlate(["a"] * pairs, {"features": X})
        data = answer(correlation_pb.CorrelateRequest.FromString(sent(other))).SerializeToString()
    with pytest.raises(InternalError, match=f"responses: found {pairs}, expected 2"):
        CALLS["correlate"].answer(data)


@pytest.mark.parametrize("name", [*CALLS])
def test_bytes_that_are_no_message_are_a_fault_of_the_server(name: str) -> None:
    with pytest.raises(InternalError, match="the server's answer cannot be read") as caught:
        CALLS[name].answer(b"\x0a\xff")
    assert caught.value.__cause__ is not None
    assert not isinstance(caught.value, InvalidArgument)


@given(st.sampled_from([*CALLS]), st.binary(max_size=60))
def test_any_answer_is_read_or_a_fault_of_the_server(name: str, data: bytes) -> None:
    try:
        CALLS[name].answer(data)
    except InternalError:
        return
