"""What a caller may write: brought into one form, or refused by the name of the argument."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from refusals import refused
from siamcorr.answers import Template
from siamcorr.arguments import MAX_PAIRS
from siamcorr.calls import DEFAULT_TENSOR, Frame
from siamcorr.checks import (
    correlate_call,
    create_call,
    handle_of,
    update_rate,
    update_source,
)

X = np.ones((4, 6, 6), np.float32)
PIXELS = np.zeros((4, 5, 3), np.uint8)
TEMPLATE = Template("tpl_a", 3, (), None, 0, 0.0)
BOX = (0, 0, 2, 2)


def correlate(template: Any = "tpl_a", **options: Any) -> Any:
    return correlate_call(template, **({"features": X} | options))


@pytest.mark.parametrize(
    ("template", "handles"),
    [
        ("tpl_a", ("tpl_a",)),
        (TEMPLATE, ("tpl_a",)),
        (["tpl_b", TEMPLATE], ("tpl_b", "tpl_a")),
        ((TEMPLATE,), ("tpl_a",)),
    ],
)
def test_templates_are_given_as_handles_or_as_what_create_returned(template: Any, handles: Any) -> None:
    assert correlate(template).templates == handles
    if not isinstance(template, list | tuple):
        assert handle_of(template) == handles[0]


@pytest.mark.parametrize(
    "template",
    [
        None,
        7,
        "",
        "a" * 65,
        "a\n",
        "\ud800",
        b"tpl",
        [],
        [7],
        ["a", None],
        ["a"] * (MAX_PAIRS + 1),
        {"a"},
        np.array(["a"]),
    ],
)
def test_what_is_no_template_is_refused(template: Any) -> None:
    assert refused(correlate, template).field == "template"


@pytest.mark.parametrize("handle", [None, 7, "", ["tpl_a"], "a\0"])
def test_what_is_no_handle_is_refused(handle: Any) -> None:
    assert refused(handle_of, handle).field == "template"


def test_one_search_region_gets_its_axis() -> None:
    assert correlate().search.regions.shape == (1, 4, 6, 6)
    assert correlate(["a", "b"], features=np.stack([X, X])).search.regions.shape == (2, 4, 6, 6)


@pytest.mark.parametrize("dtype", ["float32", ">f4", "float16", ml_dtypes.bfloat16])
def test_features_are_of_three_dtypes(dtype: Any) -> None:
    assert correlate(features=X.astype(dtype)).search.regions.dtype == np.dtype(dtype)
    assert create_call(X.astype(dtype))[DEFAULT_TENSOR].dtype == np.dtype(dtype)  # type: ignore[index]


@pytest.mark.parametrize(
    "features",
    [
        X.astype(np.float64),
        X.astype(np.int32),
        X.astype(bool),
        X.tolist(),
        X[0],
        X[None, None],
        X[:, :0],
        "X",
        np.ones((MAX_PAIRS + 1, 1, 1, 1), np.float32),
    ],
)
def test_what_is_no_features_is_refused(features: Any) -> None:
    assert refused(correlate, features=features).field == "features"


@pytest.mark.parametrize("image", [b"jpeg", bytearray(b"jpeg"), memoryview(b"jpeg"), PIXELS, PIXELS[:, ::-1]])
def test_images_are_bytes_of_a_file_or_pixels(image: Any) -> None:
    search = correlate(features=None, image=image, box=BOX, model="hog").search
    assert isinstance(search, Frame)
    assert search.boxes.tolist() == [[0, 0, 2, 2]]
    assert search.model == "hog"
    assert bytes(search.image) == (image.tobytes() if isinstance(image, np.ndarray) else b"jpeg")


@pytest.mark.parametrize(
    "image",
    [
        b"",
        PIXELS[..., :2],
        PIXELS[0],
        PIXELS[:0],
        PIXELS.astype(np.int8),
        PIXELS.astype(np.float32),
        "a.jpg",
        7,
    ],
)
def test_what_is_no_image_is_refused(image: Any) -> None:
    assert refused(create_call, image=image, boxes=BOX).field == "image"


@pytest.mark.parametrize("box", [None, (1, 2, 3), "abcd", (0, 0, 0, 1), [], [[0, 0, 1, 1]] * (MAX_PAIRS + 1)])
def test_what_is_no_box_is_refused(box: Any) -> None:
    assert refused(create_call, image=PIXELS, boxes=box).field == "box"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "features"),
        ({"features": X, "image": PIXELS}, "features"),
        ({"features": X, "image": PIXELS, "box": BOX}, "features"),
        ({"features": X, "box": BOX}, "box"),
        ({"features": X, "model": "hog"}, "model"),
        ({"image": PIXELS, "box": BOX, "model": ""}, "model"),
        ({"image": PIXELS, "box": BOX, "model": 7}, "model"),
    ],
)
def test_features_and_images_exclude_each_other(options: Any, field: str) -> None:
    assert refused(correlate_call, "tpl_a", **options).field == field
    assert refused(update_source, **options).field == field


@pytest.mark.parametrize(
    ("templates", "regions", "pairs"),
    [
        (1, 1, ((0,), (0,))),
        (3, 1, ((0, 1, 2), (0, 0, 0))),
        (1, 3, ((0, 0, 0), (0, 1, 2))),
        (2, 2, ((0, 1), (0, 1))),
    ],
)
def test_without_pairs_one_is_shared_or_they_meet_in_turn(templates: int, regions: int, pairs: Any) -> None:
    call = correlate(["tpl"] * templates, features=np.stack([X] * regions))
    assert (call.template_index, call.search_index) == pairs


def test_numbers_that_do_not_pair_are_refused() -> None:
    error = refused(correlate, ["a", "b"], features=np.stack([X, X, X]))
    assert str(error).startswith("template: found 2 templates for 3 search regions")


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda side: np.array(side, np.uint32)])
def test_pairs_are_lists_or_arrays(kind: Any) -> None:
    call = correlate(["a", "b"], features=np.stack([X, X]), pairs=(kind([1, 1, 0]), kind([0, 1, 1])))
    assert (call.template_index, call.search_index) == ((1, 1, 0), (0, 1, 1))
    assert all(type(index) is int for index in call.template_index + call.search_index)


@pytest.mark.parametrize(
    "pairs",
    [
        7,
        "01",
        ([0],),
        ([0], [0], [0]),
        ([], []),
        ([0], [0, 0]),
        ([[0]], [[0]]),
        ([[0], [0, 1]], [0]),
        ([0.0], [0]),
        ([True], [0]),
        ([True, 1], [0, 0]),
        (["0"], [0]),
        ([None], [0]),
        ([2], [0]),
        ([0], [-1]),
        ([2**70], [0]),
        ([0] * (MAX_PAIRS + 1), [0] * (MAX_PAIRS + 1)),
        (0, 0),
    ],
)
def test_what_is_no_pairs_is_refused(pairs: Any) -> None:
    assert refused(correlate, ["a", "b"], pairs=pairs).field == "pairs"


def test_one_template_gives_one_response_and_no_more() -> None:
    assert refused(correlate, "a", features=np.stack([X, X])).field == "template"
    assert refused(correlate, "a", pairs=([0], [0])).field == "template"
    assert len(correlate(["a"], features=np.stack([X, X])).template_index) == 2


def test_named_tensors_keep_their_names_and_order() -> None:
    source = create_call({"cls": X, "loc": X[:2]})
    assert [(name, array.shape[0]) for name, array in source.items()] == [("cls", 4), ("loc", 2)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "features",
    [
        {},
        {"": X},
        {7: X},
        {"a\n": X},
        {"n" * 65: X},
        {"a": None},
        {"a": X[0]},
        {str(n): X for n in range(65)},
    ],
)
def test_what_is_no_named_tensors_is_refused(features: Any) -> None:
    assert refused(create_call, features).field.startswith("features")


def test_an_update_is_of_one_template() -> None:
    assert update_source(image=PIXELS, box=[BOX]).count == 1  # type: ignore[union-attr]
    assert refused(update_source, image=PIXELS, box=[BOX, BOX]).field == "box"


@pytest.mark.parametrize("rate", [1, 0.01, np.float32(0.5), 5e-324])
def test_a_rate_is_a_share(rate: Any) -> None:
    assert update_rate(rate) == float(rate)


@pytest.mark.parametrize("rate", [0, -0.5, 1.0000001, float("nan"), None, True, "1"])
def test_what_is_no_rate_is_refused(rate: Any) -> None:
    assert refused(update_rate, rate).field == "rate"
