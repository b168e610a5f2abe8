"""A contract that belongs to others, served by messages of ours: told under its own name, whole."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.any_pb2 import DESCRIPTOR as ANY
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.duration_pb2 import DESCRIPTOR as DURATION
from google.protobuf.message_factory import GetMessageClass

from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.v1 import error_pb2, tensor_pb2
from siamcorr_server import reflected
from siamcorr_server.reflected import REFLECTION, renamed

FILES = [tensor_pb2.DESCRIPTOR, error_pb2.DESCRIPTOR, pb.DESCRIPTOR]


def pool_of(files: list[FileDescriptor], package: str) -> DescriptorPool:
    pool = DescriptorPool()
    for imported in (ANY, DURATION):
        pool.AddSerializedFile(imported.serialized_pb)
    for file in renamed(files, package):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def test_files_types_and_imports_follow_their_package() -> None:
    files = renamed(FILES, "other.v2")
    assert [file.name for file in files] == [
        "other/v2/tensor.proto",
        "other/v2/error.proto",
        "other/v2/correlation_service.proto",
    ]
    imports = ["google/protobuf/duration.proto", "other/v2/error.proto", "other/v2/tensor.proto"]
    assert list(files[2].dependency) == imports
    assert "siamcorr" not in str(files)


def test_what_is_renamed_is_the_same_on_the_wire() -> None:
    pool = pool_of(FILES, "other.v2")
    method = pool.FindServiceByName("other.v2.CorrelationService").methods_by_name["CorrelateStream"]
    assert method.input_type.full_name == "other.v2.CorrelateStreamRequest"
    assert method.client_streaming
    ours = pb.CorrelateStreamRequest(id=7)
    ours.request.templates.append("tpl_1")
    ours.request.features.shape.extend([1, 2, 3])
    theirs: Any = GetMessageClass(method.input_type).FromString(ours.SerializeToString())
    assert theirs.request.features.DESCRIPTOR.full_name == "other.v2.Tensor"
    assert theirs.SerializeToString() == ours.SerializeToString()


def test_what_is_renamed_changes_nothing_here() -> None:
    renamed(FILES, "other.v2")
    assert pb.DESCRIPTOR.package == "siamcorr.v1"
    with pytest.raises(KeyError):
        pb.DESCRIPTOR.pool.FindFileByName("other/v2/tensor.proto")


def test_a_foreign_service_is_told_with_all_that_it_imports() -> None:
    service = "other.v2.CorrelationService"
    pool = reflected._Pool(reflected._filled([service], renamed(FILES, "other.v2")))
    file = pool.FindFileContainingSymbol(f"{service}.Correlate")
    assert "other/v2/tensor.proto" in {one.name for one in file.dependencies}
    for symbol in ("siamcorr.v1.CorrelationService", f"{service}.Steal", "other.v2.Nothing"):
        with pytest.raises(KeyError):
            pool.FindFileContainingSymbol(symbol)


def test_a_service_that_nobody_describes_is_a_mistake_at_the_start() -> None:
    with pytest.raises(KeyError):
        reflected._filled([*REFLECTION, "inference.Missing"], [])
