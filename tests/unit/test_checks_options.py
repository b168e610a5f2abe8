"""The options of a correlate call: numbers, rows of numbers, and words; each refused by its name."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from refusals import refused
from siamcorr.arguments import numpy_dtype
from siamcorr.calls import Features, HeadWeights, Output
from siamcorr.checks import MAX_PEAKS, correlate_call


def correlate(**options: Any) -> Any:
    return correlate_call("tpl_a", features=np.ones((4, 6, 6), np.float32), **options)


@pytest.mark.parametrize("gain", [1, 2.5, np.float32(2.5), np.int64(-3)])
def test_a_gain_is_a_number(gain: Any) -> None:
    assert correlate(gain=gain).gain == float(gain)
    assert type(correlate(gain=gain).gain) is float


@pytest.mark.parametrize(
    "gain", [None, True, "1", float("nan"), float("inf"), 1j, np.complex64(1), np.array(1.0), 10**400]
)
def test_what_is_no_gain_is_refused(gain: Any) -> None:
    assert refused(correlate, gain=gain).field == "gain"


@pytest.mark.parametrize(
    ("bias", "numbers"),
    [(2, [2]), (0.5, [0.5]), ([1, 2], [1, 2]), (np.ones(2, np.float16), [1, 1]), (np.float64(3), [3])],
)
def test_a_bias_is_a_number_or_a_row_of_numbers(bias: Any, numbers: list[float]) -> None:
    found = correlate(bias=bias).bias
    assert found.dtype == np.float32
    assert found.tolist() == numbers


NOT_NUMBERS = [
    "1",
    ["1.5"],
    [True],
    [None],
    [1j],
    [10**400],
    [float("nan")],
    [1e39],
    np.array(["2020"], "M8[Y]"),
    object(),
]


@pytest.mark.parametrize("bias", [*NOT_NUMBERS, [], [[1.0]], [[1], [1, 2]]])
def test_what_is_no_bias_is_refused(bias: Any) -> None:
    assert refused(correlate, bias=bias).field == "bias"


@pytest.mark.parametrize("weight", [[[1, 2]], np.array([[1, 2]], np.float16), np.array([[[[1]], [[2]]]])])
@pytest.mark.parametrize("bias", [None, [3], np.array([3.0])])
def test_a_head_is_weights_or_weights_and_bias(weight: Any, bias: Any) -> None:
    heads = [HeadWeights(weight, bias)] + [(weight, bias)] * (bias is not None) + [weight] * (bias is None)
    for head in heads:
        found = correlate(head=np.array(head) if isinstance(head, list) else head).head
        assert found.weight.tolist() == [[1, 2]]
        assert found.weight.dtype == np.float32
        assert (found.bias is None) if bias is None else (found.bias.tolist() == [3])


@pytest.mark.parametrize(
    "head",
    [
        *NOT_NUMBERS,
        [1.0],
        [[]],
        [[1], [1, 2]],
        np.ones((1, 2, 2, 1)),
        ([[1.0]], [1.0, 2.0]),
        ([[1.0]], [[1.0]]),
        ([[1.0]], ["1"]),
        ([[1.0]], [1.0], [1.0]),
        HeadWeights(np.ones(3), None),  # type: ignore[arg-type]
        HeadWeights(np.ones((1, 1), np.float32), np.ones(2, np.float32)),
    ],
)
def test_what_is_no_head_is_refused(head: Any) -> None:
    assert refused(correlate, head=head).field == "head"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"output": "maps"}, "output"),
        ({"output": None}, "output"),
        ({"output": ["map"]}, "output"),
        ({"map_dtype": "float64"}, "map_dtype"),
        ({"map_dtype": np.float32}, "map_dtype"),
        ({"map_dtype": ["float32"]}, "map_dtype"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 1025}, "top_k"),
        ({"top_k": 1.0}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"precision": "float16"}, "precision"),
        ({"precision": None}, "precision"),
        ({"wire_dtype": "float64"}, "wire_dtype"),
        ({"wire_dtype": np.float16}, "wire_dtype"),
        ({"sum_channels": 1}, "sum_channels"),
        ({"tensor": None}, "tensor"),
        ({"tensor": "a\n"}, "tensor"),
        ({"tensor": np.array(["a", "b"])}, "tensor"),
        ({"kind": "Naive"}, "kind"),
        ({"kind": ["naive"]}, "kind"),
        ({"kind": "groupwise"}, "groups"),
        ({"groups": 2}, "groups"),
        ({"k": 2}, "k"),
        ({"padding": -1}, "padding"),
        ({"stride": 0}, "stride"),
        ({"dilation": (1, 0)}, "dilation"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: Any, field: str) -> None:
    assert refused(correlate, **options).field == field


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("given", [np.float32, np.float16])
def test_features_are_rounded_to_what_they_are_sent_as(given: Any, dtype: Any) -> None:
    features = np.linspace(-3, 3, 4 * 36).reshape(4, 6, 6).astype(given)
    sent = correlate_call("tpl_a", features=features, wire_dtype=dtype).search.regions  # type: ignore[union-attr]
    assert (sent.dtype.name, sent.shape) == (dtype, (1, 4, 6, 6))
    np.testing.assert_allclose(sent[0].astype(np.float64), features, rtol=2**-8)


def test_bfloat16_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy_dtype.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    error = refused(correlate, wire_dtype="bfloat16")
    assert error.field == "wire_dtype"
    assert "ml_dtypes" in error.message


def test_an_option_that_there_is_not_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="strides"):
        correlate(strides=2)


def test_the_defaults_are_one_map_and_nothing_else() -> None:
    call = correlate()
    assert (call.output, call.tensor, call.gain, call.bias, call.head) == (Output(), "", 1.0, None, None)
    assert call.correlation.kind == "naive"
    assert isinstance(call.search, Features)


def test_peaks_are_bounded_in_all() -> None:
    handles, x = ["tpl_a"] * 32, np.ones((4, 6, 6), np.float32)
    asked = correlate_call(handles, features=x, output="peaks", top_k=MAX_PEAKS // 32)
    assert asked.output.top_k == MAX_PEAKS // 32
    error = refused(correlate_call, handles, features=x, output="both", top_k=MAX_PEAKS // 32 + 1)
    assert error.field == "top_k"
    assert str(MAX_PEAKS) in error.message
    assert correlate_call(handles * 32, features=x, output="map", top_k=1024).output.kind == "map"
