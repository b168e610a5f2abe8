"""Which targets are followed, what is asked of the tracker, and where each frame goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixel_client import PixelClient, scene
from siamcorr.answers import MapToFrame
from siamcorr.errors import InvalidArgument
from siamcorr_client.trackers import MultiTracker, Track
from siamcorr_demo.drawing import Painter
from siamcorr_demo.follow import Follower, Stopwatch
from siamcorr_demo.marks import colour_of
from siamcorr_demo.report import Report
from siamcorr_demo.sources import Source
from siamcorr_demo.stage import Stage
from siamcorr_demo.targets import Targets, choose_targets

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]

IMAGE = np.zeros((48, 64, 3), np.uint8)
NAN_BOX = [np.nan] * 4


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeClient:
    """Takes ``seconds`` of the clock for each call."""

    def __init__(self, clock: FakeClock, seconds: float = 0.0) -> None:
        self.clock, self.seconds = clock, seconds

    def correlate(self, *arguments: Any, **options: Any) -> tuple[Any, Any]:
        self.clock.now_s += self.seconds
        return arguments, options

    def delete_template(self, template: str) -> str:
        return f"deleted {template}"


class FakeTracker:
    """Moves every box by a pixel a frame, as fast as its client, and loses the second target at once."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.boxes = np.empty((0, 4))

    def add(self, image: Pixels, boxes: npt.ArrayLike) -> list[int]:
        self.boxes = np.array(boxes)
        return [7 + row for row in range(len(self.boxes))]

    def update(self, image: Pixels) -> dict[int, Track]:
        self.client.correlate()
        self.boxes = self.boxes + np.array((1, 0, 0, 0))
        return {7 + row: track(box, is_lost=row == 1) for row, box in reversed(list(enumerate(self.boxes)))}


def track(box: Boxes, *, is_lost: bool = False) -> Track:
    return Track(
        box=box,
        score=0.5,
        confidence=0.1 if is_lost else 0.9,
        state="lost" if is_lost else "tracking",
        map=np.eye(5, dtype=np.float32),
        map_to_frame=MapToFrame(0, 0, 4, 4),
    )


def source(truth: list[list[list[float]]] | None = None) -> Source:
    return Source("test", iter([]), None, 30.0, lambda: None if truth is None else np.array(truth))


def truth_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_users_boxes_come_first_and_foreign_truth_is_not_taken() -> None:
    targets = choose_targets(source([[[1, 1, 5, 5]]]), IMAGE, init=[(3, 4, 10, 12), (20, 20, 8, 8)])
    assert targets.boxes.tolist() == [[3, 4, 10, 12], [20, 20, 8, 8]]
    assert np.isnan(targets.truth_at(0)).all()


def test_else_the_truth_beside_the_frames_is_taken() -> None:
    targets = choose_targets(
        source([[[1, 1, 5, 5], [9, 9, 3, 3]]]), IMAGE, draw=lambda _: pytest.fail("drawn")
    )
    assert targets.boxes.tolist() == [[1, 1, 5, 5], [9, 9, 3, 3]]
    assert targets.truth_at(0).tolist() == targets.boxes.tolist()
    assert np.isnan(targets.truth_at(1)).all()


def test_else_the_boxes_are_drawn() -> None:
    targets = choose_targets(source(), IMAGE, draw=lambda image: np.array([[2.0, 3, 4, 5]]))
    assert targets.boxes.tolist() == [[2, 3, 4, 5]]


