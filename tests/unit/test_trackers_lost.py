"""Lost targets: two thresholds and some patience, and a wider search in the same request."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from network_client import FRAME, NetworkClient
from pixel_client import PixelClient, scene
from siamcorr.geometry import iou
from siamcorr_client.trackers import LostSettings, MultiTracker, SiamFCSettings, Tracker, settings_for
from siamcorr_client.trackers.lost import after, around
from siamcorr_client.trackers.places import Places

BOX = (300.0, 220.0, 40.0, 40.0)
NANO = settings_for("nanotrackv3")
WIDE = dataclasses.replace(NANO, lost=LostSettings(rings=1))


def states(confidence: list[float], settings: LostSettings) -> list[bool]:
    is_lost, poor, found = np.array([False]), np.array([0]), []
    for one in confidence:
        is_lost, poor = after(is_lost, poor, np.array([one]), settings)
        found.append(bool(is_lost[0]))
    return found


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        ([0.2, 0.2, 0.9], [0, 0, 0]),
        ([0.2, 0.2, 0.2], [0, 0, 1]),
        ([0.2, 0.2, 0.35, 0.2, 0.2, 0.2], [0, 0, 0, 0, 0, 1]),
        ([0.2, 0.2, 0.2, 0.4, 0.49, 0.5, 0.4], [0, 0, 1, 1, 1, 0, 0]),
        ([0.2, 0.2, 0.2, 0.6, 0.2, 0.2, 0.2], [0, 0, 1, 0, 0, 0, 1]),
    ],
)
def test_a_target_is_lost_by_hysteresis(confidence: list[float], expected: list[int]) -> None:
    assert states(confidence, LostSettings(below=0.3, above=0.5, patience=3)) == list(map(bool, expected))


def test_a_lost_target_has_rings_of_regions_inside_the_frame() -> None:
    places = Places.of(np.array([[100.0, 100.0, 1.0, 1.0], [5.0, 100.0, 1.0, 1.0], [50.0, 50.0, 1.0, 1.0]]))
    sides, frame = np.full(3, 40.0), np.array([200.0, 200.0])
    found = around(places, sides, np.array([True, True, False]), 1, frame)
    assert found.owners.tolist() == [0] * 9 + [1] * 6 + [2]
    assert found.places.centres[0].tolist() == [100, 100]
    assert found.places.centres[9].tolist() == [5, 100]
    assert sorted(set(found.places.centres[:9, 0].tolist())) == [70, 100, 130]
    assert len(around(places, sides, np.array([True, False, False]), 2, frame).owners) == 25 + 2
    for rings, is_lost in ((0, [True] * 3), (2, [False] * 3)):
        assert around(places, sides, np.array(is_lost), rings, frame).owners.tolist() == [0, 1, 2]


def test_the_last_place_is_searched_even_at_the_very_edge() -> None:
    places = Places.of(np.array([[200.0, 100.0, 1.0, 1.0]]))
    found = around(places, np.array([40.0]), np.array([True]), 1, np.array([200.0, 200.0]))
    assert found.places.centres[0].tolist() == [200, 100]
    assert len(found.owners) == 4


def test_a_lost_target_is_found_where_the_window_would_hold_it_back() -> None:
    client = NetworkClient()
    client.truth = {0: BOX}
    with Tracker(client, "nanotrackv3", WIDE) as tracker:
        tracker.init(FRAME, BOX)
        client.truth[0] = None
        for _ in range(4):
            tracker.update(FRAME)
        client.truth[0] = (BOX[0] + 60, BOX[1] - 60, 40.0, 40.0)  # between regions, at the border of four
        client.likelihoods[0] = 0.7
        track = tracker.update(FRAME)
    assert track.score == pytest.approx(0.7)
    assert iou([track.box], [client.truth[0]])[0] > 0.7


def test_a_target_that_jumped_is_found_again_with_a_wider_search() -> None:
    client = NetworkClient()
    client.truth = {0: BOX}
    with Tracker(client, "nanotrackv3", WIDE) as tracker:
        tracker.init(FRAME, BOX)
        client.truth[0] = None
        tracks = [tracker.update(FRAME) for _ in range(6)]
        assert [track.state for track in tracks] == ["tracking"] * 2 + ["lost"] * 4
        assert [len(call["box"]) for call in client.calls] == [1, 1, 1, 9, 9, 9]
        assert tracks[-1].score < 0.01
        client.truth[0] = (BOX[0] + 105, BOX[1] - 95, 40.0, 40.0)
        track = tracker.update(FRAME)
        assert track.state == "tracking"
        assert iou([track.box], [client.truth[0]])[0] > 0.7
        tracker.update(FRAME)
        assert len(client.calls[-1]["box"]) == 1


def test_a_lost_target_s_box_stays_where_it_was() -> None:
    client = NetworkClient()
    client.truth = {0: BOX}
    with Tracker(client, "nanotrackv3", WIDE) as tracker:
        tracker.init(FRAME, BOX)
        first = tracker.update(FRAME)
        client.truth[0] = None
        boxes = [tracker.update(FRAME).box.tolist() for _ in range(8)]
    assert boxes[3:] == [boxes[3]] * 5
    assert iou([boxes[-1]], [first.box])[0] > 0.8


def test_without_rings_only_the_word_changes() -> None:
    never = dataclasses.replace(NANO, lost=LostSettings(below=0.0, above=0.0))
    found = {}
    for name, settings in (("told", NANO), ("never", never)):
        client = NetworkClient()
        client.truth = {0: BOX}
        with Tracker(client, "nanotrackv3", settings) as tracker:
            tracker.init(FRAME, BOX)
            client.likelihoods[0] = 0.05
            tracks = []
            for step in range(8):
                client.truth[0] = (BOX[0] + 4 * step, *BOX[1:])
                tracks.append(tracker.update(FRAME))
        found[name] = tracks
        assert {len(call["box"]) for call in client.calls} == {1}
    assert [track.box.tolist() for track in found["told"]] == [track.box.tolist() for track in found["never"]]
    assert [track.state for track in found["told"]] == ["tracking"] * 2 + ["lost"] * 6
    assert {track.state for track in found["never"]} == {"tracking"}


def test_a_lost_target_beside_others_is_still_one_call_and_changes_none_of_them() -> None:
    boxes = {0: BOX, 1: (60.0, 60.0, 30.0, 50.0), 2: (500.0, 300.0, 44.0, 40.0)}
    alone = NetworkClient()
    alone.truth = {1: boxes[1]}
    client = NetworkClient()
    client.truth = dict(boxes)
    with Tracker(alone, "nanotrackv3", WIDE) as one, MultiTracker(client, "nanotrackv3", WIDE) as many:
        one.init(FRAME, boxes[1])
        many.add(FRAME, list(boxes.values()))
        client.truth[0] = None
        for step in range(6):
            alone.truth[1] = client.truth[1] = (60.0 + 3 * step, 60.0, 30.0, 50.0)
            tracks = many.update(FRAME)
            expected = one.update(FRAME)
            assert tracks[1].box.tolist() == expected.box.tolist()
            assert tracks[1].score == expected.score
    assert [len(call["box"]) for call in client.calls] == [3, 3, 3, 11, 11, 11]
    assert tracks[0].state == "lost"


def test_siamfc_searches_wider_too() -> None:
    lost = LostSettings(below=0.5, above=0.7, patience=2, rings=1)
    settings = SiamFCSettings(template_px=31, search_px=47, lost=lost)
    client = PixelClient()
    with Tracker(client, "hog", settings) as tracker:
        tracker.init(scene((140, 100, 36, 36)), (140, 100, 36, 36))
        assert tracker.update(scene((140, 100, 36, 36))).state == "tracking"
        assert [tracker.update(scene()).state for _ in range(3)] == ["tracking", "lost", "lost"]
        assert len(client.calls[-1]["box"]) == 27
        track = tracker.update(scene((215, 25, 36, 36)))
    assert track.state == "tracking"
    assert iou([track.box], [(215, 25, 36, 36)])[0] > 0.6
