"""Loading models: the right one by name, and files that are refused with what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from siamcorr.embed import Workers, load_model
from siamcorr.errors import InvalidArgument

CPU = torch.device("cpu")
WORKERS = Workers(1)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["", "HOG", "nanotrackv2", "+ridge", None, 7])
def test_an_unknown_name_is_refused_with_the_names_there_are(name: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"expected one of hog, .*nanotrackv3") as caught:
        load_model(name, None, CPU, WORKERS)
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
        load_model(name, path, CPU, WORKERS)
    assert str(caught.value) == message
    assert caught.value.field == "model"


@pytest.mark.parametrize("name", ["hog", "hog+none", "dcfnet", "nanotrackv3", "nanotrackv3+ridge"])
def test_what_a_model_says_of_its_shapes_is_so(shared: Path, name: str) -> None:
    files = {
        "dcfnet": str(shared / "weights/dcfnet/param.pth"),
        "nanotrackv3": str(shared / "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt"),
    }
    base = name.partition("+")[0]
    model = load_model(name, files.get(base), CPU, WORKERS)
    assert model.name == base
    for size_px, embed, shapes in (
        (model.template_px, model.templates, model.template_shapes),
        (model.crop.search_px, model.search, model.search_shapes),
    ):
        found = embed(torch.zeros(2, size_px, size_px, 3, dtype=torch.uint8))
        assert {name: tensor.shape for name, tensor in found.items()} == {
            name: (2, *shape) for name, shape in shapes.items()
        }
        assert all(tensor.dtype == torch.float32 for tensor in found.values())
    apart = model.crop.search_px - model.crop.template_px
    for axis in (1, 2):
        cells = model.search_shapes["features"][axis] - model.template_shapes["features"][axis]
        assert cells * model.stride == apart, "as map_to_frame relies on"
