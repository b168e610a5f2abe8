"""What the reflection service tells: the contract of every service here, also of those under foreign names.

Rules:
- It is served under both names that it has had, with one handler: ``grpc.reflection.v1``, which tools of
  today ask for first, and ``grpc.reflection.v1alpha``, which older ones know. The messages are the same.
- What it tells comes from a pool of its own: the files of the named services, what those import, and the
  details that errors carry, so that tools can print them.
- A contract that belongs to others may be served here by messages in a namespace of ours, because two
  packages of one process cannot both register the others' names. :func:`renamed` gives it its own name back:
  callers see no other, and no registry of this process holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection, reflection_pb2  # type: ignore[import-untyped]

__all__ = ["REFLECTION", "enable_reflection", "renamed"]

REFLECTION = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)
"""Full names of the reflection service."""


def enable_reflection(
    server: grpc.aio.Server, services: Sequence[str], foreign: Sequence[FileDescriptorProto] = ()
) -> None:
    """Serve reflection, which tells ``services`` and itself.

    Args:
        server: it has not been started.
        services: full names of services, as callers call them.
        foreign: files that no registry of this process knows, each after those that it imports.

    Raises:
        KeyError: a service is in none of the files.
    """
    itself = renamed([reflection_pb2.DESCRIPTOR], "grpc.reflection.v1")
    names = [*REFLECTION, *services]
    servicer = reflection.aio.ReflectionServicer(names, pool=_Pool(_filled(names, [*itself, *foreign])))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in REFLECTION:
        generic = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers([generic])


def renamed(files: Sequence[FileDescriptor], package: str) -> list[FileDescriptorProto]:
    """Return the files of one package under the name of another.

    Their own names, what they import and the types that they name follow; field numbers stay.

    >>> from siamcorr.v1 import tensor_pb2
    >>> [file] = renamed([tensor_pb2.DESCRIPTOR], "other")
    >>> file.name, file.package
    ('other/tensor.proto', 'other')
    """
    folder = package.replace(".", "/")
    names = {file.name: f"{folder}/{file.name.rpartition('/')[2]}" for file in files}
    return [_renamed(file, package, names) for file in files]


def _renamed(file: FileDescriptor, package: str, names: Mapping[str, str]) -> FileDescriptorProto:
    copy = FileDescriptorProto()
    file.CopyToProto(copy)
    old, new = f".{file.package}.", f".{package}."

    def follow(holder: FieldDescriptorProto | MethodDescriptorProto, *attributes: str) -> None:
        for attribute in attributes:
            name = getattr(holder, attribute)
            if name.startswith(old):  # an empty one must stay unset
                setattr(holder, attribute, new + name.removeprefix(old))

    def follow_all(message: DescriptorProto) -> None:
        for field in (*message.field, *message.extension):
            follow(field, "type_name", "extendee")
        for nested in message.nested_type:
            follow_all(nested)

    copy.package = package
    copy.name = names[file.name]
    copy.dependency[:] = [names.get(name, name) for name in copy.dependency]
    for message in copy.message_type:
        follow_all(message)
    for service in copy.service:
        for method in service.method:
            follow(method, "input_type", "output_type")
    return copy


class _Pool:
    """A pool that knows methods by name too, which tools ask for like any other symbol."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - as in a pool
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return self._pool.FindServiceByName(service).methods_by_name[method].containing_service.file


def _filled(services: Iterable[str], foreign: Sequence[FileDescriptorProto]) -> DescriptorPool:
    """Return a pool that holds the services, from ``foreign`` or from what this process has registered."""
    pool, known, added = DescriptorPool(), Default(), set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name not in added:
            for imported in file.dependencies:
                add(imported)
            pool.AddSerializedFile(file.serialized_pb)
            added.add(file.name)

    add(error_details_pb2.DESCRIPTOR)
    own = {file.name for file in foreign}
    for proto in foreign:
        for name in proto.dependency:
            if name not in own:
                add(known.FindFileByName(name))
        pool.AddSerializedFile(proto.SerializeToString())
    told = {f"{proto.package}.{service.name}" for proto in foreign for service in proto.service}
    for service in services:
        if service not in told:
            add(known.FindServiceByName(service).file)
    return pool
