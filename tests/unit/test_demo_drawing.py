"""What the demo draws: it belongs where it is, and nothing fails at a border."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from siamcorr.answers import MapToFrame
from siamcorr.errors import InvalidArgument
from siamcorr_demo.drawing import Painter
from siamcorr_demo.heat import lay_heat, strength
from siamcorr_demo.marks import colour_of, cross, label, note, outline
from siamcorr_demo.sight import Sight
from siamcorr_demo.text import put_text, text_width
from siamcorr_demo.video import write_picture

Pixels = npt.NDArray[np.uint8]

IMAGE = np.full((120, 160, 3), 90, np.uint8)
HEADER_PX = 32


def hill(row: int, col: int, side: int = 17) -> npt.NDArray[np.float32]:
    rows, cols = np.mgrid[:side, :side]
    return np.asarray(np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 4), np.float32)


def sight(x: float, y: float, w: float = 20.0, h: float = 16.0, **fields: object) -> Sight:
    return Sight(np.array([x, y, w, h]), **fields)  # type: ignore[arg-type]


FINITE = st.floats(-1e6, 1e6)


@settings(max_examples=30, deadline=None)
@given(x=FINITE, y=FINITE, w=st.floats(0.01, 1e6), h=st.floats(0.01, 1e6), step=st.floats(0.01, 1e4))
def test_nothing_fails_wherever_the_target_is(x: float, y: float, w: float, h: float, step: float) -> None:
    painter = Painter(IMAGE, [np.array([10.0, 10, 20, 20])])
    way, truth = MapToFrame(x, y, step, step), np.array([y, x, h, w])
    seen = sight(x, y, w, h, truth=truth, score=x, iou=0.0, map=hill(3, 9), map_to_frame=way)
    picture = painter.draw(IMAGE, [seen], ["left"], ["right"])
    assert picture.shape == (*painter.size[::-1], 3)


@pytest.mark.parametrize("box", [(-15, 50), (150, 50), (70, -12), (70, 112), (-15, -12), (150, 112)])
def test_a_target_on_a_border_is_drawn_on_the_part_that_is_seen(box: tuple[float, float]) -> None:
    painter = Painter(IMAGE, [np.array([10.0, 10, 20, 20])])
    without = painter.draw(IMAGE, [sight(-500, -500)], [], [])
    seen = sight(*box, map=hill(8, 8), map_to_frame=MapToFrame(box[0] - 20, box[1] - 20, 4, 4))
    assert (painter.draw(IMAGE, [seen], [], []) != without)[HEADER_PX:, :640].any()


@pytest.mark.parametrize(("size", "height"), [((160, 120), 480), ((640, 480), 480), ((3840, 2160), 720)])
def test_small_frames_are_enlarged_and_large_ones_reduced(size: tuple[int, int], height: int) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    painter = Painter(image, [np.array([10.0, 10, 20, 20])])
    width = round(size[0] * height / size[1])
    assert height < painter.size[1] < height + 60
    assert width < painter.size[0]
    assert painter.size[0] % 2 == painter.size[1] % 2 == 0


@pytest.mark.parametrize("targets", [1, 3, 4, 7, 40])
def test_any_number_of_targets_fits(targets: int) -> None:
    boxes = [np.array([3.0 * n, 2.0 * n, 20, 20]) for n in range(targets)]
    painter = Painter(IMAGE, boxes)
    sights = [Sight(box, score=0.5, map=hill(8, 8), map_to_frame=MapToFrame(0, 0, 4, 4)) for box in boxes]
    assert painter.draw(IMAGE, sights, [], []).shape == (*painter.size[::-1], 3)


def coloured(picture: Pixels, target: int) -> npt.NDArray[np.bool_]:
    """Return where a picture of :data:`IMAGE` has a target's own colour, below the header."""
    return np.asarray((picture[HEADER_PX:, :640] == colour_of(target)).all(axis=2))


def test_a_box_is_outlined_where_it_is() -> None:
    painter = Painter(IMAGE, [np.array([40.0, 40, 20, 20])])
    found = coloured(painter.draw(IMAGE, [sight(40, 60, 30, 20)], [], []), 0)
    rows, cols = found[235:].nonzero()  # below the label, 4 pixels to one
    assert [cols.min(), cols.max()] == pytest.approx([160, 280], abs=2)
    assert [rows.min() + 235, rows.max() + 235] == pytest.approx([238, 318], abs=3)


def test_a_lost_targets_box_is_dashed_and_its_response_grey() -> None:
    painter = Painter(IMAGE, [np.array([40.0, 40, 20, 20])])
    view = MapToFrame(20.0, 20.0, 4.0, 4.0)
    seen = sight(40, 60, 30, 20, score=0.5, confidence=0.5, map=hill(8, 8), map_to_frame=view)
    plain = painter.draw(IMAGE, [seen], [], [])
    lost = painter.draw(IMAGE, [replace(seen, is_lost=True)], [], [])
    right_sides = [coloured(picture, 0)[245:312, 279].mean() for picture in (plain, lost)]
    assert right_sides[0] == 1
    assert 0.3 < right_sides[1] < 0.8
    response = lost[HEADER_PX + 300 :, 650:-20].astype(int)
    assert np.ptp(response, axis=2).max() < 20
    assert np.ptp(plain[HEADER_PX + 300 :, 650:-20].astype(int), axis=2).max() > 100
    assert not (lost == plain)[HEADER_PX:, :640].all()


