"""The wire contract: what is generated is fresh, promises are kept, and the style is one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from architecture.contract import faults
from architecture.house import ROOT

LOCK = "protos/siamcorr/v1/fields.lock"
CONTRACTS = {
    "siamcorr/v1": "siamcorr/v1",
    "siamcorr_server/inference/v2": "server/siamcorr_server/inference/v2",
}
"""The folder of each contract's protos, and of the code that is made of them."""


def generate(protos: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "protos/generate.py"), "--protos", str(protos), "--into", str(into)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def described(protos: Path, out: Path) -> FileDescriptorSet:
    names = sorted(path.relative_to(protos).as_posix() for path in protos.rglob("*.proto"))
    options = ["-I", str(protos), "--include_source_info", f"--descriptor_set_out={out}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *names], check=True)
    return FileDescriptorSet.FromString(out.read_bytes())


def contents(tree: Path) -> dict[str, str]:
    locks = [path for protos in CONTRACTS if (path := tree / "protos" / protos / "fields.lock").exists()]
    made = [path for code in CONTRACTS.values() for path in (tree / code).glob("*.py*") if path.is_file()]
    return {path.relative_to(tree).as_posix(): path.read_text(encoding="utf-8") for path in [*made, *locks]}


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A contract of one file, generated once into ``tmp_path``, its lock written."""
    proto = tmp_path / "protos/siamcorr/v1/box.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text(
        """syntax = "proto3";
        package siamcorr.v1;
        message Box { double x = 1; repeated float y = 2; optional int32 z = 3; oneof w { bytes v = 4; } }
        enum Kind { KIND_UNSPECIFIED = 0; KIND_NAIVE = 1; }
        service BoxService { rpc Get(Box) returns (stream Box); }
        """
    )
    assert generate(tmp_path / "protos", tmp_path).returncode == 0
    return tmp_path / "protos"


def test_what_is_generated_is_fresh(tmp_path: Path) -> None:
    done = generate(ROOT / "protos", tmp_path)
    assert done.returncode == 0, (
        f"{done.stderr}\nA promise of a fields.lock is broken, or a proto does not compile"
    )
    fresh, committed = contents(tmp_path), contents(ROOT)
    stale = [name for name in fresh | committed if fresh.get(name) != committed.get(name)]
    assert not stale, "run `make protos`"


def test_a_stale_file_is_seen(protos: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    shutil.copy(protos / "siamcorr/v1/box.proto", protos / "siamcorr/v1/ring.proto")
    text = (protos / "siamcorr/v1/ring.proto").read_text()
    for word in ("Box", "Kind", "KIND"):
        text = text.replace(word, f"Ring{word}")
    (protos / "siamcorr/v1/ring.proto").write_text(text)
    assert generate(protos, tmp_path).returncode == 0
    after = contents(tmp_path)
    assert after.keys() - before.keys() == {
        f"siamcorr/v1/ring_pb2{ending}" for ending in (".py", ".pyi", "_grpc.py")
    }
    assert after[LOCK].startswith(before[LOCK]), "what is added is promised too"


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ("double x = 1;", "", "siamcorr.v1.Box.x = 1 double"),
        ("double x = 1;", "double x = 9;", "siamcorr.v1.Box.x = 1 double"),
        ("double x = 1;", "double left = 1;", "siamcorr.v1.Box.x = 1 double"),
        ("double x = 1;", "float x = 1;", "siamcorr.v1.Box.x = 1 double"),
        ("repeated float y", "float y", "siamcorr.v1.Box.y = 2 repeated float"),
        ("optional int32 z", "int32 z", "siamcorr.v1.Box.z = 3 optional int32"),
        ("oneof w { bytes v = 4; }", "bytes v = 4;", "siamcorr.v1.Box.v = 4 bytes in w"),
        ("KIND_NAIVE = 1", "KIND_NAIVE = 2", "siamcorr.v1.Kind.KIND_NAIVE = 1"),
        ("returns (stream Box)", "returns (Box)", "siamcorr.v1.BoxService.Get (siamcorr.v1.Box) returns"),
    ],
)
def test_a_broken_promise_is_refused(protos: Path, tmp_path: Path, old: str, new: str, broken: str) -> None:
    before = contents(tmp_path)
    proto = protos / "siamcorr/v1/box.proto"
    proto.write_text(proto.read_text().replace(old, new))
    done = generate(protos, tmp_path)
    assert done.returncode == 1
    assert broken in done.stderr
    assert contents(tmp_path) == before, "nothing is written"


def test_a_promise_that_was_taken_back_by_hand_may_be_broken(protos: Path, tmp_path: Path) -> None:
    proto = protos / "siamcorr/v1/box.proto"
    proto.write_text(proto.read_text().replace("double x = 1;", ""))
    lock = tmp_path / LOCK
    lines = lock.read_text().splitlines(keepends=True)
    lock.write_text("".join(line for line in lines if "Box.x" not in line))
    assert generate(protos, tmp_path).returncode == 0
    assert "Box.x" not in lock.read_text()


def test_a_proto_that_does_not_compile_is_named(protos: Path, tmp_path: Path) -> None:
    (protos / "siamcorr/v1/box.proto").write_text("message {")
    done = generate(protos, tmp_path)
    assert done.returncode != 0
    assert "box.proto:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_contract_is_in_style(tmp_path: Path) -> None:
    wrong = faults(described(ROOT / "protos", tmp_path / "descriptors"))
    assert not wrong, "\n".join(wrong)


def test_every_fault_of_style_is_found(tmp_path: Path) -> None:
    proto = tmp_path / "protos/elsewhere/BadName.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text(
        """syntax = "proto3";
        package siamcorr;
        // Fine.
        message Fine {
          map<string, string> x = 1;  // Comments may come behind.
        }
        message bad_message { bytes payload = 1; string camelCase = 2; message Inner { enum E { A = 0; } } }
        // An enum.
        enum TwoWords { option allow_alias = true; TWO_WORDS_NONE = 0; OTHER = 0; TWO_WORDS_low = 2; }
        // A message.
        message Text {
          // Not bytes.
          string payload = 1;
        }
        service Thing { rpc Get(Fine) returns (Fine); }
        """
    )
    assert set(faults(described(tmp_path / "protos", tmp_path / "descriptors"))) == {
        "elsewhere/BadName.proto: lies elsewhere than its package siamcorr says",
        "elsewhere/BadName.proto: package siamcorr has no version",
        "elsewhere/BadName.proto: not lower_snake_case",
        "bad_message: is spelled against the style",
        "bad_message: has no comment",
        "bad_message.payload: has no comment",
        "bad_message.payload: is not the highest number",
        "bad_message.camelCase: is spelled against the style",
        "bad_message.camelCase: has no comment",
        "Inner: has no comment",
        "E: has no comment",
        "E.A: has no comment",
        "E.A: does not start with E_",
        "E: value 0 is not E_UNSPECIFIED",
        "TwoWords: value 0 is not TWO_WORDS_UNSPECIFIED",
        "TwoWords: has aliases",
        "TwoWords.TWO_WORDS_NONE: has no comment",
        "TwoWords.OTHER: has no comment",
        "TwoWords.OTHER: does not start with TWO_WORDS_",
        "TwoWords.TWO_WORDS_low: is spelled against the style",
        "TwoWords.TWO_WORDS_low: has no comment",
        "Text.payload: is not bytes",
        "Thing: has no comment",
        "Thing: does not end in Service",
        "Thing.Get: has no comment",
        "Thing.Get: uses .siamcorr.Fine, not a GetRequest of its own",
        "Thing.Get: uses .siamcorr.Fine, not a GetResponse of its own",
        ".siamcorr.Fine: is used by more than one rpc",
    }
