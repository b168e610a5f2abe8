"""JPEG files: whoever decodes them, it is the same frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from image_files import baseline, encoded, noise, plain, progressive, saved, with_restarts
from siamcorr import images
from siamcorr.errors import InvalidArgument
from siamcorr.images import decode

MANY = 10**6


def jpeg(sampling: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode(".jpg", noise(123, 157), options)[1].tobytes()


def with_bytes_too_many() -> bytes:
    return baseline().replace(b"\xff\xda", b"\0\0\0\xff\xda")


@pytest.mark.parametrize(
    "file",
    [
        *(
            jpeg(getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}"))
            for name in ("411", "420", "422", "440", "444")
        ),
        progressive(),
        with_restarts(),
        with_bytes_too_many(),
        saved(plain("CMYK"), "JPEG"),
        saved(Image.fromarray(noise(16, 24)).convert("L"), "JPEG"),
        saved(Image.fromarray(noise(16, 24)), "JPEG", keep_rgb=True),
        encoded(noise(1, 1), ".jpg"),
    ],
)
def test_whoever_decodes_a_jpeg_the_bits_are_opencvs(file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = decode(file, MANY)
    as_stored = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    np.testing.assert_array_equal(found, cv2.imdecode(np.frombuffer(file, np.uint8), as_stored))
    monkeypatch.setattr(images, "simplejpeg", None)
    np.testing.assert_array_equal(found, decode(file, MANY))


def test_what_a_frame_may_take_is_ours_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a file's size be read wrongly, what decodes it finds no room for another one."""
    monkeypatch.setattr(images, "file_size", lambda _: (16, 16))
    with pytest.raises(InvalidArgument, match="a file that cannot be decoded"):
        decode(baseline(), MANY)
