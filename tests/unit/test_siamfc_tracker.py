"""The tracker, in front of a client that correlates raw pixels: squares that move, grow and leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pixel_client import PixelClient, bump, place, scene
from siamcorr.errors import QueueFull
from siamcorr.geometry import iou
from siamcorr_client.trackers import MultiTracker, SiamFCSettings, Tracker


def run(client: PixelClient, images: Sequence[Any], box: Any, **options: Any) -> list[tuple[Any, Any]]:
    """Return boxes (N, 4) and scores (N,), or one target's box and score, in each image but the first."""
    answers = []
    with MultiTracker(client, **options) as tracker:
        tracker.add(images[0], box)
        for image in images[1:]:
            tracks = list(tracker.update(image).values())
            boxes, scores = np.array([track.box for track in tracks]), [track.score for track in tracks]
            answers.append((boxes[0], scores[0]) if np.ndim(box) == 1 else (boxes, np.array(scores)))
    return answers


WALKS = [
    [(40 + 5 * n, 30 + 3 * n, 30, 40) for n in range(12)],
    [(250 - 4 * n, 150, 36, 36) for n in range(12)],
]


def test_one_target_is_followed() -> None:
    answers = run(PixelClient(), [scene(box) for box in WALKS[0]], WALKS[0][0])
    boxes = np.array([box for box, _ in answers])
    assert iou(boxes, WALKS[0][1:]).min() > 0.85
    assert all(box.shape == (4,) and isinstance(score, float) for box, score in answers)


def test_many_targets_are_followed_in_the_order_of_their_boxes() -> None:
    images = [scene(*boxes) for boxes in zip(*WALKS, strict=True)]
    answers = run(PixelClient(), images, [walk[0] for walk in WALKS])
    for target, walk in enumerate(WALKS):
        assert iou([boxes[target] for boxes, _ in answers], walk[1:]).min() > 0.85
    assert all(boxes.shape == (2, 4) and scores.shape == (2,) for boxes, scores in answers)


def test_a_target_has_the_same_bits_alone_and_among_others() -> None:
    images = [scene(*boxes) for boxes in zip(*WALKS, strict=True)]
    together = run(PixelClient(), images, [walk[0] for walk in WALKS])
    for target, walk in enumerate(WALKS):
        alone = run(PixelClient(), images, walk[0])
        assert [(boxes[target].tolist(), scores[target]) for boxes, scores in together] == [
            (box.tolist(), score) for box, score in alone
        ]


def test_a_list_of_one_box_is_answered_with_arrays() -> None:
    ((boxes, scores),) = run(PixelClient(), [scene(WALKS[0][0])] * 2, [WALKS[0][0]])
    assert boxes.shape == (1, 4)
    assert scores.shape == (1,)


@pytest.mark.parametrize("growth", [1.015, 1 / 1.015])
def test_a_box_changes_its_size_with_the_target_and_keeps_its_proportions(growth: float) -> None:
    sides = 60 * growth ** np.arange(26)
    boxes = [(160 - side / 2, 120 - side / 2, side, side) for side in sides]
    # One step changes the response of raw pixels by less than the usual penalty.
    settings = SiamFCSettings(scale_penalty=1.0)
    last = run(PixelClient(), [scene(box) for box in boxes], boxes[0], settings=settings)[-1][0]
    assert 0.6 < np.log(last[2] / 60) / np.log(growth**25) < 1.2
    assert last[2] == pytest.approx(last[3])
    assert iou([last], [boxes[-1]]) > 0.7


def test_a_target_that_rests_does_not_move_by_a_bit() -> None:
    box = (101.0, 70.5, 33.0, 40.0)
    for found, _ in run(PixelClient(lambda _: bump(8, 8)), [scene(box)] * 5, box):
        assert found.tolist() == list(box)


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_an_even_map_leaves_a_target_where_it_is(value: float) -> None:
    box = (100.0, 70.0, 33.0, 40.0)
    even = np.full((17, 17), value, np.float32)
    ((found, score),) = run(PixelClient(lambda _: even), [scene(box)] * 2, box)
    assert found.tolist() == list(box)
    assert score == value


def test_a_frame_is_one_call_for_all_targets_and_scales() -> None:
    client = PixelClient()
    images = [scene(*boxes) for boxes in zip(*WALKS, strict=True)]
    run(client, images, [walk[0] for walk in WALKS], settings=SiamFCSettings(scales=5, gain=0.5))
    assert len(client.calls) == len(images) - 1
    call = client.calls[0]
    assert [list(side) for side in call["pairs"]] == [[0] * 5 + [1] * 5, list(range(10))]
    assert call["box"].shape == (10, 4)
    assert call["image"] is images[1]
    assert (call["kind"], call["gain"]) == ("naive", 0.5)


def test_scales_are_tried_about_the_centre() -> None:
    client = PixelClient()
    run(client, [scene((100, 80, 40, 20))] * 2, (100, 80, 40, 20))
    boxes = client.calls[0]["box"]
    assert boxes[:, 2] / 40 == pytest.approx([1 / 1.0375, 1, 1.0375])
    assert boxes[:, 3] / 20 == pytest.approx([1 / 1.0375, 1, 1.0375])
    centres = boxes[:, :2] + (boxes[:, 2:] - 1) / 2
    assert centres == pytest.approx(np.broadcast_to([119.5, 89.5], (3, 2)))


