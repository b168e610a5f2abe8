"""What the protocol tells of the server and its models, and what it leaves out."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # type: ignore[import-untyped]
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]

from servers import RunningServer, serving
from siamcorr.shapes import KINDS
from triton_client import connected, refusal

TEMPLATE_MODELS = ("create_template", "update_template", "delete_template")
SERVICE = "inference.GRPCInferenceService"


def shapes(tensors: Any) -> dict[str, tuple[str, list[int]]]:
    return {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in tensors}


def test_the_server_tells_that_it_is_there(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    told = triton.get_server_metadata()
    assert (told.name, told.version) == ("siamcorr", version("siamcorr"))
    assert list(told.extensions) == ["model_configuration", "statistics", "parameters"]


def test_shared_memory_is_told_of_where_it_is_on() -> None:
    with serving(system_memory_prefixes=["/siamcorr_test"]) as server, connected(server.address) as triton:
        assert "system_shared_memory" in triton.get_server_metadata().extensions


def test_all_models_are_listed_and_ready(triton: Any) -> None:
    models = triton.get_model_repository_index().models
    assert [model.name for model in models] == [*KINDS, *TEMPLATE_MODELS, "small"]
    for model in models:
        assert (model.version, model.state) == ("1", "READY")
        assert triton.is_model_ready(model.name)
        assert triton.is_model_ready(model.name, "1")
    assert not triton.is_model_ready("naive", "2")
    assert not triton.is_model_ready("gate")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_tells_the_inputs_that_make_a_request(kind: str, triton: Any) -> None:
    told, any_shape = triton.get_model_metadata(kind), ("FP32", [-1, -1, -1, -1])
    assert (told.name, list(told.versions), told.platform) == (kind, ["1"], "siamcorr")
    assert shapes(told.inputs) == {"template": any_shape, "search": any_shape}
    assert shapes(told.outputs) == {"response": any_shape}


def test_a_network_tells_its_maps(triton: Any) -> None:
    told = triton.get_model_metadata("small", "1")
    assert shapes(told.inputs) == {
        "template": ("BYTES", [-1]),
        "image": ("UINT8", [-1, -1, 3]),
        "box": ("FP32", [-1, 4]),
    }
    assert shapes(told.outputs) == {
        "sum": ("FP32", [-1, 1, 7, 7]),
        "each": ("FP32", [-1, 3, 7, 7]),
        "map_to_frame": ("FP32", [-1, 4]),
    }


@pytest.mark.parametrize("model", [*KINDS, *TEMPLATE_MODELS, "small"])
def test_the_configuration_tells_the_same_as_the_metadata(model: str, triton: Any) -> None:
    told, config = triton.get_model_metadata(model), triton.get_model_config(model).config
    assert (config.name, config.max_batch_size) == (model, 0)
    assert config.HasField("dynamic_batching")
    assert not config.model_transaction_policy.decoupled
    for tensors, configured in ((told.inputs, config.input), (told.outputs, config.output)):
        for tensor, field in zip(tensors, configured, strict=True):
            datatype = field.DESCRIPTOR.fields_by_name["data_type"].enum_type
            name = datatype.values_by_number[field.data_type].name.removeprefix("TYPE_")
            assert (tensor.name, list(tensor.shape)) == (field.name, list(field.dims))
            assert tensor.datatype == {"STRING": "BYTES"}.get(name, name)


@pytest.mark.parametrize("ask", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
def test_an_unknown_model_or_version_is_not_found(ask: str, triton: Any) -> None:
    for arguments, field in ((("no_such",), "name"), (("naive", "2"), "version")):
        status, said = refusal(getattr(triton, ask), *arguments)
        assert status == "NOT_FOUND"
        assert said.startswith(f"{field}: found '{arguments[-1]}', expected ")


def test_another_repository_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match="repository_name: found 'other', expected none"):
        stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(repository_name="other"))


def test_cuda_shared_memory_is_refused_and_there_is_none_to_forget(triton: Any) -> None:
    assert not triton.get_cuda_shared_memory_status().regions
    triton.unregister_cuda_shared_memory()
    status, said = refusal(triton.register_cuda_shared_memory, "mine", b"aGFuZGxl", 0, 64)
    assert status == "INVALID_ARGUMENT"
    assert said == "name: found CUDA shared memory 'mine', expected system shared memory, or none"
    assert refusal(triton.get_cuda_shared_memory_status, "mine")[0] == "INVALID_ARGUMENT"


def test_what_is_not_offered_is_unimplemented(triton: Any) -> None:
    calls: list[tuple[Any, Any]] = [(triton.load_model, "naive"), (triton.unload_model, "naive")]
    calls += [(triton.get_trace_settings, "naive"), (triton.update_log_settings, {})]
    for call, argument in calls:
        assert refusal(call, argument)[0] == "UNIMPLEMENTED"


def test_health_knows_the_service_by_its_name(server: RunningServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        told = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert told.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_describes_the_service_by_its_name(server: RunningServer) -> None:
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    with grpc.insecure_channel(server.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (told,) = stub.ServerReflectionInfo(iter([asked]))
    (data,) = told.file_descriptor_response.file_descriptor_proto
    ours, theirs = FileDescriptorProto.FromString(data), FileDescriptorProto()
    assert ours.package == "inference"
    assert [method.name for method in ours.service[0].method][:6] == [
        *("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
    ]
    service_pb2.DESCRIPTOR.CopyToProto(theirs)
    known = {message.name: message for message in theirs.message_type}
    for message in ours.message_type:
        if message.name in known:
            numbers = {field.name: field.number for field in known[message.name].field}
            assert {field.name: field.number for field in message.field}.items() <= numbers.items()
    assert {"ModelInferRequest", "ModelInferResponse", "ModelStatistics"} <= known.keys()
