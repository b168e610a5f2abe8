"""What is drawn: the right plane of a response, at the right place of the picture."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from networks import small_network
from siamcorr import Engine, EngineSettings
from siamcorr.arguments import Array
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings, search_crop
from siamcorr.images import cut
from siamcorr_server.dashboard.views import View, describe
from siamcorr_server.dashboard.watches import Sample, Watches

RANDOM = np.random.default_rng(2)
TARGET = (70.0, 40.0, 24.0, 18.0)
SEARCHED = (60.0, 47.0, 24.0, 18.0)


def sample(**known: Any) -> Sample:
    usual: dict[str, Any] = {
        "number": 1, "generation": 2, "taken_s": 1.0, "kind": "naive", "plan": "direct", "pairs": 1,
        "region": None, "maps": {}, "peaks": (), "placing": None, "too_large": False,
    }  # fmt: skip
    return Sample(**usual | known)


def values(heat: dict[str, Any]) -> Array:
    flat = np.frombuffer(base64.b64decode(heat["values"]), "<f4")
    return flat.reshape(heat["rows"], heat["cols"])


def picture(found: dict[str, Any]) -> Array:
    png = np.frombuffer(base64.b64decode(found["picture"]["png"]), np.uint8)
    return np.asarray(cv2.imdecode(png, cv2.IMREAD_UNCHANGED))


def watch_one(model: str, kind: str, frame: Array) -> Sample:
    """Correlate a template made at TARGET around SEARCHED, and return what was kept of it."""
    watches = Watches()
    settings = EngineSettings(device="cpu")
    with Engine(
        settings,
        models={"small": small_network()},
        on_launch=lambda tasks, outcomes: watches.launched(tasks, outcomes, 0.0),
    ) as engine:
        template = engine.create_template(image=frame, box=TARGET, model=model)
        watches.ask(template.handle, 0.0)
        engine.correlate(template, image=frame, box=SEARCHED, kind=kind)
        samples = watches.ask(template.handle, 0.0)
    assert samples is not None
    return samples[0]


def middle_in_crop(box: tuple[float, ...], crop: CropSettings, around: tuple[float, ...]) -> list[float]:
    """Return x, y of a box's middle in the search crop around another box, by looking for it there."""
    x, y, w, h = map(int, box)
    marked = np.zeros((120, 160, 3), np.uint8)
    marked[y : y + h, x : x + w] = 255
    seen = cut(marked, search_crop(around, crop), crop.search_px, np.zeros(3, np.uint8))[..., 0]
    rows, cols = np.nonzero(seen > 127)
    return [float((cols.min() + cols.max()) / 2), float((rows.min() + rows.max()) / 2)]


def test_the_peak_is_drawn_on_the_target() -> None:
    frame = np.full((120, 160, 3), 90, np.uint8)
    x, y, w, h = map(int, TARGET)
    frame[y : y + h, x : x + w] = RANDOM.integers(0, 256, (3, 4, 3), np.uint8).repeat(6, 0).repeat(6, 1)
    one = watch_one("hog", "naive", frame)
    peak = describe([one], View(), 1.0)["map"]["peak"]
    place = one.placing
    assert place is not None
    at = [place.x0 + peak["col"] * place.step_x, place.y0 + peak["row"] * place.step_y]
    assert at == pytest.approx(middle_in_crop(TARGET, CropSettings(), SEARCHED), abs=4)  # half a cell of hog
    assert at != pytest.approx(middle_in_crop(SEARCHED, CropSettings(), SEARCHED), abs=12)


