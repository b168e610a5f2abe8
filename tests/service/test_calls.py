"""What every call gets on its way: a request id, a log line, no internals; and the services beside ours."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]
    ProtoReflectionDescriptorDatabase,
)

from gates import IMAGE, held
from servers import Refusal, RunningServer, Stubs, secret_fault
from siamcorr.checks import create_call
from siamcorr.v1 import template_service_pb2 as pb
from siamcorr_server.server import SERVICES
from whole_messages import create_request

Z = np.random.default_rng(0).standard_normal((8, 3, 3), np.float32)
X = np.random.default_rng(1).standard_normal((8, 7, 7), np.float32)
BOX = (10.0, 10.0, 20.0, 20.0)
LIST = pb.ListTemplatesRequest()


def request_id(stubs: Stubs, *metadata: tuple[str, str]) -> Any:
    _, call = stubs.templates.ListTemplates.with_call(LIST, metadata=metadata)
    return dict(call.trailing_metadata())["x-request-id"]


def call_fields(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "call"]


def test_a_sane_request_id_is_kept_and_another_replaced(stubs: Stubs) -> None:
    assert request_id(stubs, ("x-request-id", "frame:17/a_b.c-d=")) == "frame:17/a_b.c-d="
    made = {
        request_id(stubs, *given) for given in ((), (("x-request-id", "a b"),), (("x-request-id", "x" * 65),))
    }
    assert len(made) == 3
    assert all(len(one) == 16 for one in made)


def test_a_call_logs_one_line_without_handles(
    server: RunningServer, stubs: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (template,) = stubs.create(Z)
    stubs.correlate([template] * 3, features=X)
    Refusal.of(stubs.correlate, "tpl_unknown", features=X)
    lines = call_fields(caplog)
    assert [(line["method"], line["code"], line["templates"]) for line in lines] == [
        ("CreateTemplate", "OK", 1),
        ("Correlate", "OK", 3),
        ("Correlate", "NOT_FOUND", 1),
    ]
    assert all(line["duration_ms"] >= 0 for line in lines)
    assert len({line["request_id"] for line in lines}) == 3
    assert template.handle not in str(lines) + caplog.text
    assert "tpl_" not in caplog.text


def test_the_line_of_an_answered_correlation_says_what_it_was_and_where_its_time_went(
    server: RunningServer, stubs: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (template,) = stubs.create(Z)
    (made,) = stubs.create(image=IMAGE, boxes=[BOX], model="gate")
    answers = [
        *stubs.correlate([template] * 3, features=X, kind="depthwise"),
        *stubs.correlate(made, image=IMAGE, box=BOX),
    ]
    Refusal.of(stubs.correlate, template, features=X[:2])
    *created, features, frame, refused = call_fields(caplog)
    assert all(line["peer"].startswith("ipv4:127.0.0.1:") for line in (*created, features))
    assert all("kind" not in line and "pairs" not in line for line in created)
    assert (features["kind"], features["pairs"], features["batch_pairs"]) == ("depthwise", 3, 3)
    assert (frame["kind"], frame["pairs"]) == ("naive", 1)
    for line, told in ((features, answers[0].timings), (frame, answers[-1].timings)):
        assert line["plan"] == told.plan
        stages = ("prepare", "queue", "embed", "compute", "compile", "copy")
        told_ms = {f"{stage}_ms": round(getattr(told, f"{stage}_s") * 1e3, 3) for stage in stages}
        assert {name: line.get(name, 0) for name in told_ms} == told_ms
    assert {"prepare_ms", "embed_ms"} <= frame.keys() - features.keys()
    assert refused["kind"] == "naive"
    assert "pairs" not in refused


def test_a_cancelled_call_is_logged_as_one(
    server: RunningServer, stubs: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with held(server.engine, server.gate):
        call = stubs.templates.CreateTemplate.future(create_request(create_call(Z)))
        server.until(lambda: server.engine.stats().requests == 2)
        call.cancel()
        server.until(lambda: bool(call_fields(caplog)))
    (line,) = call_fields(caplog)
    assert line["code"] == "CANCELLED"


def test_a_fault_of_ours_is_logged_and_not_told(
    server: RunningServer,
    stubs: Stubs,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(server.engine, "page", secret_fault)
        refusal = Refusal.of(stubs.templates.ListTemplates, LIST, metadata=(("x-request-id", "seven"),))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "seven" in refusal.message
    assert "secret" not in str(refusal)
    assert "KeyError: 'secret'" in caplog.text
    (line,) = call_fields(caplog)
    assert (line["request_id"], line["code"]) == ("seven", "INTERNAL")
    stubs.templates.ListTemplates(LIST)


def test_health_is_told_for_the_server_and_each_service(stubs: Stubs) -> None:
    health = health_pb2_grpc.HealthStub(stubs.channel)
    for service in ("", *SERVICES):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as unknown:
        health.Check(health_pb2.HealthCheckRequest(service="other"))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_tells_the_contract(stubs: Stubs) -> None:
    contract = ProtoReflectionDescriptorDatabase(stubs.channel)
    assert {*SERVICES, "grpc.health.v1.Health"} <= set(contract.get_services())
    file = contract.FindFileContainingSymbol("siamcorr.v1.CorrelateRequest")
    assert file.name == "siamcorr/v1/correlation_service.proto"


def test_an_unknown_method_is_unimplemented(stubs: Stubs) -> None:
    unknown: Any = stubs.channel.unary_unary("/siamcorr.v1.TemplateService/Steal")
    assert Refusal.of(unknown, b"").code is grpc.StatusCode.UNIMPLEMENTED
