"""Write siamcorr/v1 from protos/siamcorr/v1, and keep the promises of fields.lock.

    python protos/generate.py

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
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

__all__ = ["BrokenPromisesError", "generate", "main", "promises"]

_PACKAGE = Path("siamcorr", "v1")
_LOCK = Path("protos", _PACKAGE, "fields.lock")
_LOCK_HEAD = "# Written by protos/generate.py: what callers rely on. A line is never changed, only added."
_INIT = '"""Messages and services, generated from protos/siamcorr/v1 by protos/generate.py."""\n'


class BrokenPromisesError(Exception):
    """Lines of ``fields.lock`` that do not hold for the protos any more."""


def generate(protos: Path, into: Path) -> None:
    """Write ``into``/siamcorr/v1 and ``into``/protos/siamcorr/v1/fields.lock from the folder ``protos``.

    Raises:
        BrokenPromisesError: the protos take back what their fields.lock promises. Nothing is written then.
        subprocess.CalledProcessError: the protos do not compile. The compiler has printed why.
    """
    files = _describe(protos)
    new = list(promises(files))
    lock = protos / _PACKAGE / _LOCK.name
    old = lock.read_text(encoding="utf-8").splitlines()[1:] if lock.exists() else []
    if broken := [line for line in old if line not in set(new)]:
        raise BrokenPromisesError("\n".join(broken))

    target = into / _PACKAGE
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*_pb2*.py*"):
        stale.unlink()
    messages = [file.name for file in files.file]
    services = [file.name for file in files.file if file.service]
    _protoc(protos, f"--python_out={into}", f"--pyi_out={into}", *messages)
    _protoc(protos, f"--grpc_python_out={into}", *services)
    (target / "__init__.py").write_text(_INIT, encoding="utf-8")
    (into / _LOCK).parent.mkdir(parents=True, exist_ok=True)
    (into / _LOCK).write_text("\n".join([_LOCK_HEAD, *new, ""]), encoding="utf-8")


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


def _describe(protos: Path) -> FileDescriptorSet:
    names = sorted(str(path.relative_to(protos)) for path in (protos / _PACKAGE).glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "descriptors")
        _protoc(protos, f"--descriptor_set_out={out}", *names)
        return FileDescriptorSet.FromString(out.read_bytes())


def _protoc(protos: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", str(protos), *arguments], check=True)


def main(argv: Iterable[str] | None = None) -> int:
    """Generate, and say what is wrong if that is refused."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Write siamcorr/v1 from protos/siamcorr/v1.")
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
