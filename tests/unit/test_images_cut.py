"""Crops: equal to those of a padded frame, filled with a mean that is exact."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamcorr.geometry import Crop
from siamcorr.images import Pixels, channel_mean, cut


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_the_mean_is_exact_and_rounded_down(height: int, width: int, seed: int) -> None:
    frame = noise(height, width, seed)
    exact = [sum(frame[:, :, channel].ravel().tolist()) // (height * width) for channel in range(3)]
    mean = channel_mean(frame)
    assert mean.dtype == np.uint8
    assert mean.tolist() == exact


@pytest.mark.parametrize("value", [49, 98, 107, 255])
def test_the_mean_of_one_colour_is_that_colour(value: int) -> None:
    assert channel_mean(np.full((7, 7, 3), value, np.uint8)).tolist() == [value] * 3


def padded_cut(frame: Pixels, crop: Crop, size_px: int, fill: Pixels) -> Pixels:
    """Cut in the slow way: pad the whole frame on all sides until the crop lies inside."""
    height, width = frame.shape[:2]
    margin = max(-crop.left, -crop.top, crop.left + crop.side - width, crop.top + crop.side - height, 0)
    padded = np.empty((height + 2 * margin, width + 2 * margin, 3), np.uint8)
    padded[:] = fill
    padded[margin : margin + height, margin : margin + width] = frame
    top, left = crop.top + margin, crop.left + margin
    patch = np.ascontiguousarray(padded[top : top + crop.side, left : left + crop.side])
    return np.asarray(cv2.resize(patch, (size_px, size_px), interpolation=cv2.INTER_LINEAR), np.uint8)


EDGES = st.integers(-70, 70)


@settings(max_examples=300)
@given(EDGES, EDGES, st.integers(1, 90), st.sampled_from([1, 31, 64]), st.integers(0, 3))
def test_a_crop_is_that_of_the_padded_frame(left: int, top: int, side: int, size_px: int, seed: int) -> None:
    frame = noise(40, 56, seed)
    crop, fill = Crop(left, top, side), channel_mean(frame)
    found = cut(frame, crop, size_px, fill)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, padded_cut(frame, crop, size_px, fill))


def test_a_crop_outside_the_frame_is_fill_alone() -> None:
    fill = np.array([1, 2, 3], np.uint8)
    for left, top in ((-8, 0), (0, -8), (56, 0), (0, 40), (10**6, -(10**6))):
        found = cut(noise(40, 56), Crop(left, top, 8), 5, fill)
        np.testing.assert_array_equal(found, np.broadcast_to(fill, (5, 5, 3)))


def test_a_crop_is_never_a_view_of_the_frame() -> None:
    frame = noise(40, 56)
    assert not np.shares_memory(cut(frame, Crop(4, 4, 31), 31, channel_mean(frame)), frame)


def test_only_the_crop_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    real: Any = cv2.copyMakeBorder

    def spy(patch: Pixels, *border: Any, **options: Any) -> Any:
        sizes.append(patch.shape[:2])
        return real(patch, *border, **options)

    monkeypatch.setattr(cv2, "copyMakeBorder", spy)
    frame = noise(400, 560)
    cut(frame, Crop(-10, 390, 20), 20, channel_mean(frame))
    cut(frame, Crop(10, 30, 20), 20, channel_mean(frame))
    assert sizes == [(10, 10)]
