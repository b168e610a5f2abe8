"""Costs against the textbook table and against counting by hand."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

from siamcorr.cost import Cost, cost
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation

DEPTHWISE = Correlation("depthwise")


@pytest.mark.parametrize(
    ("correlation", "template", "options", "parameters", "multiply_adds"),
    [
        (Correlation("grouped", groups=1), (10, 4, 3, 3), {}, 370, 3240),
        (Correlation("grouped", groups=2), (10, 2, 3, 3), {}, 190, 1620),
        (DEPTHWISE, (4, 3, 3), {}, 40, 324),
        (DEPTHWISE, (4, 3, 3), {"head_shape": (10, 4), "head_bias": True}, 90, 324 + 360),
        (DEPTHWISE, (4, 3, 3), {"head_shape": (10, 2), "head_bias": True}, 70, 324 + 180),
    ],
)
def test_the_textbook_table(
    correlation: Correlation,
    template: tuple[int, ...],
    options: dict[str, Any],
    parameters: int,
    multiply_adds: int,
) -> None:
    counted = cost(correlation, template, (4, 5, 5), bias=True, **options)
    assert (counted.parameters, counted.multiply_adds) == (parameters, multiply_adds)
    assert counted.response_shape[2:] == (3, 3)


@pytest.mark.parametrize(
    ("correlation", "template", "response", "products_a_cell"),
    [
        (Correlation("naive"), (6, 3, 2), (1, 7, 8), 36),
        (Correlation("naive", padding=(1, 2), stride=2), (6, 3, 2), (1, 5, 6), 36),
        (Correlation("depthwise", dilation=(2, 4)), (6, 3, 2), (6, 5, 5), 6),
        (Correlation("upchannel", k=4), (24, 3, 2), (4, 7, 8), 36),
        (Correlation("groupwise", groups=3), (6, 3, 2), (3, 7, 8), 12),
        (Correlation("pixelwise"), (6, 3, 2), (6, 9, 9), 6),
        (Correlation("grouped", groups=2), (8, 3, 3, 2), (8, 7, 8), 18),
    ],
)
def test_any_kind_is_counted(
    correlation: Correlation, template: tuple[int, ...], response: tuple[int, int, int], products_a_cell: int
) -> None:
    counted = cost(correlation, template, (6, 9, 9), batch=5, itemsize=2)
    assert counted == Cost(
        response_shape=(5, *response),
        parameters=prod(template),
        multiply_adds=5 * prod(response) * products_a_cell,
        bytes_moved=2 * 5 * (prod(template) + 6 * 9 * 9 + prod(response)),
    )


def test_a_batch_counts_its_pairs_but_shares_bias_and_head() -> None:
    template, search, response, headed = 4 * 9, 4 * 25, 4 * 9, 10 * 9
    shared = 4 + 10 * 4 + 10
    counted = cost(
        DEPTHWISE, (4, 3, 3), (4, 5, 5), batch=7, bias=True, head_shape=(10, 4), head_bias=True, itemsize=2
    )
    assert counted == Cost(
        response_shape=(7, 10, 3, 3),
        parameters=90,
        multiply_adds=7 * 684,
        bytes_moved=2 * (7 * (template + search + 2 * response + headed) + shared),
    )


def test_without_a_head_everything_moves_once() -> None:
    counted = cost(Correlation(), (256, 6, 6), (256, 22, 22), batch=3)
    assert counted.response_shape == (3, 1, 17, 17)
    assert counted.bytes_moved == 4 * 3 * (256 * 36 + 256 * 484 + 289)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": True}, "batch"),
        ({"itemsize": 0}, "itemsize"),
        ({"head_bias": True}, "head_bias"),
        ({"head_shape": 10}, "head_shape"),
        ({"head_shape": (10, 3)}, "head_shape"),
        ({"head_shape": (9, 2)}, "head_shape"),
        ({"head_shape": (10, 0)}, "head_shape"),
        ({"head_shape": (10, 4, 1)}, "head_shape"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        cost(DEPTHWISE, (4, 3, 3), (4, 5, 5), **options)
    assert caught.value.field == field
