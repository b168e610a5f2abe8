"""Tracker and MultiTracker before a client that plays a perfect network: who is asked what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from network_client import FRAME, NetworkClient
from siamcorr.answers import Response, Template
from siamcorr.errors import InternalError, InvalidArgument, QueueFull, TemplateEvicted
from siamcorr.geometry import iou
from siamcorr_client.trackers import MultiTracker, Track, Tracker

MODELS = {"nanotrackv3": ("anchor_free", 15), "siamrpnpp_alexnet": ("anchor", 21)}


def client_for(model: str = "nanotrackv3") -> NetworkClient:
    kind, cells = MODELS[model]
    return NetworkClient(kind, cells)  # type: ignore[arg-type]


def walk(target: int, frame: int) -> tuple[float, float, float, float]:
    return (30.0 + 35 * (target % 8) + 2 * frame, 40.0 + 90 * (target // 8) + frame, 30.0 + target % 3, 36.0)


def follow(
    client: NetworkClient, tracker: MultiTracker, targets: Sequence[int], frames: int
) -> list[list[Track]]:
    """Return the tracks of each target, frame by frame."""
    client.truth = {target: walk(target, 0) for target in targets}
    ids = tracker.add(FRAME, [walk(target, 0) for target in targets])
    assert isinstance(ids, list)
    found = []
    for frame in range(1, frames):
        client.truth = {target: walk(target, frame) for target in targets}
        tracks = tracker.update(FRAME)
        assert list(tracks) == ids
        found.append(list(tracks.values()))
    return found


def as_bits(track: Track) -> tuple[Any, ...]:
    numbers = (track.score, track.confidence, track.psr, track.apce, track.state, track.map_to_frame)
    return (*track.box.tolist(), *numbers, track.map.tobytes())


@pytest.mark.parametrize("model", MODELS)
def test_targets_are_followed(model: str) -> None:
    client = client_for(model)
    with MultiTracker(client, model) as tracker:
        found = follow(client, tracker, range(5), 12)
    for frame, tracks in enumerate(found, start=1):
        assert iou([track.box for track in tracks], [walk(target, frame) for target in range(5)]).min() > 0.8
        assert {track.state for track in tracks} == {"tracking"}
        assert all(track.score == track.confidence == pytest.approx(0.99) for track in tracks)


@pytest.mark.parametrize("model", MODELS)
def test_a_target_has_the_same_bits_alone_and_among_31_others(model: str) -> None:
    client = client_for(model)
    together = follow(client, MultiTracker(client, model), range(32), 6)
    for target in (0, 7, 31):
        alone = follow(client, MultiTracker(client, model), [target], 6)
        assert [as_bits(tracks[target]) for tracks in together] == [as_bits(tracks[0]) for tracks in alone]


def test_a_frame_is_one_call_for_all_targets() -> None:
    client = client_for()
    with MultiTracker(client, "nanotrackv3") as tracker:
        follow(client, tracker, range(7), 4)
    assert len(client.calls) == 3
    call = client.calls[0]
    assert set(call) == {"image", "box", "pairs", "kind"}
    assert call["kind"] == "network"
    assert call["image"] is FRAME
    assert [side.tolist() for side in call["pairs"]] == [list(range(7))] * 2
    assert call["box"].tolist() == [list(walk(target, 0)) for target in range(7)]
    assert [made["model"] for made in client.made] == ["nanotrackv3"]


def test_targets_come_and_go_at_any_time() -> None:
    client = client_for()
    client.truth = {target: walk(target, 0) for target in range(3)}
    with MultiTracker(client, "nanotrackv3") as tracker:
        assert tracker.update(FRAME) == {}
        assert not client.calls
        assert tracker.add(FRAME, walk(0, 0)) == 0
        assert tracker.add(FRAME, [walk(1, 0)]) == [1]
        tracker.update(FRAME)
        assert tracker.add(FRAME, np.array(walk(2, 0))) == 2
        tracker.remove(1)
        assert tracker.targets == (0, 2)
        tracks = tracker.update(FRAME)
        assert list(tracks) == [0, 2]
        assert iou([track.box for track in tracks.values()], [walk(0, 0), walk(2, 0)]).min() > 0.8
        assert sorted(client.templates.values()) == [0, 2]
        assert tracker.add(FRAME, walk(1, 0)) == 3  # a number is not given twice
    assert not client.templates


@pytest.mark.parametrize("number", [1, -1, "0", None])
def test_a_target_that_is_not_followed_cannot_be_removed(number: Any) -> None:
    client = client_for()
    client.truth = {0: walk(0, 0)}
    with MultiTracker(client, "nanotrackv3") as tracker:
        tracker.add(FRAME, walk(0, 0))
        with pytest.raises(InvalidArgument, match=r"^target: found .*, expected one of \[0\]"):
            tracker.remove(number)


def test_a_failed_frame_changes_nothing() -> None:
    client = client_for()
    expected = follow(client, MultiTracker(client, "nanotrackv3"), [0, 1], 5)
    tracker = MultiTracker(client, "nanotrackv3")
    client.truth = {target: walk(target, 0) for target in range(2)}
    tracker.add(FRAME, [walk(0, 0), walk(1, 0)])
    for frame, tracks in enumerate(expected, start=1):
        client.truth = {target: walk(target, frame) for target in range(2)}
        client.fail_next = QueueFull("try again")
        with pytest.raises(QueueFull):
            tracker.update(FRAME)
        assert [as_bits(track) for track in tracker.update(FRAME).values()] == [
            as_bits(one) for one in tracks
        ]


def test_a_failed_add_leaves_no_template_behind() -> None:
    client = client_for()
    client.truth = {0: walk(0, 0)}
    with MultiTracker(client, "nanotrackv3") as tracker:
        wrong: list[Any] = [(1, 2, 0, 4), (1, 2, 3), [], (1, 2, 3, float("nan"))]
        for box in wrong:
            with pytest.raises(InvalidArgument, match=r"^box: "):
                tracker.add(FRAME, box)
        client.fail_next = QueueFull("try again")
        with pytest.raises(QueueFull):
            tracker.add(FRAME, walk(0, 0))
        assert tracker.targets == ()
        assert not client.templates
        assert not client.made


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 1), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.uint16),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
        [[0, 0, 0]],
        "frame.jpg",
        None,
    ],
)
def test_grey_and_16_bit_images_are_refused_before_anything_is_asked(image: Any) -> None:
    client = client_for()
    client.truth = {0: walk(0, 0)}
    with MultiTracker(client, "nanotrackv3") as tracker:
        with pytest.raises(
            InvalidArgument, match=r"^image: found .*, expected a JPEG or PNG file's bytes, or"
        ):
            tracker.add(image, walk(0, 0))
        tracker.add(FRAME, walk(0, 0))
        with pytest.raises(InvalidArgument, match=r"^image: "):
            tracker.update(image)
        assert len(client.made) == 1
        assert not client.calls


def test_a_template_that_the_server_dropped_is_reported_with_its_target() -> None:
    client = client_for()
    client.truth = {target: walk(target, 0) for target in range(3)}
    with MultiTracker(client, "nanotrackv3") as tracker:
        tracker.add(FRAME, [walk(target, 0) for target in range(3)])
        del client.templates["template-1"]
        with pytest.raises(TemplateEvicted, match=r"^target 1: it made room") as caught:
            tracker.update(FRAME)
        assert caught.value.field == "target"
        tracker.remove(1)
        assert list(tracker.update(FRAME)) == [0, 2]
    assert not client.templates


def test_closing_deletes_every_template_even_if_one_fails() -> None:
    client = client_for()
    client.truth = {target: walk(target, 0) for target in range(4)}
    tracker = MultiTracker(client, "nanotrackv3")
    tracker.add(FRAME, [walk(target, 0) for target in range(4)])
    del client.templates["template-1"]
    client.fail_next = QueueFull("try again")
    with pytest.raises(QueueFull):
        tracker.close()
    assert list(client.templates) == ["template-0"]
    tracker.close()
    for call in (tracker.update, lambda image: tracker.add(image, walk(0, 0))):
        with pytest.raises(InvalidArgument, match=r"^(update|add): found a tracker that is closed"):
            call(FRAME)


def test_a_target_that_leaves_is_waited_for_at_the_edge() -> None:
    client = client_for()
    client.truth = {0: (560.0, 200.0, 40.0, 40.0)}
    with Tracker(client, "nanotrackv3") as tracker:
        tracker.init(FRAME, client.truth[0])
        for step in range(1, 30):
            client.truth[0] = (560.0 + 6 * step, 200.0, 40.0, 40.0)
            track = tracker.update(FRAME)
        x, _, w, _ = track.box
        assert x + w / 2 == pytest.approx(640, abs=1)
        client.truth[0] = (600.0, 200.0, 40.0, 40.0)
        assert iou([tracker.update(FRAME).box], [client.truth[0]])[0] > 0.7


@pytest.mark.parametrize(
    "box", [(100, 100, 1, 1), (0, 0, 1, 1), (639, 479, 1, 1), (-3, 5, 4, 1), (0.2, 0.2, 0.5, 0.5)]
)
@pytest.mark.parametrize("model", [*MODELS])
def test_a_box_of_one_pixel_is_followed_and_grows_to_the_least_side(model: str, box: Any) -> None:
    client = client_for(model)
    client.truth = {0: box}
    with Tracker(client, model) as tracker:
        tracker.init(FRAME, box)
        track = tracker.update(FRAME)
        tracker.update(FRAME)
    assert np.isfinite(track.box).all()
    assert (track.box[2:] >= 10).all()


def test_a_frame_of_another_size_counts_from_then_on() -> None:
    small = np.zeros((200, 300, 3), np.uint8)
    client = client_for()
    client.truth = {0: (500.0, 400.0, 40.0, 40.0), 1: (50.0, 50.0, 40.0, 40.0)}
    with MultiTracker(client, "nanotrackv3") as tracker:
        tracker.add(FRAME, [client.truth[0], client.truth[1]])
        tracker.update(FRAME)
        tracks = tracker.update(small)
        searched = client.calls[-1]["box"]
        assert (searched[0, :2] + (searched[0, 2:] - 1) / 2).tolist() == [299, 199]
        assert (tracks[0].box[:2] + tracks[0].box[2:] / 2 <= [300, 200]).all()
        assert iou([tracks[1].box], [client.truth[1]])[0] > 0.8
        client.truth[0] = (260.0, 170.0, 40.0, 40.0)
        for _ in range(3):
            tracks = tracker.update(FRAME)
        assert iou([tracks[0].box], [client.truth[0]])[0] > 0.7


def test_one_target_is_followed_and_given_up_for_another() -> None:
    client = client_for()
    client.truth = {0: walk(0, 0), 1: walk(1, 0)}
    with Tracker(client, "nanotrackv3") as tracker:
        with pytest.raises(
            InvalidArgument, match=r"^update: found a tracker without a target, expected init"
        ):
            tracker.update(FRAME)
        tracker.init(FRAME, walk(0, 0))
        client.fail_next = QueueFull("try again")
        with pytest.raises(QueueFull):
            tracker.init(FRAME, walk(1, 0))
        assert iou([tracker.update(FRAME).box], [walk(0, 0)])[0] > 0.8
        tracker.init(FRAME, walk(1, 0))
        assert list(client.templates.values()) == [1]
        assert iou([tracker.update(FRAME).box], [walk(1, 0)])[0] > 0.8
        with pytest.raises(InvalidArgument, match=r"^box: found 2 boxes, expected one"):
            tracker.init(FRAME, [walk(0, 0), walk(1, 0)])
    assert not client.templates


class Broken(NetworkClient):
    """Answers as no server does."""

    def __init__(self, responses: list[Response]) -> None:
        super().__init__()
        self.truth = {0: walk(0, 0)}
        self._responses = responses

    def correlate(self, template: Sequence[Template], **options: Any) -> list[Response]:
        return self._responses


@pytest.mark.parametrize(
    ("responses", "message"),
    [([], "0 responses to 1 pairs"), ([Response("template-0", 1, None)], "without its maps")],
)
def test_an_answer_that_is_none_is_the_server_s_fault(responses: list[Response], message: str) -> None:
    with Tracker(Broken(responses), "nanotrackv3") as tracker:
        tracker.init(FRAME, walk(0, 0))
        with pytest.raises(InternalError, match=message):
            tracker.update(FRAME)
