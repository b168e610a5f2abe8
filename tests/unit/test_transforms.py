"""Template transforms: against the regression solved as written, and where their responses peak."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from siamcorr.embed.transforms import TRANSFORMS, transform_of
from siamcorr.errors import InvalidArgument
from siamcorr.ops import xcorr
from siamcorr_client.trackers.upsample import upsample

pytestmark = pytest.mark.usefixtures("one_thread")

Floats = npt.NDArray[np.float64]

RIDGE, MEAN = transform_of("ridge"), transform_of("mean")
SIZES = [((9, 9), (5, 5)), ((12, 12), (5, 5)), ((11, 11), (6, 6)), ((10, 13), (4, 6)), ((9, 12), (9, 5))]
"""Of crops and templates in cells: margins that are even, odd, mixed, and none."""


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def blots(rows: int, cols: int, down: float = 0.0, right: float = 0.0) -> torch.Tensor:
    """Return features (1, 6, rows, cols): soft blots about the middle, all moved by so many cells."""
    generator = np.random.default_rng(5)
    y, x = np.arange(rows) - (rows - 1) / 2 - down, np.arange(cols) - (cols - 1) / 2 - right
    features = np.zeros((6, rows, cols))
    for off_y, off_x in generator.uniform(-2.5, 2.5, (9, 2)):
        spot = np.exp(-((y - off_y)[:, None] ** 2 + (x - off_x) ** 2) / 3)
        features += generator.normal(size=(6, 1, 1)) * spot
    return torch.from_numpy(features[None]).to(torch.float32)


def gaussian(rows: Floats, cols: Floats, sigmas: tuple[float, float]) -> Floats:
    down, right = (np.exp(-0.5 * (d / s) ** 2) for d, s in zip((rows, cols), sigmas, strict=True))
    return np.asarray(np.outer(down, right), np.float64)


def solved(features: Floats, size: tuple[int, int]) -> Floats:
    """Return the ridge template of (C, H, W) by a dense solve over all its circular shifts."""
    (_, height, width), (rows, cols) = features.shape, size
    middles = (np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2)
    cells = features * gaussian(*middles, (0.25 * rows, 0.25 * cols))
    top, left = (height - rows) // 2, (width - cols) // 2
    off = (height - rows) / 2 - top, (width - cols) / 2 - left
    shifts = [
        (i, j)
        for i in range(-(height // 2), (height + 1) // 2)
        for j in range(-(width // 2), (width + 1) // 2)
    ]
    seen = np.stack([np.roll(cells, (-i, -j), axis=(1, 2)).ravel() for i, j in shifts])
    wanted = np.array(
        [
            gaussian(np.array([i - off[0]]), np.array([j - off[1]]), (0.08 * rows, 0.08 * cols))[0, 0]
            for i, j in shifts
        ]
    )
    penalty = 0.1 * (cells**2).sum()
    dual = np.linalg.solve(seen @ seen.T + penalty * np.eye(len(shifts)), wanted)
    middle = (slice(None), slice(top, top + rows), slice(left, left + cols))
    template = (seen.T @ dual).reshape(features.shape)[middle]
    scale = wanted[shifts.index((0, 0))] / (template * features[middle]).sum()
    return np.asarray(template * scale, np.float64)


def response(template: torch.Tensor, search: torch.Tensor) -> Floats:
    """Return the naive response (H', W'), upsampled 16 times."""
    return np.asarray(upsample(xcorr(template, search)[0].numpy(), factor=16)[0], np.float64)


def peak(fine: Floats) -> tuple[float, float]:
    """Return the row and column of the peak, in cells."""
    row, col = divmod(int(fine.argmax()), fine.shape[1])
    return row / 16, col / 16


@pytest.mark.parametrize(("crop", "size"), SIZES)
def test_ridge_is_the_regression_over_all_circular_shifts(
    crop: tuple[int, int], size: tuple[int, int]
) -> None:
    features = noise(2, 3, *crop)
    found = RIDGE(features, (3, *size))
    for template, one in zip(found, features, strict=True):
        expected = solved(one.double().numpy(), size)
        assert np.abs(template.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -3), (0.5, 0.25), (-1.3, 0.7)])
@pytest.mark.parametrize("size", [(9, 9), (10, 10), (9, 10)])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_response_peaks_where_the_target_is(
    name: str, size: tuple[int, int], down: float, right: float
) -> None:
    transform = transform_of(name)
    around = blots(21, 21) if transform.from_search else blots(*size)
    template = transform(around, (6, *size))
    row, col = peak(response(template, blots(21, 21, down, right)))
    assert row == pytest.approx((21 - size[0]) / 2 + down, abs=0.2)
    assert col == pytest.approx((21 - size[1]) / 2 + right, abs=0.2)


@pytest.mark.parametrize("size", [(9, 9), (10, 10), (9, 10)])
def test_ridge_answers_to_itself_with_a_gaussian_of_height_one(size: tuple[int, int]) -> None:
    found = xcorr(RIDGE(blots(21, 21), (6, *size)), blots(21, 21))[0, 0].numpy()
    off = [np.array([(21 - cells) % 2 / 2]) for cells in size]
    expected = gaussian(off[0], off[1], (0.08 * size[0], 0.08 * size[1]))
    assert found[(21 - size[0]) // 2, (21 - size[1]) // 2] == pytest.approx(expected[0, 0], abs=1e-5)


def test_mean_answers_one_to_itself() -> None:
    found = xcorr(MEAN(blots(9, 9), (6, 9, 9)), blots(21, 21))[0, 0].numpy()
    assert found[6, 6] == pytest.approx(1, abs=1e-5)


def test_ridge_answers_more_sharply_than_mean() -> None:
    around = blots(31, 31)
    wide, sharp = MEAN(around[..., 8:23, 8:23], (6, 15, 15)), RIDGE(around, (6, 15, 15))
    ring = np.ones((17, 17), bool)
    ring[6:11, 6:11] = False  # what is 3 cells or more beside the peak
    apart = [np.abs(xcorr(template, around)[0, 0].numpy()[ring]).max() for template in (wide, sharp)]
    assert apart[1] < 0.5 * apart[0]


def test_mean_is_deaf_to_what_is_alike_everywhere() -> None:
    template = MEAN(noise(1, 6, 15, 15) + 3, (6, 15, 15))
    assert xcorr(template, torch.ones(1, 6, 31, 31)).abs().max() < 1e-4


def test_none_leaves_features_as_they_are() -> None:
    features = noise(2, 6, 8, 8)
    assert torch.equal(transform_of("none")(features, (6, 8, 8)), features)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_template_has_the_same_bits_in_any_company(name: str, threads: int) -> None:
    transform = transform_of(name)
    cells = 82 if transform.from_search else 42
    features, shape = noise(4, 32, cells, cells), (32, 42, 42)
    alone = [transform(one[None], shape)[0] for one in features]
    torch.set_num_threads(threads)
    assert torch.equal(transform(features, shape), torch.stack(alone))
    assert torch.equal(transform(features.flip(0), shape).flip(0), torch.stack(alone))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_an_autocast_region_around_it_changes_no_bit(name: str) -> None:
    transform = transform_of(name)
    features = noise(1, 6, 8, 8)
    with torch.autocast("cpu"):
        found = transform(features, (6, 8, 8))
    assert torch.equal(found, transform(features, (6, 8, 8)))


@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-8, 1.0, 1e6])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_an_even_crop_makes_finite_templates(name: str, level: float) -> None:
    template = transform_of(name)(torch.full((1, 6, 15, 15), level), (6, 15, 15))
    assert template.dtype == torch.float32
    assert template.isfinite().all()
    assert level or not template.any()


@pytest.mark.parametrize(("transform", "scale"), [(MEAN, 1e4), (RIDGE, 1e4), (RIDGE, 0.1)])
def test_the_scale_of_features_decides_nothing(transform: Any, scale: float) -> None:
    features = blots(15, 15)
    template = transform(features, (6, 15, 15))
    scaled = transform(features * scale, (6, 15, 15))
    assert (scaled * scale - template).abs().max() <= 1e-4 * template.abs().max()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_no_crops_make_no_templates(name: str) -> None:
    assert transform_of(name)(torch.empty(0, 6, 15, 15), (6, 15, 15)).shape == (0, 6, 15, 15)


@pytest.mark.parametrize("name", ["", "Ridge", "ridge ", None, 7])
def test_an_unknown_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidArgument, match="expected one of none, mean, ridge") as caught:
        transform_of(name)
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("none", (1, 6, 9, 8)),
        ("mean", (6, 8, 8)),
        ("mean", (1, 5, 8, 8)),
        ("ridge", (1, 6, 7, 30)),
        ("ridge", (1, 6, 30, 7)),
        ("ridge", (1, 5, 30, 30)),
    ],
)
def test_features_that_make_no_such_template_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"^features: found shape") as caught:
        transform_of(name)(torch.zeros(shape), (6, 8, 8))
    assert caught.value.field == "features"
