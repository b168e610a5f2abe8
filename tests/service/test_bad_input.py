"""Bad input is answered with the right code and a message that names the field, and hurts nobody else."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from grpc import StatusCode

from gates import IMAGE
from servers import Refusal, RunningServer, Stubs, serving
from siamcorr import EngineSettings
from siamcorr.checks import correlate_call, create_call
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.v1.template_service_pb2 import CreateTemplateRequest
from siamcorr.v1.tensor_pb2 import DATA_TYPE_UINT8
from whole_messages import correlate_request, create_request

Z = np.random.default_rng(0).standard_normal((8, 3, 3), np.float32)
X = np.random.default_rng(1).standard_normal((8, 7, 7), np.float32)
BOX = (20.0, 12.0, 10.0, 14.0)

Change = Callable[[pb.CorrelateRequest], None]


def set_shape(*sizes: int) -> Change:
    def change(request: pb.CorrelateRequest) -> None:
        request.features.shape[:] = sizes

    return change


def features(x: Any) -> Change:
    return lambda request: request.MergeFrom(correlate_request(correlate_call("x", features=x)))


def poison(value: float) -> Change:
    def change(request: pb.CorrelateRequest) -> None:
        request.payload = request.payload[:-4] + struct.pack("<f", value)

    return change


def replaced(name: str, value: Any) -> Change:
    def change(request: pb.CorrelateRequest) -> None:
        *path, last = name.split(".")
        target = request
        for step in path:
            target = getattr(target, step)
        setattr(target, last, value)

    return change


def searching(x: Any) -> Change:
    def change(request: pb.CorrelateRequest) -> None:
        handle = request.templates[0]
        request.CopyFrom(correlate_request(correlate_call(handle, features=x)))

    return change


BAD_CALLS: dict[str, tuple[Change, str]] = {
    "shape of another size": (set_shape(1, 8, 7, 8), "features.length_bytes"),
    "shape of one axis": (set_shape(392), "features"),
    "no axes": (set_shape(), "features.shape"),
    "nine axes": (set_shape(1, 1, 1, 1, 1, 1, 8, 7, 7), "features.shape"),
    "zero size": (set_shape(1, 8, 0, 7), "features.shape"),
    "a size that overflows": (set_shape(1 << 63, 1 << 63, 8, 8), "features.shape"),
    "dtype of pixels": (replaced("features.dtype", DATA_TYPE_UINT8), "features"),
    "no dtype": (replaced("features.dtype", 0), "features"),
    "unknown dtype": (replaced("features.dtype", 99), "features"),
    "other byte count": (replaced("features.length_bytes", 8), "features.length_bytes"),
    "other offset": (replaced("features.offset_bytes", 4), "features.offset_bytes"),
    "payload too short": (replaced("payload", b"123"), "payload"),
    "payload too long": (replaced("payload", bytes(8 * 7 * 7 * 4 + 1)), "payload"),
    "NaN": (poison(float("nan")), "features"),
    "infinity": (poison(float("-inf")), "features"),
    "template larger than search": (searching(X[:, :2]), "template"),
    "other channels": (searching(X[:4]), "template"),
    "kind 0": (replaced("correlation.kind", 0), "kind"),
    "kind 99": (replaced("correlation.kind", 99), "kind"),
    "groups without need": (replaced("correlation.groups", 2), "groups"),
    "stride 0": (replaced("correlation.stride.rows", 0), "stride"),
    "padding beyond reason": (replaced("correlation.padding.cols", 1 << 31), "padding"),
    "gain NaN": (replaced("correlation.gain", float("nan")), "gain"),
    "output 99": (replaced("output.kind", 99), "output"),
    "map of pixels": (replaced("output.map_dtype", DATA_TYPE_UINT8), "map_dtype"),
    "too many peaks": (replaced("output.top_k", 1025), "top_k"),
    "unknown tensor": (replaced("tensor_name", "loc"), "tensor"),
    "name too long": (replaced("tensor_name", "x" * 65), "tensor"),
    "no template": (lambda request: request.ClearField("templates"), "template"),
    "no search": (lambda request: request.ClearField("features"), "payload"),
    "pair out of range": (lambda request: request.template_index.__setitem__(0, 7), "pairs"),
    "pairs of two lengths": (lambda request: request.search_index.append(0), "pairs"),
}


@pytest.fixture
def good(server: RunningServer, stubs: Stubs) -> pb.CorrelateRequest:
    """Return a request that is answered; after the test it is answered still."""
    (template,) = stubs.create(Z)
    return correlate_request(correlate_call(template, features=X))


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_correlation_is_refused_and_names_the_field(
    stubs: Stubs, good: pb.CorrelateRequest, case: str
) -> None:
    change, field = BAD_CALLS[case]
    bad = pb.CorrelateRequest()
    bad.CopyFrom(good)
    change(bad)
    refusal = Refusal.of(stubs.correlation.Correlate, bad)
    assert refusal.code is StatusCode.INVALID_ARGUMENT, refusal
    assert refusal.violations == [field]
    assert refusal.metadata == {"field": field}
    assert refusal.message.startswith(field)
    assert ": found " in refusal.message
    assert ", expected " in refusal.message
    assert len(refusal.message) < 400
    assert refusal.trailers["grpc-retry-pushback-ms"] == "-1"
    assert len(stubs.correlation.Correlate(good).results) == 1, "the next call is answered"


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file that says it is so large, and has no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


JPEG = cv2.imencode(".jpg", IMAGE)[1].tobytes()

BAD_FRAMES: dict[str, tuple[dict[str, Any], str]] = {
    "a truncated JPEG": ({"image": JPEG[: len(JPEG) // 2]}, "image"),
    "a JPEG of which only the start is there": ({"image": JPEG[:3]}, "image"),
    "a file of another kind": ({"image": b"GIF89a" + bytes(100)}, "image"),
    "a PNG of 60,000 x 60,000": ({"image": png_header(60_000, 60_000)}, "image"),
    "a box outside of the frame": ({"boxes": (200.0, 12.0, 10.0, 14.0)}, "box"),
    "one box of two outside": ({"boxes": [BOX, (-50.0, 12.0, 10.0, 14.0)]}, "box"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_bad_frame_is_refused_and_names_the_field(stubs: Stubs, case: str) -> None:
    change, field = BAD_FRAMES[case]
    frame: dict[str, Any] = {"image": IMAGE, "boxes": BOX, "model": "gate"} | change
    refusal = Refusal.of(stubs.create, **frame)
    assert refusal.code is StatusCode.INVALID_ARGUMENT, refusal
    assert (refusal.violations, refusal.reason) == ([field], "INVALID_ARGUMENT")
    assert len(stubs.create(image=JPEG, boxes=BOX, model="gate")) == 1


@pytest.mark.parametrize(
    ("box", "field"),
    [
        ({"width": 0.0}, "box"),
        ({"height": -1.0}, "box"),
        ({"x": float("nan")}, "box"),
        ({"width": float("inf")}, "box"),
        ({"width": 1e30}, "box"),
    ],
)
def test_a_bad_box_is_refused(stubs: Stubs, box: dict[str, float], field: str) -> None:
    request = create_request(create_call(image=IMAGE, boxes=BOX, model="gate"))
    for name, value in box.items():
        setattr(request.frame.boxes[0], name, value)
    refusal = Refusal.of(stubs.templates.CreateTemplate, request)
    assert (refusal.code, refusal.violations) == (StatusCode.INVALID_ARGUMENT, [field])


def test_a_frame_without_boxes_or_of_other_axes_is_refused(stubs: Stubs) -> None:
    request = create_request(create_call(image=IMAGE, boxes=BOX, model="gate"))
    boxes = list(request.frame.boxes)
    del request.frame.boxes[:]
    assert Refusal.of(stubs.templates.CreateTemplate, request).violations == ["box"]
    request.frame.boxes.extend(boxes)
    request.frame.image.shape[:] = (48 * 64, 3)
    assert Refusal.of(stubs.templates.CreateTemplate, request).violations == ["image"]


def test_an_unknown_model_and_no_source_are_refused(stubs: Stubs) -> None:
    unknown = Refusal.of(stubs.create, image=IMAGE, boxes=BOX, model="resnet")
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    empty = Refusal.of(stubs.templates.CreateTemplate, CreateTemplateRequest())
    assert (empty.code, empty.violations) == (StatusCode.INVALID_ARGUMENT, ["features"])


@pytest.mark.parametrize("handle", ["", "x" * 1000, "line\nbreak", "\x00"])
def test_what_cannot_be_a_handle_is_refused(stubs: Stubs, good: pb.CorrelateRequest, handle: str) -> None:
    good.templates[0] = handle
    refusal = Refusal.of(stubs.correlation.Correlate, good)
    assert (refusal.code, refusal.violations) == (StatusCode.INVALID_ARGUMENT, ["template"])


@pytest.mark.parametrize("garbage", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x07"])
def test_bytes_that_are_no_message_are_refused(
    stubs: Stubs, good: pb.CorrelateRequest, garbage: bytes
) -> None:
    for method in ("CorrelationService/Correlate", "TemplateService/GetTemplate"):
        raw: Any = stubs.channel.unary_unary(f"/siamcorr.v1.{method}")
        refusal = Refusal.of(raw, garbage)
        assert (refusal.code, refusal.violations) == (StatusCode.INVALID_ARGUMENT, ["message"])
        assert refusal.message.startswith(f"message: found {len(garbage)} bytes that cannot be parsed")
    assert len(stubs.correlation.Correlate(good).results) == 1


def test_messages_over_the_limit_are_refused_in_both_directions() -> None:
    with serving(max_message_bytes=20_000) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(Z)
            large = np.zeros((8, 8, 12, 12), np.float32)
            request = Refusal.of(stubs.correlate, [template], features=large)
            assert request.code is StatusCode.RESOURCE_EXHAUSTED
            assert "larger than max" in request.message
            pairs = ([0] * 20, [0] * 20)
            wide = np.zeros((8, 19, 19), np.float32)
            response = Refusal.of(stubs.correlate, [template], features=wide, pairs=pairs)
            assert (response.code, response.violations) == (StatusCode.INVALID_ARGUMENT, ["output"])
            assert len(stubs.correlate([template], features=wide, pairs=pairs, output="peaks")) == 20


def test_nonfinite_features_are_computed_with_where_that_is_allowed() -> None:
    with serving(EngineSettings(device="cpu", models={}, check_finite=False)) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (response,) = stubs.correlate(stubs.create(Z)[0], features=np.full_like(X, np.nan))
    assert response.map is not None
    assert np.isnan(response.map).all()
