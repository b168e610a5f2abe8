"""Prepared templates: what is made once, what it is called, and what they may be used for."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from siamcorr.errors import InvalidArgument
from siamcorr.ops import Correlator, Head, Prepared, correlator_of, prepare, xcorr
from siamcorr.ops.operands import Form
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)


Z, X = random(3, 12, 3, 4), random(2, 12, 9, 11)
HEAD = Head(random(1, 12), random(1))
OPTIONS: list[dict[str, Any]] = [
    {"kind": "naive"},
    {"kind": "depthwise", "padding": 1},
    {"kind": "depthwise", "head": HEAD},
    {"kind": "depthwise", "head": random(4, 12)},
    {"kind": "upchannel", "k": 1, "stride": 2},
    {"kind": "groupwise", "groups": 3, "dilation": (1, 2)},
    {"kind": "pixelwise"},
    {"kind": "naive", "precision": "bfloat16"},
    {"kind": "pixelwise", "precision": "bfloat16", "head": random(2, 12)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_call_with_prepared_templates_gives_the_same_bits(options: dict[str, Any]) -> None:
    pairs: Any = [2, 0, 1, 1], [1, 1, 0, 1]
    rest: dict[str, Any] = {"pairs": pairs, "gain": 0.5, "bias": 2.0}
    expected = xcorr(Z, X, **options, **rest)
    prepared = prepare(Z, X.shape[1:], **options)
    assert torch.equal(xcorr(prepared, X, **rest), expected)
    assert torch.equal(xcorr(Prepared.joined(prepared.split()), X, **rest), expected)
    assert len(prepared) == 3


@pytest.mark.parametrize("kind", ["naive", "pixelwise"])
@pytest.mark.parametrize(
    ("dtype", "precision"),
    [
        (torch.float64, "float32"),
        (torch.float16, "float32"),
        (torch.float16, "bfloat16"),
        (torch.bfloat16, "float32"),
        (torch.bfloat16, "bfloat16"),
    ],
)
def test_templates_of_any_dtype_can_be_prepared(kind: str, dtype: torch.dtype, precision: str) -> None:
    template, search = Z.to(dtype), X[:1].to(dtype)
    prepared = prepare(template, X.shape[1:], kind, precision=precision)
    pairs = [0, 1, 2], [0, 0, 0]
    expected = xcorr(template, search, kind, precision=precision, pairs=pairs)
    assert torch.equal(xcorr(prepared, search, pairs=pairs), expected)


def test_to_join_copies_nothing() -> None:
    parts = [prepare(random(1, 40, 3, 3, seed=seed), (4, 9, 9), "upchannel") for seed in range(3)]
    joined = Prepared.joined(parts)
    memory = [part.rows[0].untyped_storage().data_ptr() for part in parts]
    assert [row.untyped_storage().data_ptr() for row in joined.rows] == memory
    assert joined.size_bytes == 3 * parts[0].size_bytes == 3 * 40 * 9 * 4


FORMS: list[tuple[dict[str, Any], Form | None]] = [
    ({}, None),
    ({"template_dtype": torch.float16}, Form((12, 3, 4), torch.float32, ("as stored", "naive"))),
    (
        {"correlation": Correlation("pixelwise"), "precision": "bfloat16"},
        Form((12, 3, 4), torch.bfloat16, ("as stored", "pixelwise")),
    ),
    (
        {
            "correlation": Correlation("pixelwise"),
            "precision": "bfloat16",
            "template_dtype": torch.bfloat16,
        },
        None,
    ),
    ({"correlation": Correlation("depthwise"), "precision": "bfloat16"}, None),
    ({"correlation": Correlation("upchannel"), "template_shape": (12, 1, 1)}, None),
    (
        {"correlation": Correlation("upchannel", stride=2), "template_shape": (48, 3, 4)},
        Form((1, 48, 12), torch.float32, ("left factor", "upchannel")),
    ),
    (
        {"correlation": Correlation("depthwise"), "head": HEAD},
        Form((1, 12, 3, 4), torch.float32, ("as stored", "grouped")),
    ),
    (
        {
            "correlation": Correlation("depthwise", dilation=2),
            "template_shape": (12, 60, 60),
            "search_shape": (12, 255, 250),
        },
        Form((12, 1, 256, 126), torch.complex64, ("spectrum", 250, (2, 2), "depthwise")),
    ),
]


@pytest.mark.parametrize(("setup", "expected"), FORMS)
def test_the_form_says_what_has_to_be_made(setup: dict[str, Any], expected: Form | None) -> None:
    settings = {"correlation": Correlation(), "template_shape": Z.shape[1:], "search_shape": X.shape[1:]}
    form = Correlator(**{**settings, **setup}).form
    if expected is None:
        assert form is None
    else:
        assert form is not None
        assert (form.shape, form.dtype) == (expected.shape, expected.dtype)
        assert form.source[: len(expected.source)] == expected.source


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_made_has_the_shape_and_the_bytes_of_its_form(options: dict[str, Any]) -> None:
    prepared = prepare(Z, X.shape[1:], **options)
    if prepared.form is not None:
        assert {row.shape for row in prepared.rows} == {prepared.form.shape}
        assert {row.dtype for row in prepared.rows} == {prepared.form.dtype}
        assert prepared.size_bytes == 3 * prepared.form.size_bytes
    else:
        assert prepared.rows[0].data_ptr() == Z.data_ptr()


def test_equal_forms_mean_equal_numbers() -> None:
    of = functools.partial(prepare, random(1, 40, 3, 3), kind="upchannel")
    assert of((4, 9, 9)).form == of((4, 20, 7), stride=2).form
    assert hash(of((4, 9, 9)).form) == hash(of((4, 20, 7), stride=2).form)
    assert torch.equal(of((4, 9, 9)).rows[0], of((4, 20, 7), stride=2).rows[0])
    assert of((4, 9, 9)).form != of((8, 9, 9)).form
    assert of((4, 9, 9)).form != of((4, 9, 9), precision="bfloat16").form
    headed = functools.partial(prepare, Z, X.shape[1:], kind="depthwise")
    assert headed(head=HEAD).form == headed(head=HEAD.weight).form
    assert headed(head=HEAD).form != headed(head=HEAD.weight * 2).form


def test_correlators_that_are_set_up_alike_are_equal_and_made_once() -> None:
    shapes = Correlation(), (12, 3, 4), (12, 9, 11)
    assert Correlator(*shapes) == Correlator(*shapes) == correlator_of(*shapes)
    assert correlator_of(*shapes) is correlator_of(*shapes)
    assert len({Correlator(*shapes, head=HEAD.__class__(HEAD.weight[:, :1])) for _ in range(2)}) == 1
    assert Correlator(*shapes) != Correlator(*shapes, precision="bfloat16")
    pixelwise = Correlator(Correlation("pixelwise"), *shapes[1:], precision="bfloat16")
    assert repr(pixelwise) == "<pixelwise (12, 3, 4) on (12, 9, 11) by matmul bfloat16>"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_correlator_can_be_warmed_up(options: dict[str, Any]) -> None:
    prepare(Z, X.shape[1:], **options).correlator.warm_up()


def test_many_templates_may_be_prepared_for_one_search_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siamcorr.ops.direct.is_available", lambda: False)
    template, search = random(32, 13, 3, 4), random(2, 13, 9, 11)[:1]
    prepared = prepare(template, search.shape[1:], one_search=True)
    assert prepared.plan.name == "one search"
    assert torch.equal(xcorr(prepared, search), xcorr(template, search))
    with pytest.raises(InvalidArgument, match="search: found 2 search regions, expected one"):
        xcorr(prepared, search.repeat(2, 1, 1, 1), pairs=([0, 1], [0, 1]))


@pytest.mark.parametrize(
    ("field", "call", "message"),
    [
        ("template", lambda p: xcorr(p, X, "depthwise"), "only pairs, gain and bias"),
        ("template", lambda p: xcorr(p, X, head=HEAD), "only pairs, gain and bias"),
        ("template", lambda p: xcorr(p, X, precision="bfloat16"), "only pairs, gain and bias"),
        ("search", lambda p: xcorr(p, X[:, :, 1:]), r"expected \(S, 12, 9, 11\), as templates are prepared"),
        ("search", lambda p: xcorr(p, X.double()), "found dtype torch.float64"),
        ("search", lambda p: xcorr(p, X[0]), r"expected \(S, C, H, W\)"),
        ("pairs", lambda p: xcorr(p, X, pairs=([3], [0])), "found index 3"),
        ("gain", lambda p: xcorr(p, X[:1], gain=float("inf")), "a finite number"),
        ("bias", lambda p: xcorr(p, X[:1], bias=[1, 2]), "numbers"),
        ("template", lambda p: xcorr(p, X.to("meta")), "expected meta, where search is"),
        ("template", lambda _: Prepared.joined([]), "at least one"),
        ("template", lambda p: Prepared.joined([p, prepare(Z, (12, 8, 8))]), "as the first"),
        ("template", lambda _: prepare(Z[0], X.shape[1:]), r"expected \(T, C, h, w\)"),
        ("template", lambda _: prepare(Z, (11, 9, 9)), "expected 11, as in search"),
        ("precision", lambda _: prepare(Z, X.shape[1:], precision="half"), "expected float32 or bfloat16"),
        ("precision", lambda _: xcorr(Z, X[:1], precision="half"), "found .half., expected float32"),
        ("precision", lambda _: xcorr(Z.double(), X[:1], precision="bfloat16"), "in float64"),
        ("precision", lambda _: prepare(Z.double(), X.shape[1:], precision="bfloat16"), "in float64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_use_is_refused_by_name(field: str, call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        call(prepare(Z, X.shape[1:]))
    assert caught.value.field == field
