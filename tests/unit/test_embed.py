"""Loading embedders: the right one by name, and files that are refused with what is wrong with them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from siamcorr.embed import MODELS, load_embedder
from siamcorr.embed.weights import read_state_dict, select
from siamcorr.errors import InvalidArgument

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Spare small networks the threads that cost them more than they bring on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["", "HOG", "nanotrackv2", None, 7])
def test_an_unknown_name_is_refused_with_the_names_there_are(name: Any) -> None:
    with pytest.raises(InvalidArgument, match="expected one of hog, nanotrackv3") as caught:
        load_embedder(name, None, CPU)
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("hog", "weights.pt", "model: found a file for hog, 'weights.pt', expected none: hog has no weights"),
        ("nanotrackv3", None, "model: found no file for nanotrackv3, expected the path of its state dict"),
    ],
)
def test_a_file_is_given_exactly_where_there_are_weights(name: str, path: str | None, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_embedder(name, path, CPU)
    assert str(caught.value) == message
    assert caught.value.field == "model"


def test_each_embedder_answers_to_its_name(shared: Path) -> None:
    files = {"nanotrackv3": str(shared / "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt")}
    for name in MODELS:
        embedder = load_embedder(name, files.get(name), CPU)
        assert embedder.name == name
        for size_px in (embedder.crop.template_px, embedder.crop.search_px):
            features = embedder(torch.zeros(1, size_px, size_px, 3, dtype=torch.uint8))
            assert features.shape == (1, *embedder.shape(size_px))
            assert features.dtype == torch.float32
        apart = embedder.crop.search_px - embedder.crop.template_px
        _, template_rows, template_cols = embedder.shape(embedder.crop.template_px)
        _, search_rows, search_cols = embedder.shape(embedder.crop.search_px)
        assert (search_rows - template_rows) * embedder.stride == apart, "as map_to_frame relies on"
        assert (search_cols - template_cols) * embedder.stride == apart


def test_a_state_dict_is_read_as_it_was_saved(tmp_path: Path) -> None:
    state = {"a.weight": torch.ones(2, 3), "a.num_batches_tracked": torch.tensor(7)}
    torch.save(state, tmp_path / "net.pt")
    found = read_state_dict(str(tmp_path / "net.pt"))
    assert list(found) == list(state)
    assert torch.equal(found["a.weight"], state["a.weight"])


class Program:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_file_with_a_program_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trace, file = tmp_path / "it ran", tmp_path / "net.pt"
    torch.save({"a.weight": Program(trace)}, file)
    with pytest.raises(InvalidArgument, match=r"which it refuses \(UnpicklingError\), .*weights_only=True"):
        read_state_dict(str(file))
    assert not trace.exists()
    torch.load(file, weights_only=False)
    assert trace.exists(), "the file would have run"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([torch.ones(2)], "a list in"),
        (torch.ones(2), "a Tensor in"),
        ({}, "a dict with nothing in"),
        ({"epoch": 3, "state_dict": {"a": torch.ones(2)}}, "a dict with epoch, state_dict in"),
        ({"a": torch.ones(2), "b": None}, "a dict with a, b in"),
        ({str(n): n for n in range(9)}, "a dict with 0, 1, 2 and 6 more in"),
    ],
    ids=["list", "tensor", "empty", "checkpoint", "mixed", "numbers"],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any, found: str) -> None:
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(InvalidArgument, match=f"^model: found {found} ") as caught:
        read_state_dict(str(tmp_path / "net.pt"))
    assert caught.value.field == "model"


@pytest.mark.parametrize("content", [b"", b"not a network", b"PK\x03\x04", pickle.dumps({"a": 1})[:-4]])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(InvalidArgument, match=r"^model: found .*net\.pt', which it refuses"):
        read_state_dict(str(tmp_path / "net.pt"))


def test_a_state_dict_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save({"a.weight": torch.ones(20, 30)}, file)
    whole = file.read_bytes()
    for length in range(0, len(whole), 97):
        file.write_bytes(whole[:length])
        with pytest.raises(InvalidArgument):
            read_state_dict(str(file))


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(InvalidArgument, match=r"^model: found no readable file at ") as caught:
            read_state_dict(str(path))
        assert caught.value.field == "model"


SHAPES = {name: torch.Size((2, 3)) for name in ("0.weight", "1.weight", "1.num_batches_tracked")}


def saved(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.ones(2, 3) for name in names}


def test_select_takes_its_part_and_leaves_the_other_parts_alone() -> None:
    counter = {"net.1.num_batches_tracked": torch.tensor(5)}
    state = saved("net.0.weight", "net.1.weight", "head.0.weight")
    assert list(select(state, "net.", SHAPES)) == ["0.weight", "1.weight"]
    assert list(select(state | counter, "net.", SHAPES)) == ["0.weight", "1.weight"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (saved("net.0.weight"), "found net.1.weight missing, expected the 2 tensors of its layout"),
        (saved("a"), "found net.0.weight, net.1.weight missing, expected the 2 tensors of its layout"),
        (
            saved("net.0.weight", "net.1.weight", "net.2.weight"),
            "found net.2.weight unexpected, expected the 2 tensors of its layout",
        ),
        (saved("net.0.weight", "net.1.w"), "found net.1.w unexpected, expected net.1.weight"),
        (
            saved("net.0.weight", "net.1.weight") | {"net.1.weight": torch.ones(3, 2)},
            "found net.1.weight of torch.float32 (3, 2), expected floating point (2, 3)",
        ),
        (
            saved("net.0.weight", "net.1.weight") | {"net.1.weight": torch.ones(2, 3, dtype=torch.int64)},
            "found net.1.weight of torch.int64 (2, 3), expected floating point (2, 3)",
        ),
    ],
    ids=["missing", "all missing", "unexpected", "renamed", "shape", "dtype"],
)
def test_select_says_what_is_wrong_with_the_tensors(state: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        select(state, "net.", SHAPES)
    assert str(caught.value) == f"model: {message}"
    assert caught.value.field == "model"
