"""Gain and bias, and every wrong argument refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch

from siamcorr.errors import InvalidArgument
from siamcorr.ops import Head, xcorr, xcorr_reference

Operator: TypeAlias = Callable[..., torch.Tensor]

pytestmark = pytest.mark.usefixtures("one_thread")

OPERATORS = pytest.mark.parametrize("operator", [xcorr, xcorr_reference])

TEMPLATE = torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(1))
SEARCH = torch.randn(2, 6, 8, 9, generator=torch.Generator().manual_seed(2))


@OPERATORS
@pytest.mark.parametrize("gain", [1e-3, 0, -2, Fraction(1, 4), np.float32(0.5)])
def test_the_gain_scales_the_response(gain: float, operator: Operator) -> None:
    response = operator(TEMPLATE, SEARCH, "depthwise", gain=gain)
    torch.testing.assert_close(response, operator(TEMPLATE, SEARCH, "depthwise") * float(gain))


@OPERATORS
@pytest.mark.parametrize(
    "bias",
    [
        -0.5,
        [0.5],
        range(6),
        (0.0, 1, 2, 3, 4, 5),
        np.arange(6.0),
        torch.arange(6),
        torch.tensor(3.0),
        torch.nn.Parameter(torch.arange(6.0)),
    ],
    ids=["float", "list of one", "range", "tuple", "array", "integers", "no axes", "parameter"],
)
def test_the_bias_is_one_number_or_one_an_output(bias: Any, operator: Operator) -> None:
    response = operator(TEMPLATE, SEARCH, "depthwise", bias=bias)
    added = torch.as_tensor(bias, dtype=response.dtype).detach().reshape(-1, 1, 1)
    assert torch.equal(response, operator(TEMPLATE, SEARCH, "depthwise") + added)


@OPERATORS
def test_gain_comes_before_bias_and_the_head_last(operator: Operator) -> None:
    weight = torch.randn(4, 6)
    response = operator(TEMPLATE, SEARCH, "depthwise", gain=3, bias=0.5, head=Head(weight, torch.ones(4)))
    before = operator(TEMPLATE, SEARCH, "depthwise") * 3 + 0.5
    expected = torch.einsum("ko,boyx->bkyx", weight.to(before.dtype), before) + 1
    torch.testing.assert_close(response, expected, rtol=1e-4, atol=1e-5)


@OPERATORS
@pytest.mark.parametrize(
    ("field", "wrong", "message"),
    [
        ("template", {"template": [[1.0]]}, "found list, expected a tensor"),
        ("template", {"template": TEMPLATE.int()}, "found dtype torch.int32, expected float32"),
        ("template", {"template": TEMPLATE[0]}, r"found shape \(6, 3, 3\), expected \(T, C, h, w\)"),
        ("template", {"kind": "grouped", "groups": 1}, r"expected \(T, O, C/g, h, w\)"),
        ("template", {"template": torch.tensor(1.0)}, r"found shape \(\), expected \(T, C, h, w\)"),
        ("template", {"template": TEMPLATE[:0]}, "expected a batch of at least one"),
        ("template", {"template": TEMPLATE[..., :0]}, "expected sizes from 1"),
        ("template", {"template": TEMPLATE[:, :4]}, "found 4 channels, expected 6"),
        ("template", {"template": SEARCH, "search": TEMPLATE}, "found 8 rows, expected at most 3"),
        ("template", {"template": TEMPLATE.repeat(2, 1, 1, 1)}, "4 templates for 2 search regions"),
        ("template", {"template": TEMPLATE.to("meta")}, "found meta, expected cpu, where search is"),
        ("search", {"search": None}, "found NoneType, expected a tensor"),
        ("search", {"search": SEARCH.to(torch.complex64)}, "found dtype torch.complex64"),
        ("search", {"search": SEARCH[None]}, r"expected \(S, C, H, W\)"),
        ("search", {"search": SEARCH[:0]}, "expected a batch of at least one"),
        ("search", {"search": SEARCH[:, :0]}, "expected sizes from 1"),
        ("kind", {"kind": "depth_wise"}, "found 'depth_wise', expected one of naive, depthwise"),
        ("groups", {"groups": 2}, "only groupwise and grouped take groups"),
        ("groups", {"kind": "groupwise", "groups": 4}, "found 4, expected a divisor of the 6 channels"),
        ("k", {"kind": "upchannel", "k": 2}, "found 2, expected 1"),
        ("padding", {"padding": -1}, "found -1"),
        ("stride", {"stride": (1, 0)}, r"found \(1, 0\)"),
        ("dilation", {"kind": "pixelwise", "dilation": 2}, r"expected \(1, 1\) for pixelwise"),
        ("gain", {"gain": float("nan")}, "found nan, expected a finite number"),
        ("gain", {"gain": -(10**400)}, "found -1000"),
        ("gain", {"gain": True}, "found True"),
        ("gain", {"gain": "1"}, "found '1'"),
        ("bias", {"bias": [1.0, 2.0]}, r"found shape \(2,\), expected a number, or \(1,\) numbers"),
        ("bias", {"bias": [[1.0]]}, r"found shape \(1, 1\)"),
        ("bias", {"bias": "much"}, "found 'much'"),
        ("bias", {"bias": 10**400}, "found 1000"),
        ("bias", {"bias": [[1.0], [1.0, 2.0]]}, "found"),
        ("head", {"head": [[1.0]]}, "found list"),
        ("head", {"head": torch.ones(1, 2)}, "expected a divisor of the response's 1 channels"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value)[:50],
)
def test_a_wrong_argument_is_refused_by_name(
    field: str, wrong: dict[str, Any], message: str, operator: Operator
) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        operator(**{"template": TEMPLATE, "search": SEARCH, **wrong})
    assert caught.value.field == field
    assert len(str(caught.value)) < 250


@OPERATORS
@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([0, 1], r"found int64 \(\), expected flat lists of integers"),
        (([0],), r"found \(\[0\],\), expected \(template indices, search indices\)"),
        (([0, 1], [0]), "found 2 and 1 indices"),
        (([], []), "found 0 and 0 indices"),
        (([2], [0]), "found index 2, expected 0 to 1"),
        (([0], [-1]), "found index -1"),
        (([0.0], [0]), "found float64"),
        (([True], [0]), "found bool"),
        (("a", [0]), "found <U1"),
        ((0, [0]), r"found int64 \(\)"),
        ((torch.tensor([0.0]), [0]), r"found float64 \(1,\)"),
        ((torch.tensor([[0]]), [0]), r"found int64 \(1, 1\)"),
        ((torch.tensor([5]), [0]), "found index 5"),
    ],
)
def test_wrong_pairs_are_refused(pairs: Any, message: str, operator: Operator) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        operator(TEMPLATE, SEARCH, pairs=pairs)
    assert caught.value.field == "pairs"


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(TypeError, match="pading"):
        xcorr(TEMPLATE, SEARCH, pading=1)  # type: ignore[call-arg]
