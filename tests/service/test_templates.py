"""The template service, through the generated stubs."""

from __future__ import annotations

import grpc
import ml_dtypes
import numpy as np
import pytest

from gates import IMAGE
from servers import Refusal, RunningServer, Stubs, serving
from siamcorr import EngineSettings
from siamcorr.answers import TensorInfo
from siamcorr.checks import create_call
from siamcorr.v1 import template_service_pb2 as pb
from siamcorr.wire.templates import Update
from whole_messages import create_request, update_request

Z = np.random.default_rng(0).standard_normal((8, 3, 3), np.float32)
X = np.random.default_rng(1).standard_normal((8, 7, 7), np.float32)


def test_a_template_lives_from_creation_to_deletion(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    assert template.tensors == (TensorInfo("features", "float32", (8, 3, 3)),)
    assert (template.generation, template.model, template.size_bytes) == (1, None, Z.nbytes)
    request = pb.GetTemplateRequest(template=template.handle)
    assert stubs.templates.GetTemplate(request).template.handle == template.handle
    stubs.templates.DeleteTemplate(pb.DeleteTemplateRequest(template=template.handle))
    gone = Refusal.of(stubs.templates.GetTemplate, request)
    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")
    assert server.engine.stats().bank.templates == 0


def test_several_named_tensors_of_several_dtypes_are_kept(stubs: Stubs) -> None:
    (template,) = stubs.create(
        {"cls": Z.astype(np.float16), "loc": Z.astype(ml_dtypes.bfloat16), "gate": Z[:1]}
    )
    assert template.tensors == (
        TensorInfo("cls", "float16", (8, 3, 3)),
        TensorInfo("loc", "bfloat16", (8, 3, 3)),
        TensorInfo("gate", "float32", (1, 3, 3)),
    )


def test_a_frame_gives_one_template_a_box(stubs: Stubs) -> None:
    boxes = [(1.0, 2.0, 10.0, 12.0), (20.0, 20.0, 8.0, 8.0)]
    templates = stubs.create(image=IMAGE, boxes=boxes, model="gate")
    assert [(one.model, one.tensors[0].shape) for one in templates] == [("gate", (3, 8, 8))] * 2
    assert len({one.handle for one in templates}) == 2


def test_an_update_replaces_or_blends_and_counts_generations(stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    for rate, generation in ((1.0, 2), (0.25, 3)):
        update = update_request(Update(template.handle, create_call(np.ones_like(Z)), rate))
        assert stubs.templates.UpdateTemplate(update).template.generation == generation
    without_rate = update_request(Update(template.handle, create_call(2 * Z), 0.5))
    without_rate.ClearField("rate")
    assert stubs.templates.UpdateTemplate(without_rate).template.generation == 4
    expected = stubs.correlate(stubs.create(2 * Z)[0], features=X)[0]
    (response,) = stubs.correlate(template, features=X)
    np.testing.assert_array_equal(response.map, expected.map)
    assert response.generation == 4


def test_all_templates_are_listed_once_in_order_of_creation(stubs: Stubs) -> None:
    handles = [stubs.create(Z)[0].handle for _ in range(7)]
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = stubs.templates.ListTemplates(pb.ListTemplatesRequest(page_size=3, page_token=token))
        pages.append([template.handle for template in page.templates])
        token = page.next_page_token
    assert pages == [handles[:3], handles[3:6], handles[6:]]
    assert len(stubs.templates.ListTemplates(pb.ListTemplatesRequest()).templates) == 7


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListTemplatesRequest(page_size=1001), "page_size"),
        (pb.ListTemplatesRequest(page_token="x" * 5000), "page_token"),
    ],
)
def test_a_page_that_cannot_be_is_refused(
    stubs: Stubs, request_: pb.ListTemplatesRequest, field: str
) -> None:
    refusal = Refusal.of(stubs.templates.ListTemplates, request_)
    assert (refusal.code, refusal.violations) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert len(refusal.message) < 200


def test_a_full_bank_refuses_and_tells_grpc_not_to_retry() -> None:
    with serving(EngineSettings(device="cpu", models={}, budget_bytes=1 << 17)) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            big = create_request(create_call(np.ones((16, 32, 32), np.float32)))
            stubs.templates.CreateTemplate(big)
            refusal = Refusal.of(lambda: [stubs.templates.CreateTemplate(big) for _ in range(3)])
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BANK_FULL")
    assert refusal.retry_s is not None
    assert refusal.trailers["grpc-retry-pushback-ms"] == "-1"


def test_an_evicted_and_an_expired_template_are_told_apart_from_an_unknown_one() -> None:
    settings = EngineSettings(device="cpu", models={}, budget_bytes=1 << 17, evict="lru")
    with serving(settings) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            first, *_ = [stubs.create(np.ones((16, 32, 32), np.float32))[0] for _ in range(3)]
            evicted = Refusal.of(stubs.correlate, first, features=X)
            unknown = Refusal.of(stubs.correlate, "tpl_never_was", features=X)
            deleted = Refusal.of(
                stubs.templates.DeleteTemplate, pb.DeleteTemplateRequest(template="tpl_never_was")
            )
    assert (evicted.code, evicted.reason) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_EVICTED")
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")
    assert deleted.reason == "TEMPLATE_NOT_FOUND"
    assert evicted.metadata == {"field": "template"}
