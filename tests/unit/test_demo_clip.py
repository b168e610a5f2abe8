"""The demo's own clip: the same each time, and its true boxes are true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from siamcorr.errors import InvalidArgument
from siamcorr.geometry import as_boxes, iou
from siamcorr_demo.clip import Clip
from siamcorr_demo.toys import toys

CLIP = Clip()
BOXES = np.stack([CLIP.boxes(index) for index in range(len(CLIP))])


def test_it_is_the_clip_that_the_demo_promises() -> None:
    assert len(CLIP) == 120
    assert CLIP.image(0).shape == (480, 640, 3)
    assert CLIP.image(0).dtype == np.uint8
    assert BOXES.shape[1] == 8


@pytest.mark.parametrize("targets", [1, 5, 6, 8, 16])
@pytest.mark.parametrize("size", [(640, 480), (320, 240), (848, 480), (480, 480)])
def test_every_box_lies_in_every_frame(size: tuple[int, int], targets: int) -> None:
    clip = Clip(size=size, targets=targets)
    assert clip.boxes(0).shape == (targets, 4)
    for index in range(len(clip)):
        boxes = as_boxes(clip.boxes(index))
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= size).all()


def test_the_same_seed_gives_the_same_frames_in_any_order() -> None:
    again = Clip()
    for index in (119, 3, 40):
        assert np.array_equal(again.image(index), CLIP.image(index))
    assert not np.array_equal(Clip(seed=8).image(3), CLIP.image(3))


def test_targets_move_and_change_their_size() -> None:
    centres = BOXES[..., :2] + BOXES[..., 2:] / 2
    assert (np.ptp(centres, axis=0).max(axis=1) > 200).all()
    areas = BOXES[..., 2:].prod(axis=2)
    assert (areas.max(axis=0) / areas.min(axis=0) > 1.3).all()


@pytest.mark.parametrize("targets", [2, 5, 6, 8, 11, 16])
def test_targets_come_close_but_do_not_cover_each_other(targets: int) -> None:
    clip = Clip(targets=targets)
    for index in range(len(clip)):
        boxes = clip.boxes(index)
        for target, box in enumerate(boxes[:-1]):
            assert iou(np.tile(box, (targets - target - 1, 1)), boxes[target + 1 :]).max() < 0.06


@pytest.mark.parametrize("targets", [0, 17])
def test_there_are_so_many_toys_and_no_more(targets: int) -> None:
    with pytest.raises(InvalidArgument, match=f"targets: found {targets}, expected 1 to 16"):
        Clip(targets=targets)


def test_no_two_toys_look_the_same() -> None:
    drawings = [toy.colour * toy.alpha[..., None] for toy in toys(16)]
    for number, drawing in enumerate(drawings):
        assert all(np.abs(drawing - other).mean() > 8 for other in drawings[:number])


def test_the_light_changes() -> None:
    means = [CLIP.image(index).mean() for index in range(0, 120, 10)]
    assert max(means) / min(means) > 1.15


def test_a_box_is_that_of_the_pixels_that_its_toy_paints() -> None:
    repainted = Clip()
    repainted._toys = tuple(replace(toy, colour=255 - toy.colour) for toy in repainted._toys)
    change = np.abs(CLIP.image(0).astype(int) - repainted.image(0)).max(axis=2)
    differs = change > 25  # at least a fifth of the pixel is the toy's
    for x, y, w, h in CLIP.boxes(0):
        left, top = int(x) - 9, int(y) - 9
        rows, cols = differs[top : int(y + h) + 9, left : int(x + w) + 9].nonzero()
        found = [left + cols.min(), top + rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1]
        assert found == pytest.approx([x, y, w, h], abs=1.6)
