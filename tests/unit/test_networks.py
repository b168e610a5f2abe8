"""Whole networks in the engine: their maps by name, in any company, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gates import IMAGE, Gate
from networks import small_network
from refusals import refused
from siamcorr import Engine, EngineSettings
from siamcorr.answers import Template
from siamcorr.checks import correlate_call
from siamcorr.errors import ModelNotFound
from siamcorr.geometry import search_crop, template_crop
from siamcorr.images import channel_mean, cut
from siamcorr.ops import xcorr_reference

BOXES = np.array([(10.0, 10.0, 20.0, 20.0), (40.0, 30.0, 9.0, 12.0), (-4.0, 20.0, 16.0, 9.0)])
OTHER = np.random.default_rng(8).integers(0, 256, IMAGE.shape, np.uint8)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    gate = Gate()
    gate.opened.set()
    settings = EngineSettings(device="cpu", models={})
    with Engine(settings, embedders={"gate": gate}, models={"small": small_network(2)}) as engine:
        yield engine
        for template in engine.list_templates():
            engine.delete_template(template)
        engine.check_invariants()
        assert engine.stats().bank.bytes_used == 0


def made(engine: Engine, model: str = "small") -> list[Template]:
    return engine.create_templates(image=IMAGE, boxes=BOXES, model=model)


def centred(pixels: Any) -> torch.Tensor:
    crops = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).double()
    return torch.nn.functional.avg_pool2d(crops, 4) / 128 - 1


def expected(box: Any, image: Any = OTHER) -> Any:
    """Return the two maps of the template of ``box`` in IMAGE, on its search region in ``image``."""
    crop, fill = small_network().crop, channel_mean(IMAGE)
    z = centred(cut(IMAGE, template_crop(box, crop), crop.template_px, fill))
    x = centred(cut(image, search_crop(box, crop), crop.search_px, fill))
    response = xcorr_reference(z, x, "depthwise", padding=1)[0]
    return response.sum(0, keepdim=True).numpy(), (response + 1).numpy()


def test_the_maps_come_by_name(engine: Engine) -> None:
    templates = made(engine)
    responses = engine.correlate(templates, image=OTHER, box=BOXES, kind="network")
    for template, box, response in zip(templates, BOXES, responses, strict=True):
        assert response.template == template.handle
        assert (response.map, response.peaks) == (None, ())
        assert list(response.maps) == ["sum", "each"]
        for found, right in zip(response.maps.values(), expected(box), strict=True):
            np.testing.assert_allclose(found, right, atol=1e-5)
    assert responses[0].timings.batch_pairs == len(BOXES)


def test_what_lies_outside_the_frame_has_the_colour_of_the_templates_frame(engine: Engine) -> None:
    template = made(engine)[2]
    dark = np.zeros_like(OTHER)
    response = engine.correlate(template, image=dark, box=BOXES[2], kind="network")
    np.testing.assert_allclose(response.maps["each"], expected(BOXES[2], dark)[1], atol=1e-5)
    updated = engine.update_template(template, image=OTHER, box=BOXES[0], rate=1e-9)
    assert updated.generation == 2
    response = engine.correlate(template, image=dark, box=BOXES[2], kind="network")
    np.testing.assert_allclose(response.maps["each"], expected(BOXES[2], dark)[1], atol=1e-5)


def test_a_pair_has_the_same_bits_alone_and_among_others(engine: Engine) -> None:
    templates = made(engine)
    pairs = [0, 1, 2, 2, 0], [2, 1, 0, 1, 0]
    together = engine.correlate(templates, image=OTHER, box=BOXES, kind="network", pairs=pairs)
    for template, search, response in zip(*pairs, together, strict=True):
        alone = engine.correlate(templates[template], image=OTHER, box=BOXES[search], kind="network")
        for name, map_ in alone.maps.items():
            np.testing.assert_array_equal(response.maps[name], map_)
        assert response.map_to_frame == alone.map_to_frame


def test_the_middle_of_a_map_is_the_middle_of_the_box(engine: Engine) -> None:
    response = engine.correlate(made(engine)[0], image=OTHER, box=BOXES[0], kind="network")
    place, (_, rows, cols) = response.map_to_frame, response.maps["sum"].shape
    assert place is not None
    assert place.point(rows // 2, cols // 2) == (19.5, 19.5)
    side = search_crop(BOXES[0], small_network().crop).side
    assert place.step_x == place.step_y == 4 * side / 24


def test_maps_can_be_rounded_on_the_way(engine: Engine) -> None:
    response = engine.correlate(
        made(engine)[0], image=OTHER, box=BOXES[0], kind="network", map_dtype="float16"
    )
    assert {map_.dtype for map_ in response.maps.values()} == {np.dtype(np.float16)}


def test_its_features_can_be_correlated_plainly(engine: Engine) -> None:
    template = made(engine)[0]
    assert [tensor.name for tensor in template.tensors] == ["features", "centred"]
    plain = engine.correlate(template, image=OTHER, box=BOXES[0])
    named = engine.correlate(
        template, image=OTHER, box=BOXES[0], tensor="centred", kind="depthwise", padding=1
    )
    assert plain.map is not None
    assert named.map is not None
    assert plain.map.shape == (1, 5, 5)
    np.testing.assert_allclose(named.map + 1, expected(BOXES[0])[1], atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"tensor": "centred"},
        {"groups": 3},
        {"k": 1},
        {"padding": 1},
        {"stride": (2, 1)},
        {"dilation": 2},
        {"gain": 0.5},
        {"bias": 1.0},
        {"head": np.ones((1, 3), np.float32)},
        {"output": "peaks"},
        {"top_k": 2},
        {"sum_channels": True},
        {"precision": "bfloat16"},
        {"wire_dtype": "float16"},
        {"padding": [1, 1]},
        {"stride": np.array([2, 2])},
        {"gain": np.array([1.0, 2.0])},
        {"output": np.array(["map", "both"])},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_only_a_correlation_has_is_refused_by_name(options: dict[str, Any]) -> None:
    (field,) = options
    error = refused(correlate_call, "tpl", image=IMAGE, box=BOXES[0], kind="network", **options)
    assert error.field == field
    assert str(error).endswith(f"expected {field} only for correlations")


def test_features_are_no_search_region_for_a_network() -> None:
    features = np.zeros((3, 6, 6), np.float32)
    assert refused(correlate_call, "tpl", features=features, kind="network").field == "features"


def test_a_template_without_its_tensors_is_refused(engine: Engine) -> None:
    frame: dict[str, Any] = {"image": OTHER, "box": BOXES[0], "kind": "network"}
    of_gate = made(engine, "gate")[0]
    assert refused(engine.correlate, of_gate, **frame).field == "kind"
    error = refused(engine.correlate, of_gate, **frame, model="small")
    assert error.field == "template"
    assert "features (3, 8, 8), expected small's features (3, 2, 2), centred (3, 2, 2)" in str(error)
    features = np.zeros((3, 2, 2), np.float32)
    assert refused(engine.correlate, engine.create_template(features), **frame).field == "model"
    complete = engine.create_template({"features": features, "centred": features})
    assert engine.correlate(complete, **frame, model="small").maps["sum"].shape == (1, 7, 7)
    with pytest.raises(ModelNotFound):
        engine.correlate(complete, **frame, model="large")


def test_a_template_without_its_tensors_is_refused_beside_one_that_has_them(engine: Engine) -> None:
    frame: dict[str, Any] = {"image": OTHER, "box": BOXES[0], "kind": "network", "model": "small"}
    features, other = np.zeros((3, 2, 2), np.float32), np.zeros((3, 1, 1), np.float32)
    sound = [engine.create_template({"features": features, "centred": features}) for _ in range(2)]
    for wrong in ({"features": features}, {"features": features, "centred": other}):
        error = refused(engine.correlate, [*sound, engine.create_template(wrong)], **frame)
        assert error.field == "template"
    of_gate = made(engine, "gate")[0]
    assert refused(engine.correlate, [*made(engine), of_gate], **frame).field == "template"


def test_another_model_is_refused_though_its_shapes_are_the_same() -> None:
    models = {"one": small_network(), "other": small_network()}
    with Engine(EngineSettings(device="cpu", models={}), models=models) as engine:
        template = engine.create_template(image=IMAGE, box=BOXES[0], model="one")
        frame: dict[str, Any] = {"image": IMAGE, "box": BOXES[0], "kind": "network"}
        error = refused(engine.correlate, template, **frame, model="other")
        again = refused(engine.update_template, template, image=IMAGE, box=BOXES[0], model="other")
    assert str(error) == str(again) == "model: found 'other', expected one, which made the template"


def test_a_calls_work_is_bounded() -> None:
    settings = EngineSettings(device="cpu", models={}, max_multiply_adds=4 * 3 * 49)
    with Engine(settings, models={"small": small_network()}) as engine:
        template = engine.create_template(image=IMAGE, box=BOXES[0], model="small")
        engine.correlate(template, image=IMAGE, box=BOXES[0], kind="network")
        error = refused(engine.correlate, [template], image=IMAGE, box=BOXES[:2], kind="network")
        assert "multiply-adds" in str(error)


def test_the_work_of_new_templates_is_bounded() -> None:
    settings = EngineSettings(device="cpu", models={}, max_multiply_adds=9)
    model = replace(small_network(), template_multiply_adds=5)
    with Engine(settings, models={"small": model}) as engine:
        engine.create_template(image=IMAGE, box=BOXES[0], model="small")
        error = refused(engine.create_templates, image=IMAGE, boxes=BOXES[:2], model="small")
        assert "multiply-adds" in str(error)
