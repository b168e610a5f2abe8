"""Bicubic upsampling, and sizes read from frames' headers: what the tracker takes for given."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr_client.trackers.frame_size import frame_size
from siamcorr_client.trackers.upsample import upsample

Floats = npt.NDArray[np.float64]


def parabola(rows: Floats, cols: Floats) -> Floats:
    r, c = np.meshgrid(rows, cols, indexing="ij")
    return 3 - (r - 2.6) ** 2 - 0.5 * (c - 3.3) ** 2 + 0.2 * r * c


def smooth(cells: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((2, cells, cells + 3))


def test_a_parabola_is_reproduced_where_its_neighbours_are_known() -> None:
    rows, cols = np.arange(7.0), np.arange(9.0)
    fine = upsample(parabola(rows, cols)[None], 4)[0]
    expected = parabola(np.arange(25) / 4, np.arange(33) / 4)
    assert fine.shape == expected.shape
    assert fine[4:-4, 4:-4] == pytest.approx(expected[4:-4, 4:-4], abs=1e-12)


@given(cells=st.integers(1, 9), factor=st.integers(1, 17))
def test_each_cell_is_met_exactly(cells: int, factor: int) -> None:
    maps = smooth(cells)
    fine = upsample(maps, factor)
    assert fine.shape == (2, factor * (cells - 1) + 1, factor * (cells + 2) + 1)
    assert fine[:, ::factor, ::factor] == pytest.approx(maps, abs=1e-12)


def test_beyond_the_edge_lies_the_edges_value() -> None:
    fine = upsample(np.array([[[0.0, 1.0, 4.0, 9.0]]]), 2)
    assert fine.tolist() == [[[0.0, 0.3125, 1.0, 2.25, 4.0, 6.6875, 9.0]]]


def test_an_even_map_stays_even() -> None:
    assert upsample(np.full((1, 3, 4), 2.5), 16) == pytest.approx(2.5)


def test_mirrored_maps_give_mirrored_answers() -> None:
    maps = smooth(5)
    assert upsample(maps[:, ::-1, ::-1], 8)[:, ::-1, ::-1] == pytest.approx(upsample(maps, 8), abs=1e-12)


IMAGE = np.zeros((37, 61, 3), np.uint8)


def encode(extension: str, *options: int) -> bytes:
    return bytes(cv2.imencode(extension, IMAGE, list(options))[1])


JPEG = encode(".jpg")
EXIF = b"\xff\xe1\x00\x14Exif\0\0" + JPEG[:12]
"""A segment that holds the beginning of another JPEG file, as a thumbnail does."""

FILES = {
    "baseline": JPEG,
    "progressive": encode(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "with a thumbnail": JPEG[:2] + EXIF + JPEG[2:],
    "with a table first": JPEG[:2] + b"\xff\xc4\x00\x08tables" + JPEG[2:],
    "with fill bytes": JPEG[:2] + b"\xff\xff\xff" + JPEG[2:],
    "png": encode(".png"),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_a_files_size_is_read_from_its_header(data: bytes) -> None:
    assert frame_size(data) == (61, 37)


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_a_file_cut_short_has_its_size_or_none(data: bytes) -> None:
    sizes = [frame_size(data[:length]) for length in range(len(data))]
    assert set(sizes) == {None, (61, 37)}
    assert sizes == sorted(sizes, key=lambda size: size is not None)


@given(st.binary(max_size=64))
def test_other_bytes_are_no_reason_to_fail(data: bytes) -> None:
    frame_size(b"\xff\xd8" + data)
    assert frame_size(b"GIF89a" + data) is None


@pytest.mark.parametrize("image", [IMAGE, IMAGE[::-1]])
def test_an_arrays_size_is_width_and_height(image: Any) -> None:
    assert frame_size(image) == (61, 37)
