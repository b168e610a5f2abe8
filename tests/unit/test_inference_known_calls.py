"""Calls that are alike are checked once, and calls that are not are not taken for one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refusals import refused
from siamcorr.checks import correlate_call
from siamcorr_server.inference.known_calls import KnownCalls

X = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)


def parts(call: Any) -> tuple[Any, ...]:
    """Return what a call says, its family apart."""
    return (
        *(call.templates, call.template_index, call.search_index, call.correlation, call.tensor),
        *(repr(call.gain), call.output, call.precision, call.search.regions.tolist()),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"gain": 0.5}, {"gain": 0.25}),
        ({"gain": 0.0}, {"gain": -0.0}),
        ({"gain": 1.0}, {}),
        ({"padding": 1}, {"padding": (1, 2)}),
        ({"output": "map"}, {"output": "peaks"}),
        ({"tensor": "a"}, {"tensor": "b"}),
    ],
)
def test_other_options_are_another_call(first: dict[str, Any], second: dict[str, Any]) -> None:
    known = KnownCalls()
    for options in (first, second, first, second):
        found = known.call(["a"], X, options)
        assert parts(found) == parts(correlate_call(["a"], features=X, **options))
    assert known.call(["a"], X, first).family is not known.call(["a"], X, second).family


def test_a_truth_value_is_no_number_although_it_equals_one() -> None:
    known = KnownCalls()
    known.call(["a"], X, {"gain": 1})
    assert refused(known.call, ["a"], X, {"gain": True}).field == "gain"


def test_handles_and_features_are_those_of_the_call() -> None:
    known = KnownCalls()
    for n, features in enumerate((X, X + 1, X[0], X.astype(np.float16), X[:, :1], np.concatenate([X, X]))):
        for handles in (["a", "b"], [f"c{n}", "d"]):
            found = known.call(handles, features, {"kind": "naive"})
            assert parts(found) == parts(correlate_call(handles, features=features))


def test_handles_are_checked_each_time() -> None:
    known = KnownCalls()
    known.call(["a"], X, {})
    assert refused(known.call, [""], X, {}).field == "template"


def test_memory_is_bounded() -> None:
    known = KnownCalls()
    for n in range(1500):
        known.call(["a"], X, {"gain": float(n)})
    assert len(known._known) <= 1024
    known.call(["a"], X, {"tensor": "t" * 64, "gain": 2.0})
    assert not any(call.search.regions.size for call in known._known.values())  # type: ignore[union-attr]
