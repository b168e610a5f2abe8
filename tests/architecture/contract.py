"""The style of the wire contract, after buf's STANDARD rules: what is wrong with a set of proto files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

__all__ = ["faults"]

_PASCAL = re.compile(r"([A-Z][a-z0-9]*)+")
_LOWER_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")

# Field numbers of descriptor.proto: they make up the path to a declaration's comment.
_MESSAGES, _ENUMS, _SERVICES, _FIELDS, _NESTED, _NESTED_ENUMS, _VALUES, _RPCS = 4, 5, 6, 2, 3, 4, 2, 2

_NAMED_BY_OTHERS = ("google.", "siamcorr_server.inference.")  # a protocol's names are not ours to choose

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """Something with a name of its own, and where its comment is looked up."""

    name: str
    path: Path
    style: re.Pattern[str]


def faults(files: FileDescriptorSet) -> list[str]:
    """Return what is wrong, a line each; the files need their source info."""
    ours = [file for file in files.file if not file.package.startswith(_NAMED_BY_OTHERS)]
    return [fault for file in ours for fault in _file_faults(file)] + list(_shared_messages(ours))


def _file_faults(file: FileDescriptorProto) -> Iterator[str]:
    if PurePosixPath(file.name).parent.parts != tuple(file.package.split(".")):
        yield f"{file.name}: lies elsewhere than its package {file.package} says"
    if not re.search(r"\.v\d+$", file.package):
        yield f"{file.name}: package {file.package} has no version"
    if not _LOWER_SNAKE.fullmatch(PurePosixPath(file.name).stem):
        yield f"{file.name}: not lower_snake_case"
    comments = {
        tuple(location.path): location.leading_comments + location.trailing_comments
        for location in file.source_code_info.location
    }
    for declared in _declared(file):
        if not declared.style.fullmatch(declared.name.rpartition(".")[2]):
            yield f"{declared.name}: is spelled against the style"
        if not comments.get(declared.path, "").strip():
            yield f"{declared.name}: has no comment"
    for _, message in _all_messages(file):
        yield from _payload_faults(message)
    for _, enum in _all_enums(file):
        yield from _enum_faults(enum)
    for service in file.service:
        yield from _service_faults(service)


def _declared(file: FileDescriptorProto) -> Iterator[Declared]:
    for path, message in _all_messages(file):
        yield Declared(message.name, path, _PASCAL)
        for n, field in enumerate(message.field):
            yield Declared(f"{message.name}.{field.name}", (*path, _FIELDS, n), _LOWER_SNAKE)
    for path, enum in _all_enums(file):
        yield Declared(enum.name, path, _PASCAL)
        for n, value in enumerate(enum.value):
            yield Declared(f"{enum.name}.{value.name}", (*path, _VALUES, n), _UPPER_SNAKE)
    for n, service in enumerate(file.service):
        yield Declared(service.name, (_SERVICES, n), _PASCAL)
        for m, rpc in enumerate(service.method):
            yield Declared(f"{service.name}.{rpc.name}", (_SERVICES, n, _RPCS, m), _PASCAL)


def _all_messages(file: FileDescriptorProto) -> Iterator[tuple[Path, DescriptorProto]]:
    waiting: list[tuple[Path, DescriptorProto]] = [
        ((_MESSAGES, n), message) for n, message in enumerate(file.message_type)
    ]
    while waiting:
        path, message = waiting.pop(0)
        if not message.options.map_entry:  # the compiler's own, for map<,>
            yield path, message
            waiting += [((*path, _NESTED, n), nested) for n, nested in enumerate(message.nested_type)]


def _all_enums(file: FileDescriptorProto) -> Iterator[tuple[Path, EnumDescriptorProto]]:
    yield from (((_ENUMS, n), enum) for n, enum in enumerate(file.enum_type))
    for path, message in _all_messages(file):
        yield from (((*path, _NESTED_ENUMS, n), enum) for n, enum in enumerate(message.enum_type))


def _payload_faults(message: DescriptorProto) -> Iterator[str]:
    """The payload goes last on the wire, so that a reader knows the head before the bytes come."""
    for field in message.field:
        if field.name != "payload":
            continue
        if field.type != FieldDescriptorProto.TYPE_BYTES:
            yield f"{message.name}.payload: is not bytes"
        if field.number < max(other.number for other in message.field):
            yield f"{message.name}.payload: is not the highest number"


def _enum_faults(enum: EnumDescriptorProto) -> Iterator[str]:
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper()
    yield from (
        f"{enum.name}.{value.name}: does not start with {prefix}_"
        for value in enum.value
        if not value.name.startswith(f"{prefix}_")
    )
    if enum.value[0].name != f"{prefix}_UNSPECIFIED":
        yield f"{enum.name}: value 0 is not {prefix}_UNSPECIFIED"
    if enum.options.allow_alias:
        yield f"{enum.name}: has aliases"


def _service_faults(service: ServiceDescriptorProto) -> Iterator[str]:
    if not service.name.endswith("Service"):
        yield f"{service.name}: does not end in Service"
    for rpc in service.method:
        for type_name, suffix in ((rpc.input_type, "Request"), (rpc.output_type, "Response")):
            if type_name.rpartition(".")[2] != f"{rpc.name}{suffix}":
                yield f"{service.name}.{rpc.name}: uses {type_name}, not a {rpc.name}{suffix} of its own"


def _shared_messages(files: Iterable[FileDescriptorProto]) -> Iterator[str]:
    rpcs = [rpc for file in files for service in file.service for rpc in service.method]
    used = [name for rpc in rpcs for name in (rpc.input_type, rpc.output_type)]
    yield from (f"{name}: is used by more than one rpc" for name in sorted(set(used)) if used.count(name) > 1)
