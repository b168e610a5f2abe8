"""JPEG files: whoever decodes them, it is the same frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from image_files import baseline, encoded, noise, plain, progressive, saved, with_restarts
from siamcorr import images
from siamcorr.errors import InvalidArgument
from siamcorr.images import Pixels, decode

pytest.importorskip("simplejpeg", reason="OpenCV alone decodes")

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


def test_no_decoder_runs_where_it_reads_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "file_size", lambda _: (16, 16))
    for decoder in ("cv2.imdecode", "simplejpeg.decode_jpeg"):
        monkeypatch.setattr(decoder, lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(InvalidArgument, match="a file that cannot be decoded"):
        decode(baseline(), MANY)


def worse_further_on() -> bytes:
    """Return a progressive file that breaks off in its first scan, and has a marker of no length behind."""
    whole = saved(Image.fromarray(noise(256, 256)), "JPEG", progressive=True)
    first = whole.index(b"\xff\xda")
    second = whole.index(b"\xff\xda", first + 2)
    return whole[: second - 40] + b"\xff\xda\x00\x02" + whole[second:]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
@example(data=None)
def test_of_a_damaged_file_too(data: st.DataObject | None) -> None:
    """One decoder gives a frame where the other does, and the same one: nothing of it is left unwritten."""
    if data is None:
        file = worse_further_on()
    else:
        damaged = bytearray(
            data.draw(st.sampled_from([baseline(), progressive(), with_restarts(), jpeg(420)]))
        )
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        file = bytes(damaged)
    found = frame_or_none(file)
    with pytest.MonkeyPatch.context() as without:
        without.setattr(images, "simplejpeg", None)
        expected = frame_or_none(file)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        np.testing.assert_array_equal(found, expected)


def frame_or_none(file: bytes) -> Pixels | None:
    try:
        return decode(file, MANY)
    except InvalidArgument:
        return None
