"""Write the messages of each contract from its protos, and keep the promises of its fields.lock.

    python protos/generate.py

There are two: siamcorr/v1 is our own, and siamcorr_server/inference/v2 the Open Inference Protocol's.

Rules:

- What is generated is committed, so that installing needs no compiler. A test fails when it is stale.
- ``fields.lock`` has a line for everything that a caller's code relies on: the number and the type of each
  field, the number of each enum value, the messages of each rpc. What is added to the protos is added to it.
- A line that would go or change is refused: callers that were built before would break. To break them on
  purpose, take the line out of ``fields.lock`` by hand first, so that the commit shows it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

__all__ = ["BrokenPromisesError", "generate", "main", "promises"]

_LOCK = "fields.lock"
_LOCK_HEAD = "# Written by protos/generate.py: what callers rely on. A line is never changed, only added."


@dataclass(frozen=True, slots=True)
class _Contract:
    """A package of protos, the folder that its code is imported from, and whether that has gRPC's stubs."""

    package: Path
    source: Path
    stubs: bool


_CONTRACTS = (
    _Contract(Path("siamcorr", "v1"), Path(), stubs=True),
    # Not under its own name on the wire, so the stubs would call what is not there.
    _Contract(Path("siamcorr_server", "inference", "v2"), Path("server"), stubs=False),
)


class BrokenPromisesError(Exception):
    """Lines of ``fields.lock`` that do not hold for the protos any more."""


def generate(protos: Path, into: Path) -> None:
    """Write the code and the fields.lock of each contract in the folder ``protos`` into the tree ``into``.

    Raises:
        BrokenPromisesError: the protos take back what their fields.lock promises. Nothing is written then.
        subprocess.CalledProcessError: the protos do not compile. The compiler has printed why.
    """
    found = [contract for contract in _CONTRACTS if (protos / contract.package).exists()]
    described = {contract: _describe(protos, contract.package) for contract in found}
    if broken := [line for contract, files in described.items() for line in _broken(protos, contract, files)]:
        raise BrokenPromisesError("\n".join(broken))
    for contract, files in described.items():
        _write(protos, contract, files, into)


def _broken(protos: Path, contract: _Contract, files: FileDescriptorSet) -> list[str]:
    lock = protos / contract.package / _LOCK
    promised = lock.read_text(encoding="utf-8").splitlines()[1:] if lock.exists() else []
    held = set(promises(files))
    return [line for line in promised if line not in held]


def _write(protos: Path, contract: _Contract, files: FileDescriptorSet, into: Path) -> None:
    code = into / contract.source
    target = code / contract.package
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*_pb2*.py*"):
        stale.unlink()
    _protoc(protos, f"--python_out={code}", f"--pyi_out={code}", *(file.name for file in files.file))
    if contract.stubs:
        services = [file.name for file in files.file if file.service]
        _protoc(protos, f"--grpc_python_out={code}", *services)
    origin = Path("protos", contract.package).as_posix()
    init = f'"""Messages and services, generated from {origin} by protos/generate.py."""\n'
    (target / "__init__.py").write_text(init, encoding="utf-8")
    lock = into / "protos" / contract.package / _LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("\n".join([_LOCK_HEAD, *promises(files), ""]), encoding="utf-8")


def promises(files: FileDescriptorSet) -> Iterator[str]:
    """Yield the lines of fields.lock, file by file in the order of declaration."""
    for file in files.file:
        for message in file.message_type:
            yield from _message(f"{file.package}.{message.name}", message)
        for enum in file.enum_type:
            yield from _enum(f"{file.package}.{enum.name}", enum)
        for service in file.service:
            for rpc in service.method:
                yield _rpc(f"{file.package}.{service.name}.{rpc.name}", rpc)


def _message(name: str, message: DescriptorProto) -> Iterator[str]:
    for field in message.field:
        yield f"{name}.{field.name} = {field.number} {_type(field, message)}"
    for nested in message.nested_type:
        yield from _message(f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        yield from _enum(f"{name}.{enum.name}", enum)


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    name = field.type_name.lstrip(".") or FieldDescriptorProto.Type.Name(field.type)[len("TYPE_") :].lower()
    if field.proto3_optional:
        return f"optional {name}"
    if field.HasField("oneof_index"):
        return f"{name} in {message.oneof_decl[field.oneof_index].name}"
    return f"repeated {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def _enum(name: str, enum: EnumDescriptorProto) -> Iterator[str]:
    for value in enum.value:
        yield f"{name}.{value.name} = {value.number}"


def _rpc(name: str, rpc: MethodDescriptorProto) -> str:
    def side(type_name: str, is_stream: bool) -> str:
        return ("stream " if is_stream else "") + type_name.lstrip(".")

    request = side(rpc.input_type, rpc.client_streaming)
    return f"{name} ({request}) returns ({side(rpc.output_type, rpc.server_streaming)})"


def _describe(protos: Path, package: Path) -> FileDescriptorSet:
    names = sorted(str(path.relative_to(protos)) for path in (protos / package).glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "descriptors")
        _protoc(protos, f"--descriptor_set_out={out}", *names)
        return FileDescriptorSet.FromString(out.read_bytes())


def _protoc(protos: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", str(protos), *arguments], check=True)


def main(argv: Iterable[str] | None = None) -> int:
    """Generate, and say what is wrong if that is refused."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Write the messages of each contract from its protos.")
    parser.add_argument("--protos", type=Path, default=here, help="the folder of protos (default: this one)")
    parser.add_argument(
        "--into", type=Path, default=here.parent, help="where to write (default: the repository)"
    )
    options = parser.parse_args(None if argv is None else list(argv))
    try:
        generate(options.protos.resolve(), options.into.resolve())
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except BrokenPromisesError as broken:
        print(f"fields.lock promises what the protos do not hold any more:\n{broken}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
