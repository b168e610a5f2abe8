"""Frames through the engine: cropped as pinned, decoded once, refused with the field's name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from gates import IMAGE, PATIENCE_S, Gate
from siamcorr import Engine, EngineSettings
from siamcorr.answers import MapToFrame, Response
from siamcorr.arguments import Array
from siamcorr.checks import correlate_call
from siamcorr.errors import InvalidArgument, ModelNotFound, QueueFull
from siamcorr.geometry import search_crop, template_crop
from siamcorr.images import channel_mean, cut, decode
from siamcorr.ops import xcorr

BOXES = np.array([[10.0, 12.0, 9.0, 7.0], [30.5, 20.0, 12.0, 12.0], [-3.0, 40.0, 8.0, 20.0]])


@pytest.fixture
def engine() -> Iterator[Engine]:
    raw = Gate()
    raw.opened.set()
    settings = EngineSettings(device="cpu", models={}, max_jobs=4, max_image_pixels=64 * 48)
    with Engine(settings, embedders={"raw": raw}) as engine:
        yield engine
        assert engine.wait_idle(PATIENCE_S)
        engine.check_invariants()


def file(kind: str = ".png") -> bytes:
    done, encoded = cv2.imencode(kind, IMAGE)
    assert done
    return encoded.tobytes()


def by_hand(template_box: Array, search_box: Array) -> Array:
    """Crop, take the pixels as features, correlate."""
    crop, fill = Gate.crop, channel_mean(IMAGE)
    z = cut(IMAGE, template_crop(template_box, crop), crop.template_px, fill)
    x = cut(IMAGE, search_crop(search_box, crop), crop.search_px, fill)
    template, search = (torch.from_numpy(one).permute(2, 0, 1)[None].float() for one in (z, x))
    response: Array = xcorr(template, search)[0].numpy()
    return response


@pytest.mark.parametrize("image", [IMAGE, file(".png")], ids=["raw", "png"])
def test_crops_are_cut_as_pinned(engine: Engine, image: Any) -> None:
    template = engine.create_template(image=image, box=BOXES[0], model="raw")
    assert template.model == "raw"
    response = engine.correlate(template, image=image, box=BOXES[1])
    np.testing.assert_array_equal(response.map, by_hand(BOXES[0], BOXES[1]))
    assert response.timings.prepare_s > 0


def test_a_response_lies_where_its_box_is(engine: Engine) -> None:
    template = engine.create_template(image=IMAGE, box=BOXES[1], model="raw")
    place = engine.correlate(template, image=IMAGE, box=BOXES[1]).map_to_frame
    assert isinstance(place, MapToFrame)
    centre = BOXES[1, :2] + (BOXES[1, 2:] - 1) / 2
    assert place.point(row=4, col=4) == pytest.approx(tuple(centre))
    assert place.step_x == place.step_y == search_crop(BOXES[1], Gate.crop).side / Gate.crop.search_px


def test_a_frame_is_decoded_once_for_all_its_boxes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []

    def counted(image: Any, max_pixels: int) -> Any:
        decoded.append(image)
        return decode(image, max_pixels)

    monkeypatch.setattr("siamcorr.frames.decode", counted)
    templates = engine.create_templates(image=file(), boxes=BOXES, model="raw")
    assert [template.generation for template in templates] == [1, 1, 1]
    pairs = ([0, 1, 2, 0], [2, 1, 0, 0])
    responses = engine.correlate(templates, image=file(), box=BOXES, pairs=pairs)
    for response, t, s in zip(responses, *pairs, strict=True):
        np.testing.assert_array_equal(response.map, by_hand(BOXES[t], BOXES[s]))
        assert response.template == templates[t].handle
    assert len(decoded) == 2


def test_an_update_from_a_frame_uses_the_templates_own_model(engine: Engine) -> None:
    template = engine.create_template(image=IMAGE, box=BOXES[0], model="raw")
    assert engine.update_template(template, image=IMAGE, box=BOXES[1]).generation == 2
    response = engine.correlate(template, image=IMAGE, box=BOXES[2])
    np.testing.assert_array_equal(response.map, by_hand(BOXES[1], BOXES[2]))
    with pytest.raises(InvalidArgument, match="2 boxes"):
        engine.update_template(template, image=IMAGE, box=BOXES[:2])


def test_a_frame_meets_templates_made_from_features(engine: Engine) -> None:
    z = np.ones((3, 8, 8), np.float32)
    template = engine.create_template(z)
    with pytest.raises(InvalidArgument, match="made from features") as error:
        engine.correlate(template, image=IMAGE, box=BOXES[0])
    assert error.value.field == "model"
    response = engine.correlate(template, image=IMAGE, box=BOXES[0], model="raw")
    assert response.map is not None
    assert response.map.shape == (1, 9, 9)


def png_of(width: int, height: int) -> bytes:
    """Build a PNG file that is whole, and whose header promises more than any memory holds."""
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IEND", b"")]
    written = [
        len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4) for name, body in chunks
    ]
    return file(".png")[:8] + b"".join(written)


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("image", {"image": b"GIF89a" + bytes(100)}),
    ("image", {"image": file(".jpg")[:-200]}),
    ("image", {"image": file(".png")[:-20]}),
    ("image", {"image": png_of(60_000, 60_000)}),
    ("image", {"image": np.zeros((100, 100, 3), np.uint8)}),
    ("image", {"image": IMAGE.astype(np.float32)}),
    ("image", {"image": IMAGE[:, :, 0]}),
    ("image", {"image": b""}),
    ("box", {"box": (100.0, 10.0, 5.0, 5.0)}),
    ("box", {"box": (10.0, 10.0, 0.0, 5.0)}),
    ("box", {"box": (10.0, 10.0, float("nan"), 5.0)}),
    ("box", {"box": (0.0, 0.0, 9e5, 9e5)}),
    ("box", {"box": (1.0, 2.0, 3.0)}),
]


@pytest.mark.parametrize(("field", "wrong"), WRONG)
def test_what_is_wrong_is_named_and_the_engine_goes_on(
    engine: Engine, field: str, wrong: dict[str, Any]
) -> None:
    call: dict[str, Any] = {"image": IMAGE, "box": BOXES[0]} | wrong
    template = engine.create_template(image=IMAGE, box=BOXES[0], model="raw")
    for ask in (
        lambda: engine.create_template(**call, model="raw"),
        lambda: engine.correlate(template, **call),
        lambda: engine.update_template(template, **call),
    ):
        with pytest.raises(InvalidArgument) as error:
            ask()
        assert error.value.field == field
    assert engine.get_template(template).generation == 1
    engine.correlate(template, image=IMAGE, box=BOXES[0])


def test_crops_are_bounded_in_all(engine: Engine) -> None:
    template = engine.create_template(image=IMAGE, box=BOXES[0], model="raw")
    boxes = np.tile([0.0, 0.0, 2000.0, 2000.0], (300, 1))  # 8000 pixels square each
    for ask in (
        lambda: engine.correlate([template], image=IMAGE, box=boxes),
        lambda: engine.create_templates(image=IMAGE, boxes=np.tile(boxes, (4, 1)), model="raw"),
    ):
        with pytest.raises(InvalidArgument, match=r"pixels around all boxes") as error:
            ask()
        assert error.value.field == "box"


def test_an_unknown_model_is_told(engine: Engine) -> None:
    with pytest.raises(ModelNotFound, match="raw"):
        engine.create_template(image=IMAGE, box=BOXES[0])


def test_what_waits_to_be_decoded_is_bounded_and_can_be_cancelled(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Gate()

    def slow(image: Any, max_pixels: int) -> Any:
        holder.entered.set()
        assert holder.opened.wait(PATIENCE_S)
        return decode(image, max_pixels)

    template = engine.create_template(image=IMAGE, box=BOXES[0], model="raw")
    call = correlate_call(template, image=IMAGE, box=BOXES[0])
    monkeypatch.setattr("siamcorr.frames.decode", slow)
    futures: list[Future[list[Response]]] = [engine.submit_correlate(call) for _ in range(4)]
    with pytest.raises(QueueFull):
        engine.submit_correlate(call)
    assert holder.entered.wait(PATIENCE_S)
    assert all(future.cancel() for future in futures[1:])
    holder.opened.set()
    assert engine.wait_idle(PATIENCE_S)
    assert len(futures[0].result(0)) == 1
    assert engine.stats().bank.leased == 0