def test_a_networks_middle_cell_is_drawn_in_the_middle_of_what_was_searched() -> None:
    frame = RANDOM.integers(0, 256, (120, 160, 3), np.uint8)
    one = watch_one("small", "network", frame)
    place = one.placing
    assert place is not None
    rows, cols = one.maps["sum"].shape[1:]
    at = [place.x0 + cols // 2 * place.step_x, place.y0 + rows // 2 * place.step_y]
    crop = CropSettings(template_px=8, search_px=24)
    assert at == pytest.approx(middle_in_crop(SEARCHED, crop, SEARCHED), abs=0.5)
    assert (place.step_x, place.step_y) == pytest.approx((4.0, 4.0))


@pytest.mark.parametrize(
    ("options", "placed"),
    [({}, (9.0, 6.0)), ({"padding": (2, 1)}, (9.0, 6.0)), ({"stride": (2, 4)}, (9.0, 6.0))],
)
def test_the_peak_is_drawn_on_the_template_in_features(
    options: dict[str, Any], placed: tuple[float, float]
) -> None:
    z = RANDOM.standard_normal((8, 5, 3), np.float32)
    x = np.zeros((8, 15, 17), np.float32)
    x[:, 4:9, 8:11] = z  # its middle is at row 6, column 9
    watches = Watches()
    settings = EngineSettings(device="cpu", models={})
    with Engine(settings, on_launch=lambda tasks, outcomes: watches.launched(tasks, outcomes, 0.0)) as engine:
        template = engine.create_template(z)
        watches.ask(template.handle, 0.0)
        response = engine.correlate(template, features=x, **options)
        samples = watches.ask(template.handle, 0.0)
    assert samples
    place = samples[0].placing
    assert place is not None
    assert response.map is not None
    _, row, col = np.unravel_index(response.map.argmax(), response.map.shape)
    assert (place.x0 + col * place.step_x, place.y0 + row * place.step_y) == placed


def test_the_picture_is_the_crop_to_the_bit() -> None:
    crop = RANDOM.integers(0, 256, (24, 24, 3), np.uint8)
    found = describe([sample(region=crop)], View(), 1.5)
    np.testing.assert_array_equal(picture(found), crop)
    assert found["picture"]["what"] == "crop"
    assert (found["age_s"], found["map"], found["strip"]) == (0.5, None, [])


def test_features_are_shown_by_their_strength() -> None:
    features = np.zeros((4, 6, 7), np.float32)
    features[:, 2, 3] = -5.0
    features[:, 5, 6] = np.nan
    found = describe([sample(region=features)], View(), 1.0)
    assert found["picture"]["what"] == "features"
    seen = picture(found)
    assert seen.shape == (6, 7)
    assert (int(seen[2, 3]), int(seen.sum())) == (255, 255)


MAPS: dict[str, Array] = {
    "cls": RANDOM.standard_normal((4, 3, 5), np.float32),
    "loc": RANDOM.standard_normal((8, 3, 5), np.float32),
}


def test_a_networks_classes_are_shown_as_the_best_anchors_score() -> None:
    heat = describe([sample(maps=MAPS)], View(), 1.0)["map"]
    assert (heat["name"], heat["channel"]) == ("cls", "score")
    classes = np.exp(MAPS["cls"].astype(np.float64).reshape(2, 2, 3, 5))
    np.testing.assert_allclose(values(heat), (classes[1] / classes.sum(0)).max(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("loc:sum", ("loc", "sum")),
        ("loc:7", ("loc", "7")),
        ("loc:8", ("loc", "sum")),
        ("loc:score", ("loc", "sum")),
        ("cls:sum", ("cls", "sum")),
        ("gone:3", ("cls", "score")),
    ],
)
def test_a_view_that_there_is_not_gives_way_to_the_usual_one(asked: str, got: tuple[str, str]) -> None:
    heat = describe([sample(maps=MAPS)], View.parse(asked), 1.0)["map"]
    assert (heat["name"], heat["channel"]) == got


def test_a_sum_and_a_channel_are_what_they_say() -> None:
    total, third = (describe([sample(maps=MAPS)], View("loc", way), 1.0)["map"] for way in ("sum", "3"))
    np.testing.assert_allclose(values(total), MAPS["loc"].sum(0), rtol=1e-5)
    np.testing.assert_array_equal(values(third), MAPS["loc"][3])
    assert third["low"] == MAPS["loc"][3].min()
    assert third["high"] == MAPS["loc"][3].max()


def test_a_single_channel_is_shown_as_it_is() -> None:
    response: npt.NDArray[Any] = RANDOM.standard_normal((1, 4, 4)).astype(np.float16)
    found = describe([sample(maps={"map": response})], View(), 1.0)
    np.testing.assert_array_equal(values(found["map"]), response[0])
    assert found["maps"] == [{"name": "map", "shape": [1, 4, 4], "ways": ()}]


@pytest.mark.parametrize("filled", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted_and_drawn_as_the_lowest(filled: float) -> None:
    response = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    response[0, 2, 2] = filled
    found = describe([sample(maps={"map": response})], View(), 1.0)
    heat = found["map"]
    assert (heat["not_finite"], heat["low"], heat["high"]) == (1, 0.0, 7.0)
    assert values(heat)[2, 2] == 0
    json.dumps(found, allow_nan=False)


def test_a_map_without_a_finite_cell_can_still_be_told() -> None:
    response = np.full((1, 3, 3), np.nan, np.float32)
    json.dumps(describe([sample(maps={"map": response})], View(), 1.0), allow_nan=False)


def test_the_strip_has_the_last_answers_of_the_same_map_alone() -> None:
    small, other = {"map": np.ones((1, 3, 3), np.float32)}, {"map": np.ones((1, 5, 5), np.float32)}
    samples = [sample(number=n, maps=maps) for n, maps in enumerate([small, other, {}, small, small])]
    strip = describe(samples, View(), 1.0)["strip"]
    assert [one["number"] for one in strip] == [0, 3, 4]


@pytest.mark.parametrize("text", ["map", "map:", "map:mean", "map:-1", "map:1.5", "map:²", "x" * 90 + ":1"])
def test_a_view_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="view"):
        View.parse(text)


def test_the_page_draws_a_map_where_its_cells_are() -> None:
    """Cell (0, 0) of step 8 with its middle at pixel 35.5 begins at 32 from the picture's border."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    script = files("siamcorr_server.dashboard").joinpath("static", "heat.js")
    source = base64.b64encode(script.read_bytes()).decode()
    place = "{ x0: 35.5, y0: 3.5, step_x: 8, step_y: 4 }"
    code = f"""
        import {{ borders }} from "data:text/javascript;base64,{source}";
        console.log(JSON.stringify(borders({{ rows: 5, cols: 10 }}, {place})));
    """
    done = subprocess.run(
        [node, "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [32, 2, 80, 20]


@pytest.mark.parametrize("shape", [(1, 1, 1 << 20), (1, 1 << 20, 1)])
def test_a_search_region_that_is_too_long_for_a_picture_is_left_out(shape: tuple[int, ...]) -> None:
    found = describe([sample(region=np.zeros(shape, np.float32))], View(), 1.0)
    assert found["picture"] is None
