"""Features that are not finite are refused alone, wherever they lie and however the rest is computed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr import Engine, EngineSettings
from siamcorr.arguments import Array
from siamcorr.checks import correlate_call
from siamcorr.errors import InvalidArgument
from siamcorr.launch import Launched
from siamcorr.ops.operands import Problem
from siamcorr.planning import plan_correlate
from siamcorr.shapes import Correlation
from siamcorr.tasks import CorrelateTask

RANDOM = np.random.default_rng(11)
SIDE = 11
Z = RANDOM.standard_normal((4, 3, 3), np.float32)
X = RANDOM.standard_normal((4, SIDE, SIDE), np.float32)
CORNERS = [(channel, row, col) for channel in (0, 3) for row in (0, SIDE - 1) for col in (0, SIDE - 1)]
PLACES = CORNERS + [tuple(place) for place in RANDOM.integers(0, (4, SIDE, SIDE), (12, 3)).tolist()]

OPTIONS: list[dict[str, Any]] = [
    {},
    {"gain": 0.0, "bias": [1.0]},
    {"map_dtype": "float16"},
    {"precision": "bfloat16"},
    {"padding": 2, "dilation": (2, 3)},
    {"dilation": 5},  # one cell of the response: most of the region meets no cell of the template
    {"stride": (1, 4)},  # columns between
    {"kind": "depthwise"},
    {"kind": "depthwise", "sum_channels": True, "output": "peaks"},
    {"kind": "depthwise", "head": np.zeros((2, 4), np.float32)},
    {"kind": "depthwise", "head": np.eye(4, dtype=np.float32)[:3], "stride": 2},
    {"kind": "groupwise", "groups": 2, "output": "both"},
    {"kind": "pixelwise", "sum_channels": True},
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(EngineSettings(device="cpu", models={})) as engine:
        yield engine


def task_of(engine: Engine, x: Array, **options: Any) -> CorrelateTask:
    handles = [engine.create_template(Z).handle]
    (task,) = plan_correlate(correlate_call(handles, features=x, **options), engine._bank.lease(handles), {})  # type: ignore[misc]
    assert isinstance(task, CorrelateTask)
    return task


def numbers(outcome: object) -> Any:
    assert isinstance(outcome, Launched), outcome
    return [None if one is None else one.tolist() for one in outcome.maps], outcome.peaks


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_any_cell_that_is_not_finite_is_refused_and_its_neighbour_in_the_batch_is_not(
    engine: Engine, options: dict[str, Any]
) -> None:
    clean = task_of(engine, X[::-1].copy(), **options)
    (alone,) = engine._launcher.serve([clean])
    for place, poison in product(PLACES, (np.nan, np.inf, -np.inf)):
        features = X.copy()
        features[place] = poison
        refused, answered = engine._launcher.serve([task_of(engine, features, **options), clean])
        assert isinstance(refused, InvalidArgument), (place, poison)
        assert refused.field == "features"
        assert numbers(answered) == numbers(alone)


@pytest.mark.parametrize("kind", ["naive", "depthwise"])
def test_finite_features_are_answered_even_where_the_response_is_not_finite(
    engine: Engine, kind: str
) -> None:
    huge = task_of(engine, np.full_like(X, 3e38), kind=kind, gain=1e3)
    usual = task_of(engine, X, kind=kind, gain=1e3)
    overflown, answered = engine._launcher.serve([huge, usual])
    assert isinstance(overflown, Launched)
    assert not np.isfinite(np.array(overflown.maps)).all()
    assert numbers(answered) == numbers(engine._launcher.serve([usual])[0])


@given(
    *(st.tuples(st.integers(1, most), st.integers(1, most)) for most in (3, 3, 4)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_which_cells_meet_the_template_is_what_sliding_it_shows(
    template: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    more: tuple[int, int],
) -> None:
    search = tuple(d * (t - 1) + 1 + m for d, t, m in zip(dilation, template, more, strict=True))
    problem = Problem(
        Correlation(padding=padding, stride=stride, dilation=dilation), (1, *template), (1, *search)
    )
    met = np.zeros(problem.padded, bool)
    _, rows, cols = problem.resolved.response
    for row, col in product(range(rows), range(cols)):
        top, left = row * stride[0], col * stride[1]
        met[top :: dilation[0], left :: dilation[1]][: template[0], : template[1]] = True
    inside = met[padding[0] : padding[0] + search[0], padding[1] : padding[1] + search[1]]
    assert inside.all() or not problem.meets_all_cells
    if stride == (1, 1):
        assert problem.meets_all_cells == met.all()
