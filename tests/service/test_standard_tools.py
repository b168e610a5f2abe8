"""What grpcurl, ghz and health probes do, done with what reflection and health tell, and nothing else."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status  # type: ignore[import-untyped]

from architecture.house import ROOT
from gates import PATIENCE_S
from servers import RunningServer, Stubs
from siamcorr.v1 import correlation_service_pb2, shared_memory_service_pb2, template_service_pb2
from siamcorr_server.reflected import REFLECTION
from siamcorr_server.server import SERVICES

PAGE = (ROOT / "docs" / "standard_tools.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:50051"
HANDLE = "tpl_..."
CREATE = "siamcorr.v1.TemplateService/CreateTemplate"
CORRELATE = "siamcorr.v1.CorrelationService/Correlate"


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


class Reflected:
    """A tool that knows a server's address, and the rest from reflection under one of its names."""

    def __init__(self, channel: grpc.Channel, reflection: str = REFLECTION[0]) -> None:
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.database._stub = SimpleNamespace(
            ServerReflectionInfo=channel.stream_stream(
                f"/{reflection}/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
        )
        self.pool = DescriptorPool(self.database)

    def services(self) -> list[ServiceDescriptor]:
        return [self.pool.FindServiceByName(name) for name in self.database.get_services()]

    def call(self, method: str, request: str | bytes) -> dict[str, Any]:
        """Call with JSON, or with a message's bytes, and return the answer as JSON has it."""
        service, _, name = method.partition("/")
        described = self.pool.FindServiceByName(service).methods_by_name[name]
        message = GetMessageClass(described.input_type)()
        if isinstance(request, str):
            json_format.Parse(request, message)
        else:
            message.ParseFromString(request)
        answer: Any = GetMessageClass(described.output_type)
        call: Any = self.channel.unary_unary(f"/{method}", response_deserializer=answer.FromString)
        reply = call(message.SerializeToString(), timeout=PATIENCE_S)
        return json_format.MessageToDict(reply, preserving_proto_field_name=True)


@pytest.fixture(params=REFLECTION)
def tool(request: pytest.FixtureRequest, stubs: Stubs) -> Reflected:
    return Reflected(stubs.channel, request.param)


def test_every_service_and_every_message_is_told(tool: Reflected) -> None:
    services = tool.services()
    assert {*SERVICES, *REFLECTION, "grpc.health.v1.Health"} <= {service.full_name for service in services}
    waiting = [
        message
        for service in services
        for method in service.methods
        for message in (method.input_type, method.output_type)
    ]
    seen = set()
    while waiting:
        message = waiting.pop()
        if message.full_name not in seen:
            seen.add(message.full_name)
            assert GetMessageClass(message)().SerializeToString() == b""
            waiting += [field.message_type for field in message.fields if field.message_type]
    assert {"siamcorr.v1.Tensor", "siamcorr.v1.Status", "google.protobuf.Any"} <= seen


def test_what_is_told_is_the_contract(tool: Reflected) -> None:
    for module in (correlation_service_pb2, shared_memory_service_pb2, template_service_pb2):
        for name, service in module.DESCRIPTOR.services_by_name.items():
            assert name
            told = tool.pool.FindServiceByName(service.full_name).file
            assert told.serialized_pb == module.DESCRIPTOR.serialized_pb


def test_methods_and_the_details_of_errors_are_told_too(tool: Reflected) -> None:
    file = tool.database.FindFileContainingSymbol("siamcorr.v1.TemplateService.CreateTemplate")
    assert file.name == "siamcorr/v1/template_service.proto"
    for detail in ("ErrorInfo", "BadRequest", "RetryInfo"):
        told = tool.pool.FindMessageTypeByName(f"google.rpc.{detail}")
        assert told.file.serialized_pb == error_details_pb2.DESCRIPTOR.serialized_pb


@pytest.mark.parametrize("symbol", ["siamcorr.v1.TemplateService.Steal", "siamcorr.v1.Nothing", "x", ""])
def test_what_there_is_not_is_not_found(tool: Reflected, symbol: str) -> None:
    with pytest.raises(KeyError):
        tool.database.FindFileContainingSymbol(symbol)


def test_the_documented_requests_give_the_documented_answer(tool: Reflected) -> None:
    create, correlate = blocks("json")
    (template,) = tool.call(CREATE, create)["templates"]
    assert HANDLE in correlate
    answer = tool.call(CORRELATE, correlate.replace(HANDLE, template["handle"]))
    (result,) = answer["results"]
    message = json_format.ParseDict(answer, correlation_service_pb2.CorrelateResponse())
    assert list(np.frombuffer(message.payload, np.float32)) == [8, 12, 20, 24]
    assert "`[8, 12, 20, 24]`" in PAGE
    assert (result["peaks"][0]["row"], result["peaks"][0]["col"]) == (1, 1)
    assert answer["payload"] in PAGE


def test_the_documented_file_for_ghz_is_a_request(
    server: RunningServer, stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    exec(compile(program.replace(ADDRESS, server.address), "standard_tools.md", "exec"), {})  # noqa: S102
    answer = Reflected(stubs.channel).call(CORRELATE, (tmp_path / "request.bin").read_bytes())
    assert answer["results"][0]["map"]["shape"] == ["1", "17", "17"]


def test_an_error_is_read_from_what_is_told(stubs: Stubs) -> None:
    tool = Reflected(stubs.channel)
    with pytest.raises(grpc.RpcError) as caught:
        tool.call(CREATE, blocks("json")[0].replace("FLOAT32", "UINT8"))
    details = rpc_status.from_call(caught.value).details
    assert details
    for detail in details:
        described = tool.pool.FindMessageTypeByName(detail.TypeName())
        assert "features" in str(GetMessageClass(described).FromString(detail.value))


@pytest.mark.skipif(shutil.which("grpcurl") is None, reason="grpcurl is not installed")
def test_the_documented_lines_run(server: RunningServer, stubs: Stubs, tmp_path: Path) -> None:
    create, correlate = blocks("json")
    (template,) = Reflected(stubs.channel).call(CREATE, create)["templates"]
    (tmp_path / "template.json").write_text(create)
    (tmp_path / "request.json").write_text(correlate.replace(HANDLE, template["handle"]))
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("grpcurl ")]
    assert len(lines) == 10
    for line in lines:
        done = subprocess.run(  # noqa: S602 - the page's own lines
            line.replace(ADDRESS, server.address),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), line


def test_the_documented_services_and_fields_exist(tool: Reflected) -> None:
    lines = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    words = {word.strip(".") for line in lines for word in line}
    symbols = {word for word in words if word.startswith("siamcorr.v1.")}
    assert len(symbols) == 7
    for symbol in symbols:
        tool.database.FindFileContainingSymbol(symbol.replace("/", "."))


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_a_watcher_is_told_when_the_server_drains(server: RunningServer, stubs: Stubs, service: str) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    watcher: Iterator[Any] = health_pb2_grpc.HealthStub(stubs.channel).Watch(request, timeout=PATIENCE_S)
    assert next(watcher).status == health_pb2.HealthCheckResponse.SERVING
    drained = server.start(server.server.drain(0.0))
    assert next(watcher).status == health_pb2.HealthCheckResponse.NOT_SERVING
    drained.result(PATIENCE_S)


def test_of_a_service_that_there_is_not_a_watcher_learns_so(stubs: Stubs) -> None:
    request = health_pb2.HealthCheckRequest(service="siamcorr.v1.Nothing")
    watcher = health_pb2_grpc.HealthStub(stubs.channel).Watch(request, timeout=PATIENCE_S)
    assert next(watcher).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watcher.cancel()