def test_the_winning_scale_is_taken_over_in_part() -> None:
    client = PixelClient(lambda index: bump(8, 8) * (index + 1))
    ((box, score),) = run(client, [scene((100, 80, 40, 20))] * 2, (100, 80, 40, 20))
    assert box[2] == pytest.approx(40 * (1 + 0.59 * 0.0375))
    assert score == pytest.approx(3)


@pytest.mark.parametrize(
    ("rest", "change", "wins"),
    [(1.0, 1.02, False), (1.0, 1.03, True), (-1.0, -0.98, False), (-1.0, -0.97, True)],
)
def test_a_change_of_size_must_be_better_by_its_penalty(rest: float, change: float, wins: bool) -> None:
    peaks = (rest - 1, rest, change)
    client = PixelClient(lambda index: peaks[index] - 1 + bump(8, 8))
    ((box, _),) = run(client, [scene((100, 80, 40, 20))] * 2, (100, 80, 40, 20))
    assert (box[2] > 40) == wins


def test_of_two_equal_peaks_the_window_prefers_the_nearer() -> None:
    client = PixelClient(lambda _: np.maximum(bump(8, 2), bump(8, 12)))
    ((box, score),) = run(client, [scene((100, 80, 40, 40))] * 2, (100, 80, 40, 40))
    assert box[0] - 100 == pytest.approx(4 * client.calls[0]["box"][1][2] / 40 * 2.574, abs=0.5)
    assert score == pytest.approx(1, abs=0.02)


def test_the_score_is_of_the_place_that_was_chosen() -> None:
    client = PixelClient(lambda _: np.maximum(1.5 * bump(8, 0), bump(8, 9)))
    settings = SiamFCSettings(window_influence=0.6)
    ((box, score),) = run(client, [scene((100, 80, 40, 40))] * 2, (100, 80, 40, 40), settings=settings)
    assert 100 < box[0] < 105
    assert score == pytest.approx(1, abs=0.02)


def test_what_was_seen_can_be_drawn() -> None:
    client = PixelClient(lambda index: bump(6, 10) * (1 + index))
    with Tracker(client) as tracker:
        tracker.init(scene((100, 80, 40, 40)), (100, 80, 40, 40))
        track = tracker.update(scene((100, 80, 40, 40)))
    assert track.map.tolist() == (bump(6, 10) * 3).tolist()
    assert track.map_to_frame == place(client.calls[0]["box"][2])
    x, y = track.map_to_frame.point(6, 10)
    assert track.box[:2] + (track.box[2:] - 1) / 2 == pytest.approx([x, y], abs=0.5)


@pytest.mark.parametrize(
    ("best", "box", "last"),
    [
        (2, (100, 80, 40, 30), (200, 150)),  # five times as large
        (2, (100, 80, 80, 60), (320, 240)),  # the frame
        (0, (100, 80, 100, 80), (20, 16)),  # a fifth
        (0, (100, 80, 40, 20), (20, 10)),  # the least side
    ],
)
def test_a_box_stays_between_the_bounds_of_size(best: int, box: Any, last: tuple[int, int]) -> None:
    client = PixelClient(lambda index: bump(8, 8) * (1 + (index == best)))
    settings = SiamFCSettings(scale_step=2.0, scale_rate=1.0)
    found = run(client, [scene()] * 5, box, settings=settings)[-1][0]
    assert found[2:] == pytest.approx(last)


@pytest.mark.parametrize("box", [(100, 80, 6, 6), (-50, -50, 500, 500)])
def test_a_box_that_begins_beyond_the_bounds_may_stay_so(box: tuple[int, ...]) -> None:
    ((found, _),) = run(PixelClient(lambda _: bump(8, 8)), [scene()] * 2, box)
    assert found.tolist() == list(box)


def encoded(size: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size


@pytest.mark.parametrize("image", [scene(), encoded(b"\0\0\1\x40\0\0\0\xf0")])
@pytest.mark.parametrize(("corner", "centre"), [((0, 0), (0, 0)), ((16, 16), (319, 239))])
def test_a_centre_stays_inside_the_frame(
    image: Any, corner: tuple[int, int], centre: tuple[int, int]
) -> None:
    box = run(PixelClient(lambda _: bump(*corner)), [image] * 25, (100, 80, 30, 30))[-1][0]
    assert (box[:2] + (box[2:] - 1) / 2).tolist() == list(centre)


def test_a_failed_frame_changes_nothing() -> None:
    images = [scene(box) for box in WALKS[0]]
    expected = run(PixelClient(), images, WALKS[0][0])
    client = PixelClient()
    with Tracker(client) as tracker:
        tracker.init(images[0], WALKS[0][0])
        for image, (box, score) in zip(images[1:], expected, strict=True):
            client.fail_next = True
            with pytest.raises(QueueFull):
                tracker.update(image)
            again = tracker.update(image)
            assert (again.box.tolist(), again.score) == (box.tolist(), score)


def test_a_score_without_a_scale_of_its_own_is_measured_by_the_first_frames() -> None:
    height = 8.0
    client = PixelClient(lambda index: bump(8, 8) * (height if index == 1 else 0))
    confidence = []
    with Tracker(client) as tracker:
        tracker.init(scene((100, 80, 40, 40)), (100, 80, 40, 40))
        for height in (8.0, 8.0, 8.0, 8.0, 8.0, 2.0, 2.0, 12.0):  # noqa: B007 - the client reads it
            confidence += [tracker.update(scene()).confidence]
    assert confidence == pytest.approx([1, 1, 1, 1, 1, 0.25, 0.25, 1])
