"""The 1x1 convolution after a correlation, against torch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
from torch.nn import functional

from siamcorr.errors import InvalidArgument
from siamcorr.ops import Head, xcorr, xcorr_reference

Operator: TypeAlias = Callable[..., torch.Tensor]

pytestmark = pytest.mark.usefixtures("one_thread")

OPERATORS = pytest.mark.parametrize("operator", [xcorr, xcorr_reference])


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@OPERATORS
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("outputs", "depth", "groups"),
    [(4, 12, 1), (1, 12, 1), (6, 4, 3), (3, 4, 3), (12, 1, 12), (24, 1, 12)],
)
def test_a_head_is_a_grouped_1x1_convolution(
    outputs: int, depth: int, groups: int, batch: int, with_bias: bool, operator: Operator
) -> None:
    template, search = random(batch, 12, 3, 3), random(batch, 12, 7, 9)
    weight, bias = random(outputs, depth), random(outputs) if with_bias else None
    response = operator(template, search, "depthwise", head=Head(weight, bias))
    before = operator(template, search, "depthwise").double()
    doubles = weight.double()[:, :, None, None], None if bias is None else bias.double()
    expected = functional.conv2d(before, *doubles, groups=groups)
    assert (response - expected).abs().max() < 1e-5 * expected.abs().max()


@OPERATORS
def test_a_head_may_be_a_bare_weight_a_layers_weight_or_of_another_dtype(operator: Operator) -> None:
    layer = torch.nn.Conv2d(12, 4, 1, bias=False)
    template, search = random(2, 12, 3, 3), random(2, 12, 7, 7)
    expected = operator(template, search, "depthwise", head=layer.weight)
    for weight in (layer.weight[:, :, 0, 0], layer.weight.double(), layer.weight.mT.contiguous().mT):
        assert torch.equal(operator(template, search, "depthwise", head=weight), expected)
    assert operator(template, search, "depthwise", head=layer.weight.half()).dtype == expected.dtype
    assert not expected.requires_grad


@pytest.mark.parametrize(
    ("kind", "outputs", "groups"),
    [("naive", 1, None), ("upchannel", 1, None), ("groupwise", 3, 3), ("pixelwise", 4, None)],
)
def test_a_head_follows_any_kind(kind: str, outputs: int, groups: int | None) -> None:
    template, search, head = random(2, 6, 2, 2), random(2, 6, 5, 5), Head(random(5, outputs), random(5))
    response = xcorr(template, search, kind, groups=groups, head=head)
    expected = xcorr_reference(template, search, kind, groups=groups, head=head)
    assert (response - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        ([[1.0]], None, "found list, expected a floating-point tensor as weight"),
        (torch.ones(2, 2, dtype=torch.int64), None, "found dtype torch.int64"),
        (torch.ones(4), None, r"found weight \(4,\), expected \(K, O/groups\) or \(K, O/groups, 1, 1\)"),
        (torch.ones(4, 2, 3, 3), None, r"found weight \(4, 2, 3, 3\)"),
        (torch.ones(0, 2), None, "not empty"),
        (torch.ones(4, 2), [1.0] * 4, "found list, expected a floating-point tensor as bias, or None"),
        (torch.ones(4, 2), torch.ones(4, dtype=torch.int32), "found dtype torch.int32"),
        (torch.ones(4, 2), torch.ones(3), r"found bias \(3,\), expected \(4,\)"),
        (torch.ones(4, 2), torch.ones(4, 1), r"found bias \(4, 1\), expected \(4,\)"),
    ],
)
def test_a_wrong_head_is_refused_when_it_is_made(weight: Any, bias: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        Head(weight, bias)
    assert caught.value.field == "head"


@pytest.mark.parametrize(
    ("shape", "channels", "message"),
    [
        (
            (4, 5),
            12,
            "found weights for 5 channels a group, expected a divisor of the response's 12 channels",
        ),
        ((4, 24), 12, "found weights for 24 channels a group"),
        ((5, 4), 12, "found 5 outputs, expected a multiple of 3 groups"),
    ],
)
def test_a_head_that_does_not_fit_the_response_is_refused(
    shape: tuple[int, int], channels: int, message: str
) -> None:
    template = random(1, channels, 3, 3)
    for operator in (
        Head(random(*shape)).groups,
        lambda _: xcorr(template, template, "depthwise", head=random(*shape)),
    ):
        with pytest.raises(InvalidArgument, match=message) as caught:
            operator(channels)
        assert caught.value.field == "head"
