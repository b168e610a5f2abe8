"""Legality and output shapes of every kind: each mistake is refused by its own name."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamcorr import shapes
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import KINDS, MAX_COUNT, MAX_STEP, Correlation, Resolved, resolve


def test_doctests_run() -> None:
    result = doctest.testmod(shapes)
    assert result.attempted >= 4
    assert result.failed == 0


@pytest.mark.parametrize(
    ("correlation", "template", "search", "expected"),
    [
        (Correlation("naive"), (256, 6, 6), (256, 22, 22), ((1, 256, 6, 6), 1, (1, 17, 17))),
        (Correlation("depthwise"), (48, 5, 3), (48, 29, 31), ((48, 1, 5, 3), 48, (48, 25, 29))),
        (Correlation("upchannel"), (160, 4, 4), (16, 20, 20), ((10, 16, 4, 4), 1, (10, 17, 17))),
        (Correlation("upchannel", k=1), (16, 4, 4), (16, 4, 4), ((1, 16, 4, 4), 1, (1, 1, 1))),
        (Correlation("groupwise", groups=4), (12, 2, 2), (12, 5, 5), ((4, 3, 2, 2), 4, (4, 4, 4))),
        (Correlation("pixelwise"), (96, 8, 7), (96, 16, 15), ((56, 96, 1, 1), 1, (56, 16, 15))),
        (Correlation("pixelwise"), (3, 9, 9), (3, 2, 2), ((81, 3, 1, 1), 1, (81, 2, 2))),
        (Correlation("grouped", groups=2), (10, 2, 3, 3), (4, 5, 5), ((10, 2, 3, 3), 2, (10, 3, 3))),
        (Correlation("depthwise", padding=1), (96, 4, 4), (96, 16, 16), ((96, 1, 4, 4), 96, (96, 15, 15))),
        (
            Correlation("naive", padding=(0, 2), stride=(2, 3), dilation=[2, 1]),  # type: ignore[arg-type]
            (8, 3, 4),
            (8, 9, 10),
            ((1, 8, 3, 4), 1, (1, 3, 4)),
        ),
    ],
)
def test_kinds_resolve(
    correlation: Correlation, template: tuple[int, ...], search: tuple[int, ...], expected: tuple[Any, ...]
) -> None:
    assert resolve(correlation, template, search) == Resolved(*expected)


@pytest.mark.parametrize(
    ("settings_", "field", "words"),
    [
        ({"kind": "Naive"}, "kind", KINDS),
        ({"kind": "depth-wise"}, "kind", KINDS),
        ({"kind": "groupwise"}, "groups", ("none", "groupwise")),
        ({"kind": "grouped"}, "groups", ("none", "grouped")),
        ({"kind": "naive", "groups": 1}, "groups", ("1", "groupwise and grouped")),
        ({"kind": "groupwise", "groups": 0}, "groups", ("0",)),
        ({"kind": "groupwise", "groups": True}, "groups", ("True",)),
        ({"kind": "groupwise", "groups": MAX_COUNT + 1}, "groups", (str(MAX_COUNT),)),
        ({"kind": "groupwise", "groups": 2.0}, "groups", ("2.0",)),
        ({"kind": "depthwise", "k": 2}, "k", ("upchannel",)),
        ({"kind": "upchannel", "k": -1}, "k", ("-1",)),
        ({"padding": -1}, "padding", ("-1", "from 0")),
        ({"padding": True}, "padding", ("True",)),
        ({"padding": (1, 2, 3)}, "padding", ("(1, 2, 3)",)),
        ({"padding": "same"}, "padding", ("'same'",)),
        ({"padding": MAX_STEP + 1}, "padding", (str(MAX_STEP),)),
        ({"stride": 0}, "stride", ("0", "from 1")),
        ({"stride": (1, 0)}, "stride", ("(1, 0)",)),
        ({"dilation": 1.5}, "dilation", ("1.5",)),
        ({"dilation": (1, False)}, "dilation", ("False",)),
        ({"kind": "pixelwise", "padding": 1}, "padding", ("pixelwise",)),
        ({"kind": "pixelwise", "stride": (1, 2)}, "stride", ("pixelwise",)),
        ({"kind": "pixelwise", "dilation": 2}, "dilation", ("pixelwise",)),
    ],
)
def test_wrong_settings_are_refused(settings_: dict[str, Any], field: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Correlation(**settings_)
    assert caught.value.field == field
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("correlation", "template", "search", "field", "words"),
    [
        (Correlation("naive"), (8, 3), (8, 9, 9), "template", ("2 axes",)),
        (Correlation("grouped", groups=1), (8, 3, 3), (8, 9, 9), "template", ("3 axes", "4")),
        (Correlation("naive"), (8, 3, 3), (1, 8, 9, 9), "search", ("4 axes", "3")),
        (Correlation("naive"), (8, 0, 3), (8, 9, 9), "template", ("(8, 0, 3)",)),
        (Correlation("naive"), (8, 3, 3), (0, 9, 9), "search", ("(0, 9, 9)",)),
        (Correlation("naive"), (8, 3, 3), (8, 9, MAX_COUNT + 1), "search", (str(MAX_COUNT),)),
        (Correlation("naive"), (8, 3, 3), (7, 9, 9), "template", ("8 channels", "7")),
        (Correlation("depthwise"), (8, 3, 3), (16, 9, 9), "template", ("8 channels", "16")),
        (Correlation("pixelwise"), (8, 3, 3), (4, 9, 9), "template", ("8 channels", "4")),
        (Correlation("groupwise", groups=2), (8, 3, 3), (4, 9, 9), "template", ("8 channels", "4")),
        (Correlation("groupwise", groups=3), (8, 3, 3), (8, 9, 9), "groups", ("3", "8 channels")),
        (Correlation("upchannel"), (9, 3, 3), (8, 9, 9), "template", ("9 channels", "multiple of the 8")),
        (Correlation("upchannel"), (4, 3, 3), (8, 9, 9), "template", ("4 channels", "8")),
        (Correlation("upchannel", k=3), (16, 3, 3), (8, 9, 9), "k", ("3", "2")),
        (Correlation("grouped", groups=3), (9, 2, 3, 3), (8, 9, 9), "groups", ("3", "8 channels")),
        (Correlation("grouped", groups=4), (9, 2, 3, 3), (8, 9, 9), "groups", ("4", "9 outputs")),
        (Correlation("grouped", groups=2), (4, 3, 3, 3), (8, 9, 9), "template", ("3 channels a group", "4")),
        (Correlation("naive"), (8, 10, 3), (8, 9, 9), "template", ("10 rows", "at most 9")),
        (Correlation("naive"), (8, 3, 12), (8, 9, 9), "template", ("12 columns", "at most 9")),
        (Correlation("naive", dilation=5), (8, 3, 3), (8, 9, 11), "template", ("11 rows (3 dilated)", "9")),
        (Correlation("naive", padding=1), (8, 12, 3), (8, 9, 9), "template", ("at most 11", "padded")),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    correlation: Correlation,
    template: tuple[int, ...],
    search: tuple[int, ...],
    field: str,
    words: tuple[str, ...],
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(correlation, template, search)
    assert caught.value.field == field
    assert all(word in str(caught.value) for word in words)


def test_errors_call_the_search_region_what_the_caller_calls_it() -> None:
    with pytest.raises(InvalidArgument, match="as in features") as caught:
        resolve(Correlation(), (8, 3, 3), (7, 9, 9), search_field="features")
    assert caught.value.field == "template"
    with pytest.raises(InvalidArgument) as caught:
        resolve(Correlation(), (8, 3, 3), (8, 9), search_field="features")
    assert caught.value.field == "features"


def test_equal_settings_are_one_key() -> None:
    assert Correlation("naive", padding=1) == Correlation("naive", padding=(1, 1))
    assert len({Correlation("naive", padding=1), Correlation("naive", padding=(1, 1)), Correlation()}) == 2


@settings(deadline=None, max_examples=100)
@given(
    size=st.integers(1, 40),
    extent=st.integers(1, 12),
    padding=st.integers(0, 6),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 5),
)
def test_the_response_has_a_row_for_every_place_of_the_template(
    size: int, extent: int, padding: int, stride: int, dilation: int
) -> None:
    starts = range(-padding, size + padding, stride)
    places = [start for start in starts if start + dilation * (extent - 1) < size + padding]
    correlation = Correlation(padding=(padding, 0), stride=(stride, 1), dilation=(dilation, 1))
    if places:
        assert resolve(correlation, (2, extent, 1), (2, size, 7)).response == (1, len(places), 7)
    else:
        with pytest.raises(InvalidArgument, match="rows"):
            resolve(correlation, (2, extent, 1), (2, size, 7))
