"""State dicts: taken out of checkpoints, and refused with all that is wrong with their tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from siamcorr.embed.weights import load, read_state_dict, select
from siamcorr.errors import InvalidArgument

SHAPES = {name: torch.Size((2, 3)) for name in ("0.weight", "1.weight", "1.num_batches_tracked")}


def saved(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.ones(2, 3) for name in names}


def read(tmp_path: Path, content: object) -> dict[str, torch.Tensor]:
    torch.save(content, tmp_path / "net.pt")
    return read_state_dict(str(tmp_path / "net.pt"))


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (saved("a", "b"), ["a", "b"]),
        ({"state_dict": saved("a")}, ["a"]),
        (
            {"epoch": 3, "state_dict": saved("a"), "optimizer": {"state": {0: torch.ones(9)}, "lr": [0.1]}},
            ["a"],
        ),
        ({"state_dict": saved("a"), "best": np.float64(0.5), "at": np.int64(7)}, ["a"]),
        (saved("module.a", "module.b.c"), ["a", "b.c"]),
        ({"epoch": 3, "state_dict": saved("module.a")}, ["a"]),
        (saved("module.a", "b"), ["module.a", "b"]),
    ],
    ids=["plain", "wrapped", "optimizer", "numpy", "parallel", "both", "partly"],
)
def test_the_tensors_are_taken_out_of_what_is_around_them(
    tmp_path: Path, content: object, names: list[str]
) -> None:
    found = read(tmp_path, content)
    assert list(found) == names
    assert all(torch.equal(tensor, torch.ones(2, 3)) for tensor in found.values())


def test_an_authors_own_checkpoint_has_the_weights_of_the_derived_one(shared: Path) -> None:
    weights = shared / "weights/nanotrackv3"
    found = read_state_dict(str(weights / "nanotrackv3.pth"))
    expected = read_state_dict(str(weights / "derived/nanotrackv3_state_dict.pt"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([torch.ones(2)], "a list in"),
        (torch.ones(2), "a Tensor in"),
        ({}, "a dict with nothing in"),
        ({"epoch": 3, "net": {"a": torch.ones(2)}}, "a dict with epoch, net in"),
        ({"epoch": 3, "state_dict": None}, "a dict with epoch, state_dict in"),
        ({"state_dict": {}}, "a dict with nothing in"),
        ({"a": torch.ones(2), "b": None}, "a dict with b in"),
        ({"a": torch.ones(2).to_sparse()}, "a dict with a in"),
        ({"a": torch.ones(2, device="meta")}, "a dict with a in"),
        ({"a": torch.ones(1).expand(1 << 30, 1 << 30)}, "a dict with a in"),
        ({str(n): n for n in range(11)}, "a dict with 0, 1, 2, 3, 4, 5, 6, 7 and 3 more in"),
    ],
    ids=[
        "list",
        "tensor",
        "empty",
        "unknown",
        "none",
        "hollow",
        "mixed",
        "sparse",
        "meta",
        "large",
        "numbers",
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any, found: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^model: found {found} .*, expected a state dict") as caught:
        read(tmp_path, content)
    assert caught.value.field == "model"


def test_select_takes_its_part_and_leaves_the_other_parts_alone() -> None:
    counter = {"net.1.num_batches_tracked": torch.tensor(5)}
    state = saved("net.0.weight", "net.1.weight", "head.0.weight")
    assert list(select(state, "net.", SHAPES)) == ["0.weight", "1.weight"]
    assert list(select(state | counter, "net.", SHAPES)) == ["0.weight", "1.weight"]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (saved("net.0.weight"), "net.1.weight missing"),
        (saved("a"), "net.0.weight, net.1.weight missing"),
        (saved("net.0.weight", "net.1.weight", "net.2.weight"), "net.2.weight unexpected"),
        (saved("net.0.weight", "net.1.w"), "net.1.weight missing; net.1.w unexpected"),
        (
            saved("net.0.weight") | {"net.1.weight": torch.ones(3, 2)},
            "net.1.weight of torch.float32 (3, 2) for floating point (2, 3)",
        ),
        (
            saved("net.0.weight") | {"net.1.weight": torch.ones(2, 3, dtype=torch.int64)},
            "net.1.weight of torch.int64 (2, 3) for floating point (2, 3)",
        ),
        (
            {"net.0.weight": torch.ones(2), "net.2.weight": torch.ones(2)},
            "net.1.weight missing; net.2.weight unexpected; "
            "net.0.weight of torch.float32 (2,) for floating point (2, 3)",
        ),
    ],
    ids=["missing", "all missing", "unexpected", "renamed", "shape", "dtype", "all three"],
)
def test_select_says_all_that_is_wrong_with_the_tensors(state: dict[str, torch.Tensor], found: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        select(state, "net.", SHAPES)
    assert str(caught.value) == f"model: found {found}, expected the 2 tensors of its layout"
    assert caught.value.field == "model"


def test_of_many_faults_the_first_are_named_and_the_others_counted() -> None:
    shapes = {f"{'long' * 100}.{n}": torch.Size((2, 3)) for n in range(1000)}
    with pytest.raises(
        InvalidArgument, match=r" and 992 more missing; .* and 992 more unexpected, "
    ) as caught:
        select(saved(*(f"other.{n}" for n in range(1000))), "", shapes)
    assert len(str(caught.value)) < 3000


def test_load_fills_a_module_that_has_no_memory_yet_and_shares_nothing_that_it_changes() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    weight = nn.Parameter(torch.ones(8, 3, 3, 3))
    state: dict[str, torch.Tensor] = {"net.0.weight": weight}
    state |= {f"net.0.{name}": torch.ones(8) for name in ("bias",)}
    state |= {f"net.1.{name}": torch.ones(8) for name in ("weight", "bias", "running_mean", "running_var")}
    load(module, state, "net.")
    module.double().requires_grad_(False)
    assert weight.dtype == torch.float32
    assert weight.requires_grad
    assert module[0](torch.ones(1, 3, 3, 3, dtype=torch.float64)).flatten().tolist() == [28.0] * 8
