"""Checkpoint files: read as data, whatever is in them, and refused before they can do harm."""

from __future__ import annotations

import argparse
import copy
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from siamcorr.embed import convert
from siamcorr.embed.checkpoint import read_checkpoint
from siamcorr.embed.weights import read_state_dict
from siamcorr.errors import InvalidArgument

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.num_batches_tracked": torch.tensor(7)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.pt"


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
def test_a_file_of_torch_is_read_as_it_was_saved(file: Path, archive: bool) -> None:
    torch.save(STATE, file, _use_new_zipfile_serialization=archive)
    assert same(read_state_dict(str(file)), STATE)


def test_a_safetensors_file_is_read_whatever_its_name(file: Path) -> None:
    save_file(STATE, file)
    assert same(read_state_dict(str(file)), STATE)


class Program:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.trace,)


class MadeBySize:
    """Takes as much memory as it says when it is unpickled, and a few bytes of the file."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return self.kind, (1 << 20,)


@pytest.mark.parametrize("kind", [bytearray, torch.Tensor, torch.FloatTensor, torch.UntypedStorage])
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
def test_what_takes_more_memory_than_the_file_has_bytes_is_refused_unread(
    file: Path, archive: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"state_dict": STATE, "beside": MadeBySize(kind)}
    torch.save(content, file, _use_new_zipfile_serialization=archive)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was loaded"))
    name = "Tensor" if kind is torch.FloatTensor else kind.__name__
    with pytest.raises(InvalidArgument, match=rf"refused \(it makes a {name} by its size\)"):
        read_checkpoint(str(file))


@pytest.mark.parametrize("blank_foreign", [False, True])
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
@pytest.mark.parametrize("place", ["weight", "beside"])
def test_a_file_with_a_program_is_refused_and_does_not_run(
    tmp_path: Path, file: Path, place: str, archive: bool, blank_foreign: bool
) -> None:
    trace = tmp_path / "it ran"
    program = Program(trace)
    content = {"a": program} if place == "weight" else {"state_dict": STATE, "config": program}
    torch.save(content, file, _use_new_zipfile_serialization=archive)
    with pytest.raises(InvalidArgument, match=r"refused \(UnpicklingError: it holds \w+\.mkdir\)") as caught:
        read_checkpoint(str(file), blank_foreign=blank_foreign)
    assert caught.value.field == "model"
    assert not trace.exists()
    torch.load(file, weights_only=False)
    assert trace.exists(), "the file would have run"


def test_reading_leaves_what_torch_allows_as_it_was(file: Path) -> None:
    before = torch.serialization.get_safe_globals()
    torch.save(STATE, file)
    read_checkpoint(str(file), blank_foreign=True)
    torch.save({"a": argparse.Namespace()}, file)
    with pytest.raises(InvalidArgument, match=r"it holds argparse\.Namespace\)"):
        read_checkpoint(str(file))
    assert torch.serialization.get_safe_globals() == before


def test_an_archive_that_would_be_unpacked_is_refused_unread(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 24))
    assert file.stat().st_size < 1 << 15
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(InvalidArgument, match=r"refused \(a compressed archive, which torch.save does not"):
        read_checkpoint(str(file))


def test_an_archive_whose_entries_share_their_bytes_is_refused_unread(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data/0", bytes(1 << 16))
        for number in range(1, 100):
            entry = copy.copy(archive.filelist[0])
            entry.filename = f"archive/data/{number}"
            archive.filelist.append(entry)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(
        InvalidArgument, match=r"refused \(an archive of 7\d+ bytes that unpacks to 6553600\)"
    ):
        read_checkpoint(str(file))


def test_torch_reads_the_archive_that_was_checked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(STATE, file)
    checked = file.read_bytes()
    loaded = []
    monkeypatch.setattr(torch, "load", lambda source, **_: loaded.append(source.getvalue()))
    read_checkpoint(str(file))
    (copied,) = map(io.BytesIO, loaded)
    with zipfile.ZipFile(io.BytesIO(checked)) as first, zipfile.ZipFile(copied) as second:
        assert [(entry.filename, entry.CRC) for entry in first.infolist()] == [
            (entry.filename, entry.CRC) for entry in second.infolist()
        ]


@pytest.mark.parametrize(
    "content",
    [
        b"not a network",
        b"PK\x03\x04",
        pickle.dumps({"a": 1})[:-4],
        b"\xff" * 8 + b"{}",
        (2).to_bytes(8, "little") + b"{x",
        b"\x89PNG\r\n\x1a\n" + bytes(99),
    ],
    ids=["text", "archive", "pickle", "header", "json", "picture"],
)
def test_a_file_of_something_else_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidArgument, match=r"^model: found .*net\.pt', which is refused \(\w") as caught:
        read_checkpoint(str(file))
    assert caught.value.field == "model"


def test_an_empty_file_is_said_to_be_empty(file: Path) -> None:
    file.touch()
    with pytest.raises(
        InvalidArgument, match=r"net\.pt', which is refused \(it is empty\), expected a checkp"
    ):
        read_checkpoint(str(file))


@pytest.mark.parametrize("kind", ["archive", "before torch 1.6", "safetensors"])
def test_a_file_that_was_cut_short_is_refused(file: Path, kind: str) -> None:
    if kind == "safetensors":
        save_file(STATE, file)
    else:
        torch.save({"a.weight": torch.ones(20, 30)}, file, _use_new_zipfile_serialization=kind == "archive")
    whole = file.read_bytes()
    for length in range(0, len(whole), 97 if len(whole) > 500 else 7):
        file.write_bytes(whole[:length])
        with pytest.raises(InvalidArgument):
            read_checkpoint(str(file))


def test_a_byte_that_changed_in_an_archive_is_found(file: Path) -> None:
    torch.save({"a": torch.arange(64.0)}, file)
    whole = bytearray(file.read_bytes())
    whole[whole.index(torch.arange(64.0).numpy().tobytes()) + 100] ^= 1
    file.write_bytes(whole)
    with pytest.raises(InvalidArgument, match=r"refused \(BadZipFile\)"):
        read_checkpoint(str(file))


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(InvalidArgument, match=r"^model: found no readable file at ") as caught:
            read_checkpoint(str(path))
        assert caught.value.field == "model"


def test_the_converter_leaves_all_but_the_weights_behind(tmp_path: Path, file: Path) -> None:
    weights = {f"module.{name}": tensor for name, tensor in STATE.items()}
    torch.save({"state_dict": weights, "config": argparse.Namespace(lr=0.1), "epoch": 3}, file)
    with pytest.raises(InvalidArgument, match=r"it holds argparse\.Namespace\)"):
        read_state_dict(str(file))
    output = tmp_path / "net.safetensors"
    assert convert.main([str(file), str(output)]) == 0
    assert same(read_state_dict(str(output)), STATE)


def test_the_converter_says_what_it_refuses(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save([1, 2], file)
    assert convert.main([str(file), str(file.with_suffix(".safetensors"))]) == 2
    assert capsys.readouterr().err.startswith("model: found a list in ")
    assert not file.with_suffix(".safetensors").exists()


def test_the_converter_says_that_it_cannot_write(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(STATE, file)
    assert convert.main([str(file), str(tmp_path / "none" / "net.safetensors")]) == 2
    assert "net.safetensors' could not be written: " in capsys.readouterr().err