def test_the_users_truth_goes_with_the_users_boxes_in_their_order(tmp_path: Path) -> None:
    path = truth_file(tmp_path, "a.txt", "1,2,3,4\n5,6,7,8\n")
    targets = choose_targets(source(), IMAGE, init=[(1, 2, 3, 4), (9, 9, 9, 9)], truth_files=[path])
    assert targets.truth_at(1)[0].tolist() == [5, 6, 7, 8]
    assert np.isnan(targets.truth_at(1)[1]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--init: found no box to follow, expected --init X,Y,W,H or --truth FILE"),
        ({"draw": lambda _: np.empty((0, 4))}, "--init: found no box drawn"),
        ({"init": [(0, 0, 0, 5)]}, "--init: found .* expected a width and height above 0"),
        ({"init": [(64, 0, 5, 5)]}, "box: found .*outside, expected a box in 64x48 pixels"),
    ],
)
def test_without_a_box_in_the_frame_there_is_nothing_to_follow(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        choose_targets(source(), IMAGE, **options)


def test_a_target_that_is_hidden_at_first_cannot_be_followed() -> None:
    with pytest.raises(InvalidArgument, match="truth: found a hidden target in the first row"):
        choose_targets(source([[NAN_BOX]]), IMAGE)


def test_more_truth_than_targets_is_refused(tmp_path: Path) -> None:
    files = [truth_file(tmp_path, name, "1,2,3,4\n") for name in ("a.txt", "b.txt")]
    with pytest.raises(InvalidArgument, match="--truth: found 2 files, expected at most 1, one a target"):
        choose_targets(source(), IMAGE, init=[(1, 2, 3, 4)], truth_files=files)


def test_a_stopwatch_times_correlate_and_passes_all_else_on() -> None:
    clock = FakeClock()
    stopwatch = Stopwatch(FakeClient(clock, seconds=0.25), clock)
    assert stopwatch.correlate("z", kind="naive") == (("z",), {"kind": "naive"})
    assert stopwatch.last_s == 0.25
    assert stopwatch.delete_template("z") == "deleted z"


def follower(truth: list[list[list[float]]], seconds: float = 0.0) -> tuple[Follower, FakeClock]:
    clock = FakeClock()
    stopwatch = Stopwatch(FakeClient(clock, seconds), clock)
    targets = Targets(np.array([[10.0, 10, 10, 10], [30, 10, 10, 10]]), np.array(truth))
    return Follower(FakeTracker(stopwatch), targets, stopwatch), clock


def test_each_frame_is_compared_with_its_own_truth() -> None:
    follow, _ = follower(
        [[[10, 10, 10, 10]], [[11, 10, 10, 10]], [NAN_BOX], [[13, 10, 10, 5]]], seconds=0.125
    )
    steps = [follow.step(IMAGE) for _ in range(5)]
    ious = [step.result.ious[0] for step in steps]
    assert ious == pytest.approx([1, 1, np.nan, 0.5, np.nan], nan_ok=True)
    assert all(np.isnan(step.result.ious[1]) for step in steps)
    assert [step.result.latency_s for step in steps] == [None, 0.125, 0.125, 0.125, 0.125]
    assert [step.sights[0].truth is not None for step in steps] == [True, True, False, True, False]


def test_the_first_frame_has_boxes_but_neither_scores_nor_responses() -> None:
    follow, _ = follower([[[10, 10, 10, 10]]])
    first, second = follow.step(IMAGE), follow.step(IMAGE)
    assert first.result.seen is None
    assert [(sight.score, sight.map, sight.is_lost) for sight in first.sights] == [(None, None, False)] * 2
    assert [sight.score for sight in second.sights] == [0.5, 0.5]
    assert second.sights[1].map is not None
    assert second.sights[1].map_to_frame == MapToFrame(0, 0, 4, 4)
    assert [sight.box.tolist() for sight in second.sights] == [[11, 10, 10, 10], [31, 10, 10, 10]]
    assert [sight.is_lost for sight in second.sights] == [False, True]
    assert second.result.seen is not None
    assert second.result.seen.states == ("tracking", "lost")


def follower_of_pixels(*boxes: Sequence[float]) -> tuple[Follower, Painter]:
    """Return what follows white rectangles on black, with a real tracker."""
    tracker = MultiTracker(PixelClient())
    targets = Targets(np.array(boxes, np.float64), None)
    return Follower(tracker, targets, Stopwatch(PixelClient())), Painter(scene(*boxes), list(targets.boxes))


def test_a_target_that_leaves_the_frame_is_lost_and_waited_for_at_the_edge() -> None:
    follow, painter = follower_of_pixels((250, 100, 30, 30), (60, 60, 30, 30))
    for frame in range(18):
        image = scene((250 + 6 * frame, 100, 30, 30), (60, 60, 30, 30))
        step = follow.step(image)
        painter.draw(image, step.sights, [], [])
    left, stayed = step.sights
    assert (left.is_lost, stayed.is_lost) == (True, False)
    assert 290 < left.box[0] + left.box[2] / 2 < 320
    assert step.result.lost == 1


def test_a_target_of_one_pixel_is_followed_and_drawn() -> None:
    follow, painter = follower_of_pixels((60, 60, 1, 1))
    for _ in range(3):
        step = follow.step(scene((60, 60, 1, 1)))
        picture = painter.draw(scene((60, 60, 1, 1)), step.sights, [], [])
    assert step.sights[0].box == pytest.approx([60, 60, 1, 1], abs=1)
    assert (picture == colour_of(0)).all(axis=2).any()


class FakeWindow:
    """A viewer who looks for ten seconds at each picture and has had enough after ``pictures``."""

    def __init__(self, clock: FakeClock, pictures: int) -> None:
        self.clock, self.left = clock, pictures

    def show(self, picture: Pixels) -> bool:
        self.clock.now_s += 10.0
        self.left -= 1
        return self.left > 0


class FakeVideo:
    def __init__(self) -> None:
        self.pictures: list[Pixels] = []

    def write(self, picture: Pixels) -> None:
        self.pictures.append(picture)


def test_a_frame_goes_to_the_video_the_report_and_the_window() -> None:
    follow, clock = follower([[[10, 10, 10, 10]]], seconds=0.5)
    painter = Painter(IMAGE, [np.array([10.0, 10, 10, 10])] * 2)
    report, video = Report("test", "hog", targets=2), FakeVideo()
    window = FakeWindow(clock, pictures=3)
    stage = Stage(painter, report, total=4, video=video, window=window, clock=clock)  # type: ignore[arg-type]
    goes_on = [stage.take(IMAGE, follow.step(IMAGE)) for _ in range(3)]
    assert goes_on == [True, True, False]
    assert len(video.pictures) == len(report.frames) == 3
    assert stage.picture is video.pictures[-1]
    # The viewer's time is not the demo's: two requests of half a second are all there was.
    assert report.fps == pytest.approx(3.0)
