"""Frames: what is decoded and to what, and what is refused."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from image_files import (
    BGR,
    baseline,
    compressed,
    encoded,
    noise,
    plain,
    png,
    png_header,
    progressive,
    saved,
    with_restarts,
    with_text,
)
from siamcorr.errors import InvalidArgument
from siamcorr.images import Pixels, decode

MANY = 10**6


FILES = pytest.mark.parametrize("file", [baseline, progressive, with_restarts, compressed, with_text])


def test_a_png_comes_out_as_it_went_in() -> None:
    pixels = noise(48, 64)
    found = decode(encoded(pixels, ".png"), MANY)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(
    ("file", "tolerance"),
    [
        (saved(plain(), "JPEG", quality=95), 2),
        (saved(plain(), "JPEG", progressive=True), 2),
        (saved(plain("CMYK"), "JPEG"), 3),
        (saved(plain().quantize(4), "PNG"), 0),
        (saved(plain("RGBA"), "PNG"), 0),
        (encoded(np.full((16, 24, 4), (*BGR, 0), np.uint8), ".png"), 0),
        (encoded(np.full((16, 24, 3), BGR, np.uint16) * 257, ".png"), 0),
    ],
    ids=["jpeg", "progressive", "cmyk", "palette", "alpha", "transparent", "16 bit"],
)
def test_every_colour_file_becomes_bgr_of_8_bits(file: bytes, tolerance: int) -> None:
    found = decode(file, MANY)
    assert found.shape == (16, 24, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - BGR).max() <= tolerance


@pytest.mark.parametrize(
    "file",
    [
        saved(Image.new("L", (24, 16), 77), "JPEG", quality=95),
        saved(Image.new("L", (24, 16), 77), "PNG"),
        saved(Image.new("LA", (24, 16), (77, 3)), "PNG"),
        encoded(np.full((16, 24), 77 * 257, np.uint16), ".png"),
    ],
    ids=["jpeg", "png", "alpha", "16 bit"],
)
def test_every_grey_file_becomes_three_equal_channels(file: bytes) -> None:
    np.testing.assert_array_equal(decode(file, MANY), np.full((16, 24, 3), 77, np.uint8))


def test_the_orientation_in_the_metadata_is_ignored() -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    assert decode(saved(plain(), "JPEG", exif=turned), MANY).shape == (16, 24, 3)
    assert decode(saved(plain(), "PNG", exif=turned), MANY).shape == (16, 24, 3)


@FILES
def test_a_file_cut_at_any_length_is_refused_in_silence(file: Any, capfd: pytest.CaptureFixture[str]) -> None:
    whole = file()
    for length in range(len(whole)):
        with pytest.raises(InvalidArgument) as caught:
            decode(whole[:length], MANY)
        assert caught.value.field == "image"
    assert capfd.readouterr() == ("", "")


@FILES
def test_bytes_behind_the_end_are_allowed(file: Any) -> None:
    expected = decode(file(), MANY)
    for tail in (b"\0", b"\xff\xd9", b"\xff\xd8\xff\xe0trailer", bytes(999)):
        np.testing.assert_array_equal(decode(file() + tail, MANY), expected)


def test_a_thumbnail_in_the_metadata_is_neither_the_size_nor_the_end() -> None:
    thumbnail = encoded(noise(8, 8), ".jpg")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    file = baseline()[:2] + segment + baseline()[2:]
    np.testing.assert_array_equal(decode(file, MANY), decode(baseline(), MANY))
    with pytest.raises(InvalidArgument, match="without an end marker"):
        decode(file[:-2], MANY)


def taken_apart() -> tuple[bytes, bytes, bytes, bytes]:
    """Return a JPEG file before its frame header, the header, the tables behind it, and the rest."""
    whole = baseline()
    frame, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    tables = frame + 2 + int.from_bytes(whole[frame + 2 : frame + 4])
    return whole[:frame], whole[frame:tables], whole[tables:scan], whole[scan:]


def test_a_jpeg_may_have_its_tables_before_its_frame_header() -> None:
    start, header, tables, scan = taken_apart()
    assert tables.startswith(b"\xff\xc4")
    np.testing.assert_array_equal(decode(start + tables + header + scan, MANY), decode(baseline(), MANY))


def oversized_jpeg(*, and_small: bool) -> bytes:
    start, header, tables, scan = taken_apart()
    oversized = header[:5] + struct.pack(">HH", 60000, 60000) + header[9:]
    return start + oversized + (header if and_small else b"") + tables + scan


@pytest.mark.parametrize(
    "file",
    [
        png(png_header(60000, 60000), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")),
        oversized_jpeg(and_small=False),
        oversized_jpeg(and_small=True),
        np.broadcast_to(np.zeros(3, np.uint8), (60000, 60000, 3)),
    ],
    ids=["png", "jpeg", "jpeg with two headers", "array"],
)
def test_too_many_pixels_are_refused_before_anything_is_decoded(
    file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for decoder in ("cv2.imdecode", "simplejpeg.decode_jpeg"):
        monkeypatch.setattr(decoder, lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(InvalidArgument, match=r"^image: found 60000x60000 pixels, expected 1 to 1000000 pix"):
        decode(file, MANY)


@FILES
def test_the_bound_on_pixels_is_met_exactly(file: Any) -> None:
    height, width = decode(file(), MANY).shape[:2]
    decode(file(), height * width)
    with pytest.raises(InvalidArgument):
        decode(file(), height * width - 1)


IEND = (b"IEND", b"")


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (b"", "0 bytes that begin with b''"),
        (b"P6 1 1 255 abc", "14 bytes that begin with b'P6 1 1 2'"),
        (encoded(noise(9, 9), ".bmp"), "begin with b'BM"),
        (encoded(noise(9, 9), ".webp"), "begin with b'RIFF"),
        (encoded(noise(9, 9), ".tiff"), "begin with b'II"),
        (b"\xff\xd8\xff\xd9", "a JPEG file without a frame header"),
        (png(IEND), "a PNG file that begins with chunk b'IEND'"),
        (png(png_header(0, 5), IEND), "0x5 pixels"),
        (png(png_header(5, 5), IEND), "a file that cannot be decoded"),
        (compressed().replace(b"IDAT", b"iDAT"), "a PNG file with a damaged chunk b'iDAT'"),
        (baseline().replace(b"\xff\xda", b"\xff\xfe"), "a file that cannot be decoded"),
    ],
)
def test_what_is_no_whole_jpeg_or_png_file_is_refused(file: bytes, found: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(file, MANY)
    assert found in str(caught.value)
    assert caught.value.field == "image"


def test_a_flipped_bit_anywhere_in_a_png_is_seen() -> None:
    whole = compressed()
    for position in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        with pytest.raises(InvalidArgument):
            decode(bytes(flipped), MANY)


def frame_or_error(file: bytes, max_pixels: int) -> Pixels | InvalidArgument:
    try:
        return decode(file, max_pixels)
    except InvalidArgument as error:
        return error


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_jpeg_gives_a_frame_or_a_named_error(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([baseline(), progressive(), with_restarts()])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = frame_or_error(bytes(whole), 4096)
    if isinstance(found, InvalidArgument):
        assert found.field == "image"
    else:
        assert found.dtype == np.uint8
        assert found.shape[0] * found.shape[1] <= 4096


def test_a_frame_is_passed_on_and_copied_only_where_it_must() -> None:
    frame = noise(48, 64)
    assert decode(frame, MANY) is frame
    flipped = decode(frame[:, :, ::-1], MANY)
    assert flipped.flags.c_contiguous
    np.testing.assert_array_equal(flipped, frame[:, :, ::-1])


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "frame.jpg",
        [[[1, 2, 3]]],
        noise(4, 4)[:, :, 0],
        noise(4, 4)[:, :, :1],
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
    ids=lambda bad: f"{type(bad).__name__}{getattr(bad, 'shape', '')}",
)
def test_what_is_no_frame_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^image: found ") as caught:
        decode(bad, MANY)
    assert caught.value.field == "image"


def test_millions_of_empty_segments_are_not_walked() -> None:
    empty_segments = b"\xff\xfe\x00\x02" * 70_000
    with pytest.raises(InvalidArgument, match="more segments"):
        decode(b"\xff\xd8" + empty_segments + b"\xff\xd9", MANY)
    empty_chunk = (0).to_bytes(4) + b"tEXt" + zlib.crc32(b"tEXt").to_bytes(4)
    with pytest.raises(InvalidArgument, match="more chunks"):
        decode(b"\x89PNG\r\n\x1a\n" + empty_chunk * 70_000, MANY)
