"""The features without weights: their layout, their scale, and that neighbours in a batch change no bit."""

from __future__ import annotations

import pytest
import torch

from siamcorr.embed import Workers, load_model
from siamcorr.embed.hog import Hog, _cells
from siamcorr.embed.transforms import transform_of
from siamcorr.errors import InvalidArgument
from siamcorr.ops import xcorr

pytestmark = pytest.mark.usefixtures("one_thread")

HOG = Hog(torch.device("cpu"))
MIDDLE = slice(64, 191)
"""The 127 pixels in the middle of 255: the template's grid lies on the search region's there."""

WITH_UNIT_RESPONSE = ("mean", "ridge")


def texture(size_px: int, seed: int, blur: int = 8) -> torch.Tensor:
    """Return a crop (S, S, 3) of soft coloured blots."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, size_px // blur + 2, size_px // blur + 2, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size_px, size_px), mode="bicubic")
    return (smooth[0].clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def square(
    colour: tuple[int, int, int], at: tuple[int, int] = (127, 127), size_px: int = 255
) -> torch.Tensor:
    """Return a grey crop with one coloured square, 40 pixels wide, about a middle (row, col)."""
    crop = torch.full((size_px, size_px, 3), 100, dtype=torch.uint8)
    row, col = at
    crop[row - 20 : row + 21, col - 20 : col + 21] = torch.tensor(colour, dtype=torch.uint8)
    return crop


def response(around: torch.Tensor, search: torch.Tensor, transform: str = HOG.transform) -> torch.Tensor:
    """Return the naive response map (H', W') to what is in the middle of another search region."""
    made_by = transform_of(transform)
    features = HOG(around[None] if made_by.from_search else around[None, MIDDLE, MIDDLE])
    return xcorr(made_by(features, HOG.shape(127)), HOG(search[None]))[0, 0]


def peak(response_map: torch.Tensor) -> tuple[int, int]:
    row, col = divmod(int(response_map.argmax()), response_map.shape[1])
    return row, col


def test_it_is_the_embedder_called_hog() -> None:
    hog = load_model("hog", None, torch.device("cpu"), Workers(1))
    assert hog.name == "hog"
    search = texture(255, seed=1)[None]
    assert torch.equal(hog.search(search)["features"], HOG(search))
    assert hog.from_search == transform_of(HOG.transform).from_search


@pytest.mark.parametrize(("size_px", "cells"), [(127, 15), (255, 31)])
def test_the_shapes_are_as_announced(size_px: int, cells: int) -> None:
    features = HOG(torch.stack([texture(size_px, seed) for seed in range(2)]))
    assert features.shape[1:] == HOG.shape(size_px) == (20, cells, cells)
    assert features.dtype == torch.float32
    assert len(HOG(torch.empty(0, size_px, size_px, 3, dtype=torch.uint8))) == 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size_px", [127, 255])
def test_a_crop_has_the_same_bits_in_any_company(size_px: int, threads: int) -> None:
    torch.set_num_threads(threads)
    crops = torch.stack([texture(size_px, seed, blur=3) for seed in range(5)])
    together = HOG(crops)
    assert torch.equal(HOG(crops.flip(0)).flip(0), together)
    assert torch.equal(HOG(crops[1:3]), together[1:3])
    for crop, features in zip(crops, together, strict=True):
        assert torch.equal(HOG(crop[None])[0], features)


def test_the_number_of_threads_changes_no_bit() -> None:
    crops = torch.stack([texture(255, seed, blur=3) for seed in range(2)])
    one = HOG(crops)
    torch.set_num_threads(2)
    assert torch.equal(HOG(crops), one)


def test_an_autocast_region_around_it_changes_no_bit() -> None:
    crops = texture(255, seed=1)[None]
    with torch.autocast("cpu"):
        found = HOG(crops)
    assert torch.equal(found, HOG(crops))


def test_a_crop_that_is_a_view_is_read_as_it_looks() -> None:
    frame = texture(300, seed=1)
    view = frame[20:275, 30:285]
    assert torch.equal(HOG(view[None]), HOG(view.contiguous()[None]))


def test_a_template_has_the_features_that_its_place_in_a_search_region_has() -> None:
    search = texture(255, seed=1)[None]
    inner = slice(1, -1)  # at a crop's border a gradient has but one part
    template = HOG(search[:, MIDDLE, MIDDLE])[..., inner, inner]
    assert torch.allclose(template, HOG(search)[..., 8:23, 8:23][..., inner, inner], atol=1e-5)


@pytest.mark.parametrize("transform", WITH_UNIT_RESPONSE)
@pytest.mark.parametrize("seed", range(4))
def test_a_template_answers_one_to_itself_and_little_to_another(seed: int, transform: str) -> None:
    search = texture(255, seed)
    itself = response(search, search, transform)
    assert peak(itself) == (8, 8)
    assert itself.max() == pytest.approx(1, abs=0.02)
    assert response(texture(255, seed + 100), search, transform).abs().max() < 0.5


@pytest.mark.parametrize("transform", WITH_UNIT_RESPONSE)
@pytest.mark.parametrize(("rows", "cols"), [(8, 0), (0, -16), (-24, 40)])
def test_eight_pixels_are_one_cell(rows: int, cols: int, transform: str) -> None:
    search = texture(255, seed=5)
    moved = search.roll((rows, cols), dims=(0, 1))
    assert peak(response(search, moved, transform)) == (8 + rows // 8, 8 + cols // 8)


def ramp(across: int, down: int, channel: int) -> torch.Tensor:
    """Return a crop in which one channel rises by so many grey levels a pixel."""
    steps = torch.arange(127) - 63
    crop = torch.full((127, 127, 3), 128, dtype=torch.int64)
    crop[..., channel] = 128 + across * steps + down * steps[:, None]
    return crop.to(torch.uint8)


def directions(crop: torch.Tensor) -> torch.Tensor:
    """Return the 18 numbers for the directions, summed over the whole crop."""
    return _cells(crop, HOG._pools[127])[:18].sum((1, 2))


@pytest.mark.parametrize(
    ("across", "down", "strongest"),
    [(1, 0, {0}), (0, 1, {4, 5}), (-1, 0, {9}), (0, -1, {13, 14}), (1, -1, {15, 16}), (-1, 1, {6, 7})],
)
def test_directions_go_round_from_right_by_way_of_down(across: int, down: int, strongest: set[int]) -> None:
    found = directions(ramp(across, down, channel=1))
    assert set(found.topk(len(strongest)).indices.tolist()) == strongest
    assert found.sum() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("strong", [0, 1, 2])
@pytest.mark.parametrize("weak", [0, 1, 2])
def test_the_channel_with_the_strongest_gradient_decides(strong: int, weak: int) -> None:
    alone = ramp(2, 0, channel=strong)
    both = alone.clone()
    if weak != strong:
        both[..., weak] = ramp(0, 1, channel=weak)[..., weak]
    inner = (slice(None), slice(1, -1), slice(1, -1))  # at the border a gradient has but one part
    pool = HOG._pools[127]
    assert torch.equal(_cells(both, pool)[:18][inner], _cells(alone, pool)[:18][inner])


@pytest.mark.parametrize("size_px", [127, 255])
def test_the_grid_lies_in_the_middle_of_a_crop(size_px: int) -> None:
    crop = texture(size_px, seed=3)
    norms = HOG(crop[None])[0].square().sum(0)
    assert torch.allclose(HOG(crop.flip(0, 1)[None])[0].square().sum(0).flip(0, 1), norms, rtol=1e-3)


def test_no_cell_has_a_norm_above_one() -> None:
    noise = torch.randint(0, 256, (1, 255, 255, 3), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    norms = HOG(noise)[0].square().sum(0).sqrt()
    assert 0 < norms.max() <= 1 + 1e-6


def test_contrast_and_brightness_hardly_matter() -> None:
    search = texture(255, seed=7)
    paler = (search * 0.5 + 100).to(torch.uint8)
    assert response(search, paler).max() == pytest.approx(1, abs=0.2)
    assert peak(response(search, paler)) == (8, 8)


def test_hue_tells_apart_what_has_the_same_form() -> None:
    red, blue = (40, 40, 200), (200, 40, 40)
    search = square(red, at=(127, 87))
    search[107:148, 147:188] = torch.tensor(blue, dtype=torch.uint8)
    assert peak(response(square(red), search)) == (8, 3)
    assert peak(response(square(blue), search)) == (8, 13)


def test_a_dark_square_is_not_a_bright_one() -> None:
    bright, dark = square((180, 180, 180)), square((20, 20, 20))
    assert response(bright, dark).max() < 0.5


def test_an_even_surface_answers_nothing() -> None:
    even = torch.full((1, 255, 255, 3), 77, dtype=torch.uint8)
    assert not HOG(even).any()
    assert not HOG(even[:, :127, :127]).any()


@pytest.mark.parametrize(
    "crops",
    [
        torch.zeros(1, 128, 128, 3, dtype=torch.uint8),
        torch.zeros(1, 127, 255, 3, dtype=torch.uint8),
        torch.zeros(1, 3, 127, 127, dtype=torch.uint8),
        torch.zeros(127, 127, 3, dtype=torch.uint8),
        torch.zeros(1, 127, 127, 3),
    ],
)
def test_what_is_no_crop_is_refused(crops: torch.Tensor) -> None:
    with pytest.raises(
        InvalidArgument, match=r"^crops: found .* expected uint8 \(N, S, S, 3\), S being 127 or 255"
    ):
        HOG(crops)
