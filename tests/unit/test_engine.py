"""The engine's calls: that each gives what it says, and names what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest
import torch

from siamcorr import Engine, EngineSettings
from siamcorr.arguments import Array
from siamcorr.calls import CorrelateOptions
from siamcorr.errors import (
    BankFull,
    Draining,
    InvalidArgument,
    ModelNotFound,
    SiamcorrError,
    TemplateEvicted,
    TemplateExpired,
    TemplateNotFound,
)
from siamcorr.ops import xcorr
from siamcorr.peaks import find_peaks

RANDOM = np.random.default_rng(0)
Z = RANDOM.standard_normal((8, 4, 4), np.float32)
X = RANDOM.standard_normal((3, 8, 9, 9), np.float32)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(EngineSettings(device="cpu", models={})) as engine:
        yield engine
        assert engine.wait_idle(10)
        engine.check_invariants()


def expected(z: Array, x: Array, **options: Any) -> Array:
    response: Array = xcorr(torch.from_numpy(z)[None], torch.from_numpy(x), **options).numpy()
    return response


def test_one_template_makes_one_response_and_a_list_a_list(engine: Engine) -> None:
    template = engine.create_template(Z)
    one = engine.correlate(template, features=X[0])
    assert one.template == template.handle
    assert one.generation == 1
    np.testing.assert_array_equal(one.map, expected(Z, X[:1])[0])
    three = engine.correlate([template], features=X)
    np.testing.assert_array_equal([response.map for response in three], expected(Z, X))


def test_options_reach_the_operator(engine: Engine) -> None:
    template = engine.create_template(Z)
    options: dict[str, Any] = {"kind": "depthwise", "padding": 1, "stride": (2, 1), "gain": 0.5}
    weight, bias = RANDOM.standard_normal((2, 8), np.float32), np.array([1.0, -1.0], np.float32)
    response = engine.correlate(
        template,
        features=X[0],
        bias=np.arange(8.0),
        head=(weight, bias),
        **options,
    )
    plain = expected(Z, X[:1], bias=torch.arange(8.0), **options)[0]
    by_hand = np.einsum("ko,ohw->khw", weight.astype(float), plain) + bias[:, None, None]
    assert response.map is not None
    np.testing.assert_allclose(response.map, by_hand, rtol=1e-5, atol=1e-5)
    summed = engine.correlate(template, features=X[0], sum_channels=True, **options)
    assert summed.map is not None
    np.testing.assert_allclose(
        summed.map, expected(Z, X[:1], **options)[0].sum(0, keepdims=True), rtol=1e-4, atol=1e-4
    )


def test_the_caller_chooses_what_comes_back(engine: Engine) -> None:
    template = engine.create_template(Z)
    full = expected(Z, X[:1])[0]
    peaks = engine.correlate(template, features=X[0], output="peaks", top_k=3)
    assert peaks.map is None
    assert peaks.peaks == find_peaks(full, top_k=3)
    both = engine.correlate(template, features=X[0], output="both", map_dtype="float16")
    np.testing.assert_array_equal(both.map, full.astype(np.float16))
    assert both.peaks == (both.peak,) == find_peaks(full)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ">f4"])
def test_half_and_foreign_floats_are_widened_and_then_computed(engine: Engine, dtype: Any) -> None:
    z, x = Z.astype(dtype), X[0].astype(dtype)
    response = engine.correlate(engine.create_template(z), features=x)
    np.testing.assert_array_equal(response.map, expected(z.astype(np.float32), x[None].astype(np.float32))[0])


def test_torch_tensors_are_features_too(engine: Engine) -> None:
    z, x = cast(Array, torch.from_numpy(Z)), cast(Array, torch.from_numpy(X[0]))
    template = engine.create_template(z)
    response = engine.correlate(template, features=x)
    np.testing.assert_array_equal(response.map, expected(Z, X[:1])[0])
    with pytest.raises(InvalidArgument, match="features: found Tensor that is no numpy array"):
        engine.create_template(cast(Array, torch.from_numpy(Z).bfloat16()))


def test_templates_of_different_forms_in_one_call_keep_their_places(engine: Engine) -> None:
    small = RANDOM.standard_normal((8, 2, 3), np.float32)
    templates = [engine.create_template(one) for one in (Z, small, Z + 1)]
    pairs = ([2, 1, 0, 1], [0, 2, 1, 0])
    responses = engine.correlate(templates, features=X, pairs=pairs)
    for response, t, s in zip(responses, *pairs, strict=True):
        np.testing.assert_array_equal(response.map, expected((Z, small, Z + 1)[t], X[s : s + 1])[0])
        assert response.template == templates[t].handle
    assert len({response.timings for response in responses}) == 1


def test_a_template_has_named_tensors(engine: Engine) -> None:
    template = engine.create_template({"cls": Z, "loc": -Z})
    response = engine.correlate(template, features=X[0], tensor="loc")
    np.testing.assert_array_equal(response.map, expected(-Z, X[:1])[0])
    for wrong in ("", "other"):
        with pytest.raises(InvalidArgument, match="cls, loc") as error:
            engine.correlate(template, features=X[0], tensor=wrong)
        assert error.value.field == "tensor"


def test_an_update_replaces_or_blends(engine: Engine) -> None:
    template = engine.create_template(Z)
    assert engine.update_template(template, 2 * Z).generation == 2
    assert engine.update_template(template, np.zeros_like(Z), rate=0.25).generation == 3
    response = engine.correlate(template, features=X[0])
    assert response.generation == 3
    assert response.map is not None
    np.testing.assert_allclose(response.map, 1.5 * expected(Z, X[:1])[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(InvalidArgument, match="the template's"):
        engine.update_template(template, Z[:4])
    assert engine.get_template(template).generation == 3


def test_templates_are_listed_and_deleted(engine: Engine) -> None:
    templates = [engine.create_template(Z) for _ in range(103)]
    assert [one.handle for one in engine.list_templates()] == [one.handle for one in templates]
    engine.delete_template(templates[0].handle)
    with pytest.raises(TemplateNotFound):
        engine.get_template(templates[0])
    assert len(list(engine.list_templates())) == 102


WRONG: list[tuple[str, CorrelateOptions]] = [
    ("template", {"features": X[0, :4]}),
    ("template", {"features": X[0, :, :3]}),
    ("features", {"features": X[0].astype(np.float64)}),
    ("features", {"features": X[0, 0]}),
    ("features", {"features": X[:, :0]}),
    ("features", {"features": np.where(X[0] > 1, np.nan, X[0])}),
    ("features", {"features": np.where(X[0] > 1, -np.inf, X[0])}),
    ("features", {}),
    ("kind", {"features": X[0], "kind": "cosine"}),
    ("groups", {"features": X[0], "groups": 2}),
    ("groups", {"features": X[0], "kind": "groupwise", "groups": 3}),
    ("k", {"features": X[0], "kind": "upchannel", "k": 2}),
    ("padding", {"features": X[0], "padding": -1}),
    ("stride", {"features": X[0], "stride": 0}),
    ("gain", {"features": X[0], "gain": float("nan")}),
    ("bias", {"features": X[0], "bias": [1.0, 2.0]}),
    ("head", {"features": X[0], "head": np.ones((2, 3), np.float32)}),
    ("output", {"features": X[0], "output": "maps"}),  # type: ignore[typeddict-item]
    ("top_k", {"features": X[0], "top_k": 0}),
    ("box", {"features": X[0], "box": (1, 2, 3, 4)}),
    ("box", {"image": b"x"}),
    ("model", {"image": b"x", "box": (1, 2, 3, 4)}),
    ("template", {"features": X}),
]


@pytest.mark.parametrize(("field", "options"), WRONG)
def test_what_is_wrong_is_named_and_the_engine_goes_on(
    engine: Engine, field: str, options: CorrelateOptions
) -> None:
    template = engine.create_template(Z)
    with pytest.raises(InvalidArgument) as error:
        engine.correlate(template, **options)
    assert error.value.field == field
    assert "expected" in error.value.message
    engine.correlate(template, features=X[0])
    with pytest.raises(TypeError, match="sretch"):
        engine.correlate(template, features=X[0], sretch=1)  # type: ignore[call-overload]


def test_values_that_only_sum_to_infinity_are_taken(engine: Engine) -> None:
    large = np.full((8, 9, 9), 3e37, np.float32)
    response = engine.correlate(engine.create_template(np.full_like(Z, 1e-30)), features=large)
    assert response.map is not None
    assert np.isfinite(response.map).all()


def test_nan_may_be_allowed() -> None:
    with Engine(EngineSettings(device="cpu", models={}, check_finite=False)) as engine:
        response = engine.correlate(engine.create_template(Z * np.nan), features=X[0])
    assert response.map is not None
    assert np.isnan(response.map).all()


def test_a_full_bank_refuses_or_evicts_and_the_owner_is_told() -> None:
    size_bytes = Z.nbytes
    with Engine(EngineSettings(device="cpu", models={}, budget_bytes=2 * size_bytes)) as engine:
        for _ in range(2):
            engine.create_template(Z)
        with pytest.raises(BankFull) as error:
            engine.create_template(Z)
        assert error.value.retry_after_s is not None
    with Engine(EngineSettings(device="cpu", models={}, budget_bytes=2 * size_bytes, evict="lru")) as engine:
        first, *_ = [engine.create_template(Z) for _ in range(3)]
        with pytest.raises(TemplateEvicted, match="evicted"):
            engine.correlate(first, features=X[0])


def test_time_passes_for_idle_templates_only() -> None:
    now_s = 100.0
    with Engine(EngineSettings(device="cpu", models={}, ttl_s=60.0), clock=lambda: now_s) as engine:
        used, unused = engine.create_template(Z), engine.create_template(Z)
        now_s += 59.0
        engine.correlate(used, features=X[0])
        assert engine.get_template(unused).idle_s == 59.0
        now_s += 1.0
        with pytest.raises(TemplateExpired, match="expired"):
            engine.correlate(unused, features=X[0])
        assert engine.stats().bank.templates == 1


def test_a_closed_engine_takes_nothing_more() -> None:
    engine = Engine(EngineSettings(device="cpu", models={}))
    template = engine.create_template(Z)
    engine.close()
    engine.close()
    for call in (lambda: engine.create_template(Z), lambda: engine.correlate(template, features=X[0])):
        with pytest.raises(Draining):
            call()


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("device", {"device": "tpu"}),
        ("device", {"device": "cuda:99"}),
        ("model", {"models": {"alexnet": None}}),
        ("model", {"models": {"nanotrackv3": "/nowhere/weights.pt"}}),
    ],
)
def test_an_engine_that_cannot_be_says_why(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as error:
        Engine(EngineSettings(**settings))
    assert error.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_jobs", 0), ("budget_bytes", True), ("ttl_s", 0), ("evict", "fifo"), ("decode_threads", 1.5)],
)
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidArgument) as error:
        EngineSettings(**{field: value})  # type: ignore[arg-type]
    assert error.value.field == field
    with pytest.raises(TypeError, match="max_job"):
        EngineSettings(max_job=1)  # type: ignore[call-arg]


def test_a_model_that_is_not_loaded_is_told_with_those_that_are(engine: Engine) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ModelNotFound, match="none"):
        engine.create_template(image=image, box=(1, 1, 9, 9))
    with pytest.raises(SiamcorrError) as error:
        engine.correlate(engine.create_template(Z), image=image, box=(1, 1, 9, 9), model="hog")
    assert error.value.field == "model"
