"""Hosted networks as models, and templates made, renewed and forgotten through the protocol alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S
from servers import serving
from siamcorr import EngineSettings
from siamcorr.arguments import Array
from siamcorr_client import Client
from triton_client import connected, handles, infer, outputs, refusal, response

BOX = np.array([[10.0, 10.0, 20.0, 20.0], [40.0, 30.0, 9.0, 12.0]], np.float32)
Z = np.random.default_rng(3).standard_normal((4, 3, 3)).astype(np.float32)
FILE = np.array([cv2.imencode(".png", IMAGE)[1].tobytes()], object)


def created(triton: Any, parameters: dict[str, Any] | None = None, **inputs: Array) -> list[str]:
    made = infer(triton, "create_template", inputs, parameters=parameters).as_numpy("template")
    return [handle.decode() for handle in made]


@pytest.mark.parametrize("image", [IMAGE, FILE], ids=["pixels", "a file"])
def test_a_network_gives_its_own_maps(image: Array, triton: Any, client: Client) -> None:
    made = created(triton, {"model": "small"}, image=image, box=BOX)
    answer = infer(triton, "small", {"template": handles(*made), "image": image, "box": BOX})
    ours = client.correlate(made, image=IMAGE, box=BOX, kind="network")
    assert len(answer.get_response().outputs) == 3
    for n, one in enumerate(ours):
        for name, map_ in one.maps.items():
            np.testing.assert_array_equal(answer.as_numpy(name)[n], map_)
        place = one.map_to_frame
        assert place is not None
        rows = np.array([place.x0, place.y0, place.step_x, place.step_y], np.float32)
        np.testing.assert_array_equal(answer.as_numpy("map_to_frame")[n], rows)


def test_a_box_may_be_one_and_maps_may_be_float16(triton: Any) -> None:
    made = created(triton, {"model": "small"}, image=IMAGE, box=BOX[0].astype(np.float64))
    inputs = {"template": handles(*made), "image": IMAGE, "box": BOX[0]}
    wanted, half = outputs("each"), {"map_dtype": "float16"}
    answer = infer(triton, "small", inputs, outputs=wanted, parameters=half)
    assert answer.as_numpy("each").shape == (1, 3, 7, 7)
    assert answer.as_numpy("each").dtype == np.float16


def test_a_network_needs_template_image_and_box(triton: Any) -> None:
    (made,) = created(triton, {"model": "small"}, image=IMAGE, box=BOX[0])
    whole = {"template": handles(made), "image": IMAGE, "box": BOX[0]}
    for missing in whole:
        inputs = {name: value for name, value in whole.items() if name != missing}
        status, said = refusal(infer, triton, "small", inputs)
        assert status == "INVALID_ARGUMENT"
        assert said.startswith(f"{missing}: found none, expected ")


def test_a_template_of_another_model_is_refused(triton: Any) -> None:
    (made,) = created(triton, {"model": "gate"}, image=IMAGE, box=BOX[0])
    inputs = {"template": handles(made), "image": IMAGE, "box": BOX[0]}
    status, said = refusal(infer, triton, "small", inputs)
    assert status == "INVALID_ARGUMENT"
    assert said.startswith("template: found ")


def test_a_template_is_made_renewed_and_forgotten(triton: Any, client: Client) -> None:
    (made,) = created(triton, features=Z)
    assert client.get_template(made).tensors[0].shape == Z.shape
    search = np.ones((1, 4, 3, 3), np.float32)
    before = response(triton, "naive", handles(made), search)
    inputs = {"template": handles(made), "features": np.zeros_like(Z)}
    answer = infer(triton, "update_template", inputs, parameters={"rate": 0.5})
    assert answer.as_numpy("generation").tolist() == [2]
    np.testing.assert_allclose(response(triton, "naive", handles(made), search), before / 2, rtol=1e-5)
    gone = infer(triton, "delete_template", {"template": handles(made)}).as_numpy("template")
    assert gone.tolist() == [made.encode()]
    assert refusal(response, triton, "naive", handles(made), search)[0] == "NOT_FOUND"
    assert refusal(infer, triton, "delete_template", {"template": handles(made)})[0] == "NOT_FOUND"


def test_what_makes_no_template_is_refused_by_name(triton: Any) -> None:
    cases: list[tuple[dict[str, Array], str]] = [
        ({}, "features: found neither features nor image"),
        ({"features": Z, "image": IMAGE}, "features: found both features and image"),
        ({"image": IMAGE}, "box: found none"),
        ({"image": np.array([b"x", b"y"], object), "box": BOX}, "image: found 2 files"),
        ({"features": Z[0]}, "features: found 2 axes"),
    ]
    for inputs, begins in cases:
        status, said = refusal(infer, triton, "create_template", inputs)
        assert status == "INVALID_ARGUMENT"
        assert said.startswith(begins)


def test_an_update_is_of_one_template_and_by_a_share(triton: Any) -> None:
    first, second = created(triton, features=Z), created(triton, features=Z)
    both = {"template": handles(*first, *second), "features": Z}
    assert refusal(infer, triton, "update_template", both)[1].startswith("template: found 2 handles")
    one = {"template": handles(*first), "features": Z}
    _, said = refusal(infer, triton, "update_template", one, parameters={"rate": 2})
    assert said.startswith("rate: found 2")
    assert refusal(infer, triton, "update_template", {"features": Z})[1].startswith("template: found 0")


def test_a_trained_network_answers_through_the_protocol_as_through_ours(shared: Path) -> None:
    path = shared / "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt"
    settings = EngineSettings(device="cpu", models={"nanotrackv3": str(path)})
    frame = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    box = np.array([[100, 80, 60, 40]], np.float32)
    with (
        serving(settings) as server,
        connected(server.address) as triton,
        Client(server.address, timeout_s=PATIENCE_S) as client,
    ):
        made = created(triton, {"model": "nanotrackv3"}, image=frame, box=box)
        answer = infer(triton, "nanotrackv3", {"template": handles(*made), "image": frame, "box": box})
        ours = client.correlate(made[0], image=frame, box=box[0], kind="network")
        for name, map_ in ours.maps.items():
            np.testing.assert_array_equal(answer.as_numpy(name)[0], map_)
