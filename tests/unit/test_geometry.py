"""Boxes and crops: every rounding as pinned, and response maps that point at the right place in the frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr import images
from siamcorr.answers import MapToFrame
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import (
    MAX_CROP_SIDE_PX,
    CropSettings,
    as_boxes,
    check_inside,
    iou,
    maps_to_frame,
    search_crop,
    template_crop,
)
from siamcorr.peaks import find_peaks
from siamcorr.shapes import Correlation

PX = st.floats(0.01, 2000)
BOXES = st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000), PX, PX)


@pytest.mark.parametrize("one", [(1, 2, 3, 4), [1.0, 2.0, 3.0, 4.0], np.array([1, 2, 3, 4], np.int16)])
def test_one_box_becomes_a_row_of_float64(one: Any) -> None:
    boxes = as_boxes(one)
    assert boxes.dtype == np.float64
    assert boxes.tolist() == [[1, 2, 3, 4]]


def test_boxes_are_copied_so_that_a_caller_may_go_on_with_his_own() -> None:
    own = np.array([[1.0, 2.0, 3.0, 4.0]] * 2)
    boxes = as_boxes(own)
    own[:] = 9
    assert boxes.tolist() == [[1, 2, 3, 4]] * 2


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "1,2,3,4",
        {},
        [],
        5.0,
        (1, 2, 3),
        (1, 2, 3, 4, 5),
        np.zeros((0, 4)),
        np.ones((1, 1, 4)),
        [(1, 2, 3, 4), (1, 2)],
        (1, 2, 3, "x"),
        (1, 2, 3, 4j),
        (1, 2, 3, 10**400),
        (True, True, True, True),
        (0, 0, 0, 1),
        (0, 0, 1, -1),
        (0, 0, math.nan, 1),
        (math.inf, 0, 1, 1),
        (0, -1.1e6, 1, 1),
        (0, 0, 1, 1e300),
        [(0, 0, 1, 1), (0, 0, 1, 0)],
    ],
    ids=repr,
)
def test_what_is_not_a_box_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^target: found ") as caught:
        as_boxes(bad, "target")
    assert caught.value.field == "target"
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("field", ["template_px", "search_px"])
@pytest.mark.parametrize("bad", [0, -1, 2049, 127.0, True, "127", None])
def test_crop_sizes_are_whole_pixels_within_bounds(field: str, bad: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        CropSettings(**{field: bad})
    assert caught.value.field == field


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, 17, True, "0.5", None])
def test_the_context_is_a_number_within_bounds(bad: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        CropSettings(context=bad)
    assert caught.value.field == "context"


def covered(centre: float, side: int) -> list[int]:
    """Return the first and the last pixel of a crop along one axis, in the words of the definition."""
    first = math.floor(centre - (side + 1) / 2 + 0.5)
    return [first, first + side - 1]


@given(BOXES, st.sampled_from([CropSettings(), CropSettings(context=0.0, template_px=96, search_px=287)]))
def test_crops_are_the_published_ones(box: tuple[float, ...], settings: CropSettings) -> None:
    x, y, w, h = box
    context = settings.context * (w + h)
    s_z = math.sqrt((w + context) * (h + context))
    s_x = s_z * (settings.search_px / settings.template_px)
    for crop, exact in ((template_crop(box, settings), s_z), (search_crop(box, settings), s_x)):
        side = max(1, math.floor(exact + 0.5))
        assert crop.side == side
        assert [crop.left, crop.left + crop.side - 1] == covered(x + (w - 1) / 2, side)
        assert [crop.top, crop.top + crop.side - 1] == covered(y + (h - 1) / 2, side)
        for start, centre in ((crop.left, x + (w - 1) / 2), (crop.top, y + (h - 1) / 2)):
            lean = centre - (start + (crop.side - 1) / 2)
            assert 0.5 - 1e-6 <= lean <= 1.5 + 1e-6


def test_a_side_of_a_half_is_rounded_up_and_no_side_is_below_one() -> None:
    bare = CropSettings(context=0.0, template_px=100, search_px=100)
    assert [template_crop((0, 0, side, side), bare).side for side in (1.5, 2.5, 2.49, 1e-9)] == [2, 3, 2, 1]


def test_a_crop_beyond_the_bound_is_refused_for_its_side() -> None:
    bare = CropSettings(context=0.0, search_px=254)
    assert template_crop((0, 0, MAX_CROP_SIDE_PX, MAX_CROP_SIDE_PX), bare).side == MAX_CROP_SIDE_PX
    with pytest.raises(InvalidArgument, match="whose crop has a side of 8193 pixels, expected at most 8192"):
        template_crop((0, 0, MAX_CROP_SIDE_PX + 0.5, MAX_CROP_SIDE_PX + 0.5), bare)
    with pytest.raises(InvalidArgument, match=r"^box: .* a side of 16384 pixels"):
        search_crop((0, 0, MAX_CROP_SIDE_PX, MAX_CROP_SIDE_PX), bare)


def test_crops_are_of_one_box() -> None:
    with pytest.raises(InvalidArgument, match=r"^box: found 2 boxes, expected one"):
        search_crop([(0, 0, 1, 1)] * 2, CropSettings())


@pytest.mark.parametrize("inside", [(0, 0, 1, 1), (-5, -5, 5.01, 5.01), (63.9, 47.9, 1, 1), (-9, -9, 99, 99)])
def test_a_box_with_a_part_in_the_frame_is_inside(inside: tuple[float, ...]) -> None:
    check_inside(as_boxes(inside), width=64, height=48)


@pytest.mark.parametrize("outside", [(-5, 0, 5, 5), (0, -5, 5, 5), (64, 0, 1, 1), (0, 48, 1, 1)])
def test_a_box_without_any_part_in_the_frame_is_refused(outside: tuple[float, ...]) -> None:
    with pytest.raises(InvalidArgument, match="outside, expected a box in 64x48 pixels") as caught:
        check_inside(as_boxes([(0, 0, 9, 9), outside]), width=64, height=48)
    assert caught.value.field == "box"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 4, 2), 1.0),
        ((2, 0, 4, 2), 1 / 3),
        ((1, 0.5, 2, 1), 0.25),
        ((4, 0, 4, 2), 0.0),
        ((-9, -9, 4, 2), 0.0),
    ],
)
def test_iou_of_known_boxes(other: tuple[float, ...], expected: float) -> None:
    assert iou((0, 0, 4, 2), other) == pytest.approx([expected])
    assert iou(other, (0, 0, 4, 2)) == pytest.approx([expected])


def test_iou_pairs_boxes_one_to_one() -> None:
    with pytest.raises(InvalidArgument, match=r"^b: found 2 boxes, expected 1, as in a"):
        iou((0, 0, 4, 2), [(0, 0, 4, 2)] * 2)


def placed(box: tuple[float, ...], correlation: Correlation) -> MapToFrame:
    """Return where a map of a 6x6 template on 22x22 search features of stride 8 lies."""
    shapes: dict[str, tuple[int, ...]] = {"template_shape": (9, 6, 6), "search_shape": (9, 22, 22)}
    [place] = maps_to_frame(box, CropSettings(), stride=8, correlation=correlation, **shapes)
    return place


@given(BOXES)
def test_the_middle_of_a_map_is_the_middle_of_the_box(box: tuple[float, ...]) -> None:
    view = placed(box, Correlation())
    assert view.point(row=8, col=8) == pytest.approx((box[0] + (box[2] - 1) / 2, box[1] + (box[3] - 1) / 2))


@pytest.mark.parametrize(
    ("correlation", "middle"),
    [
        (Correlation("naive", padding=(3, 0)), (11, 8)),
        (Correlation("depthwise", stride=(2, 4)), (4, 2)),
        (Correlation("naive", dilation=(2, 1)), (5.5, 8)),
        (Correlation("pixelwise"), (10.5, 10.5)),
    ],
)
def test_padding_stride_and_dilation_move_the_middle(
    correlation: Correlation, middle: tuple[float, float]
) -> None:
    view = placed((10, 20, 31, 41), correlation)
    assert view.point(*middle) == pytest.approx((25, 40))


def test_a_cell_is_as_many_frame_pixels_as_its_share_of_the_crop() -> None:
    view = placed((10, 20, 31, 41), Correlation(stride=(1, 2)))
    pixel = search_crop((10, 20, 31, 41), CropSettings()).side / 255
    assert (view.step_x, view.step_y) == pytest.approx((16 * pixel, 8 * pixel))


def blob(centre: tuple[float, float], sigma: float) -> npt.NDArray[np.uint8]:
    """Return a dark frame of 240x320 with a bright spot whose middle is at (x, y) = ``centre``."""
    rows, cols = np.mgrid[:240, :320]
    square = (cols - centre[0]) ** 2 + (rows - centre[1]) ** 2
    return np.repeat((20 + 200 * np.exp(-square / (2 * sigma**2)))[:, :, None], 3, axis=2).astype(np.uint8)


def features(crop: npt.NDArray[np.uint8], stride: int) -> npt.NDArray[np.float64]:
    """Return the means of ``stride`` by ``stride`` pixels above the background, (h, w)."""
    cells = len(crop) // stride
    grey = crop[: cells * stride, : cells * stride, 0].astype(np.float64) - 20
    return np.asarray(grey.reshape(cells, stride, cells, stride).mean(axis=(1, 3)), np.float64)


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("size", [(40, 40), (31, 24), (22.5, 37.5)])
@pytest.mark.parametrize("moved", [(0, 0), (13, -9), (-20.5, 17.25)])
def test_a_target_that_moved_is_found_where_it_is(
    stride: int, size: tuple[float, float], moved: tuple[float, float]
) -> None:
    settings = CropSettings()
    (w, h), centre = size, (150.0, 118.5)
    box = (centre[0] - (w - 1) / 2, centre[1] - (h - 1) / 2, w, h)
    target = (centre[0] + moved[0], centre[1] + moved[1])
    view, peak = tracked(blob(centre, min(size) / 5), blob(target, min(size) / 5), box, settings, stride)
    x, y = view.point(*peak)
    half_a_cell = view.step_x / 2
    assert abs(x - target[0]) < half_a_cell
    assert abs(y - target[1]) < half_a_cell


def tracked(
    first: npt.NDArray[np.uint8],
    second: npt.NDArray[np.uint8],
    box: tuple[float, ...],
    settings: CropSettings,
    stride: int,
) -> tuple[MapToFrame, tuple[float, float]]:
    """Return the map's place in ``second`` and the cell of the template of ``first`` in it."""
    fill = np.full(3, 20, np.uint8)
    template = features(images.cut(first, template_crop(box, settings), settings.template_px, fill), stride)
    search = features(images.cut(second, search_crop(box, settings), settings.search_px, fill), stride)
    windows = np.lib.stride_tricks.sliding_window_view(search, template.shape)
    peak = find_peaks(np.einsum("ijhw,hw->ij", windows, template)[None])[0]
    [view] = maps_to_frame(
        box,
        settings,
        stride=stride,
        correlation=Correlation("naive"),
        template_shape=(1, *template.shape),
        search_shape=(1, *search.shape),
    )
    return view, (peak.row, peak.col)