def test_labels_make_room_for_each_other() -> None:
    painter = Painter(IMAGE, [np.array([40.0, 40, 20, 20])] * 4)
    picture = painter.draw(IMAGE, [sight(60, 60)] * 4, [], [])
    grounds = [coloured(picture, target).sum() for target in range(4)]
    # The last outline covers the others, so what is left of each is its label.
    assert min(grounds) > 120


def test_the_header_leaves_out_what_has_no_room() -> None:
    painter = Painter(IMAGE, [np.array([40.0, 40, 20, 20])])
    short = painter.draw(IMAGE, [sight(40, 40)], ["left"], ["12.3 fps"])
    long = painter.draw(IMAGE, [sight(40, 40)], ["left"], ["12.3 fps", "what is too long " * 9])
    assert np.array_equal(short, long)
    assert not np.array_equal(short, painter.draw(IMAGE, [sight(40, 40)], ["left"], ["12.3 fps", "more"]))


@pytest.mark.parametrize(("frames", "is_drawn"), [(1, False), (3, True)])
def test_how_the_confidence_went_is_drawn_above_the_response(frames: int, is_drawn: bool) -> None:
    painter = Painter(IMAGE, [np.array([40.0, 40, 20, 20])])
    for confidence in [0.2, 0.9, 0.4][:frames]:
        picture = painter.draw(IMAGE, [sight(40, 40, score=1.0, confidence=confidence)], [], [])
    line = picture[HEADER_PX + 23 : HEADER_PX + 38, 760:].astype(int)
    assert (np.ptp(line, axis=2).max() > 100) == is_drawn


def test_the_heat_is_hottest_where_the_map_says() -> None:
    canvas = np.zeros((200, 300, 3), np.uint8)
    view = MapToFrame(100.0, 40.0, 6.0, 5.0)
    lay_heat(canvas, hill(4, 11), view, cover=0.8)
    row, col = np.unravel_index(canvas.sum(axis=2).argmax(), canvas.shape[:2])
    assert (col, row) == pytest.approx(view.point(4, 11), abs=1)
    assert not canvas[:, :95].any()
    assert not canvas[130:].any()


def test_a_response_is_shown_beside_its_template() -> None:
    painter = Painter(IMAGE, [np.array([40.0, 40, 20, 20])])
    view = MapToFrame(20.0, 20.0, 4.0, 4.0)
    cold = painter.draw(IMAGE, [sight(40, 40)], [], [])
    hot = painter.draw(IMAGE, [sight(40, 40, map=hill(8, 8), map_to_frame=view)], [], [])
    assert (hot != cold)[HEADER_PX:, 640:].any()


def test_strength_is_from_the_median_to_the_maximum_and_ignores_what_is_not_finite() -> None:
    response = np.array([[0.0, 1.0, 1.0], [1.0, 3.0, np.nan], [2.0, -np.inf, np.inf]])
    assert strength(response)[1].tolist() == [0.0, 1.0, 0.0]
    assert strength(response)[2].tolist() == [0.5, 0.0, 0.0]
    assert not strength(np.full((3, 3), np.nan)).any()
    assert not strength(np.full((3, 3), 7.0)).any()


@pytest.mark.parametrize("at", [(-50, 10), (5, -5), (35, 10), (5, 28), (100, 100), (5, 15)])
def test_text_and_marks_are_cut_off_at_the_canvas(at: tuple[int, int]) -> None:
    canvas = np.zeros((20, 40, 3), np.uint8)
    for right in (False, True):
        put_text(canvas, at, "text", 13, (255, 255, 255), right=right)
    label(canvas, at, "a text that is wider than the canvas", (1, 2, 3), 13)
    note(canvas, at, "note", 13)
    cross(canvas, at, (255, 255, 255))
    for dashed in (False, True):
        outline(canvas, (at[0], at[1], at[0] + 10, at[1] + 1e9), (255, 255, 255), 2, dashed=dashed)
    assert canvas.shape == (20, 40, 3)


def test_text_ends_where_it_is_told() -> None:
    canvas = np.zeros((30, 200, 3), np.uint8)
    put_text(canvas, (150, 20), "frame 12", 14, (255, 255, 255), right=True)
    cols = np.flatnonzero(canvas.max(axis=(0, 2)))
    assert cols.min() == pytest.approx(150 - text_width("frame 12", 14), abs=2)
    assert 145 <= cols.max() <= 150


@pytest.mark.parametrize("name", ["picture.png", "folder/picture.jpg"])
def test_a_picture_is_written(tmp_path: Path, name: str) -> None:
    picture = cv2.applyColorMap(np.tile(np.arange(256, dtype=np.uint8), (64, 1)), cv2.COLORMAP_VIRIDIS)
    write_picture(tmp_path / name, np.asarray(picture, np.uint8))
    read = cv2.cvtColor(np.asarray(Image.open(tmp_path / name).convert("RGB")), cv2.COLOR_RGB2BGR)
    assert np.abs(read.astype(int) - picture).mean() < 8


def test_a_picture_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InvalidArgument, match=r"--snapshot: .*Is a directory"):
        write_picture(tmp_path / "folder.png", IMAGE)
