"""Renewed templates: when, how, and what a server in trouble does to them."""

from __future__ import annotations

import numpy as np
import pytest

from network_client import FRAME, NetworkClient
from siamcorr.answers import Response
from siamcorr.errors import DeadlineExceeded, InternalError, QueueFull, SiamcorrError
from siamcorr_client.trackers import BankUpdates, BlendUpdates, MultiTracker, Tracker, Updates
from siamcorr_client.trackers.banks import Meetings, meetings

BOXES = [(100.0, 100.0, 40.0, 40.0), (400.0, 300.0, 30.0, 50.0)]


def client_with(*boxes: tuple[float, ...]) -> NetworkClient:
    client = NetworkClient()
    client.truth = dict(enumerate(boxes))
    return client


def test_without_a_policy_templates_stay_those_of_the_first_frame() -> None:
    client = client_with(*BOXES)
    with MultiTracker(client, "nanotrackv3") as tracker:
        tracker.add(FRAME, BOXES)
        for _ in range(5):
            tracker.update(FRAME)
    assert len(client.made) == 1
    assert not client.blended


def test_a_blend_is_made_every_so_many_frames_at_the_new_box() -> None:
    client = client_with(*BOXES)
    with MultiTracker(client, "nanotrackv3", updates=BlendUpdates(rate=0.05, every=3)) as tracker:
        tracker.add(FRAME, BOXES)
        counts = []
        for _ in range(7):
            tracker.update(FRAME)
            counts.append(len(client.blended))
    assert counts == [0, 0, 2, 2, 2, 4, 4]
    blend = client.blended[-1]
    assert (blend["template"], blend["rate"], blend["image"] is FRAME) == ("template-1", 0.05, True)
    assert blend["box"] == pytest.approx(np.array(BOXES[1]) - [0.5, 0.5, 0, 0], abs=1)


@pytest.mark.parametrize("updates", [BlendUpdates(every=2, least=0.6), BankUpdates(every=2, least=0.6)])
def test_a_poor_frame_renews_nothing(updates: Updates) -> None:
    client = client_with(*BOXES)
    with MultiTracker(client, "nanotrackv3", updates=updates) as tracker:
        tracker.add(FRAME, BOXES)
        client.likelihoods = {0: 0.5, 1: 0.5}
        for _ in range(4):
            tracker.update(FRAME)
        assert len(client.made) + len(client.blended) == 1
        client.likelihoods[1] = 0.7
        tracker.update(FRAME)
        assert len(client.made) + len(client.blended) == 2  # as soon as it is sure again
        client.likelihoods[0] = 0.1
        for _ in range(4):
            assert tracker.update(FRAME)[0].confidence < 0.6


def test_a_lost_target_is_never_learnt() -> None:
    client = client_with(BOXES[0])
    with Tracker(client, "nanotrackv3", updates=BlendUpdates(every=1, least=0.0)) as tracker:
        tracker.init(FRAME, BOXES[0])
        client.likelihoods[0] = 0.1
        states = [tracker.update(FRAME).state for _ in range(6)]
    assert states.count("lost") == 4
    assert len(client.blended) == 2


def test_a_bank_keeps_the_first_template_and_the_latest() -> None:
    client = client_with(*BOXES)
    with MultiTracker(client, "nanotrackv3", updates=BankUpdates(size=3, every=2)) as tracker:
        tracker.add(FRAME, BOXES)
        for _ in range(8):
            tracker.update(FRAME)
        assert len(client.made) == 5  # one request for both targets
        assert list(client.templates) == [f"template-{n}" for n in (0, 1, 6, 7, 8, 9)]
        tracker.update(FRAME)
        templates, regions = client.calls[-1]["pairs"]
        assert regions.tolist() == [0, 0, 0, 1, 1, 1]
        assert templates.tolist() == list(range(6))
        assert len(client.calls[-1]["box"]) == 2
        tracker.remove(0)
        assert list(client.templates) == [f"template-{n}" for n in (1, 7, 9)]
    assert not client.templates


def test_templates_maps_are_averaged_by_their_shares() -> None:
    met = Meetings(np.array([0, 1, 1]), [[1.0], BankUpdates().shares(3)])
    maps = [np.full((1, 2, 2), value, np.float32) for value in (5, 1, 2, 3, 10, 20, 30)]
    found, _ = met.maps([Response("t", 1, None, maps={"cls": one}) for one in maps])
    expected = [5, 0.3 * 1 + 0.35 * 2 + 0.35 * 3, 0.3 * 10 + 0.35 * 20 + 0.35 * 30]
    assert found["cls"][:, 0, 0, 0] == pytest.approx(expected)


def test_who_meets_whom_is_found_out_once_for_equal_targets() -> None:
    first = meetings((0, 1, 1), ((1.0,), (0.5, 0.5)))
    assert meetings((0, 1, 1), ((1.0,), (0.5, 0.5))) is first
    assert meetings((0, 1, 1), ((1.0,), (0.25, 0.75))) is not first
    assert first.templates.tolist() == [0, 1, 2, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        first.regions[0] = 1


def test_maps_of_several_shapes_do_not_fit_together() -> None:
    maps = [np.zeros(shape, np.float32) for shape in ((1, 2, 2), (1, 2, 3))]
    with pytest.raises(InternalError, match="do not fit together"):
        meetings((0, 1), ((1.0,),) * 2).maps([Response("t", 1, None, maps={"cls": one}) for one in maps])


def test_a_bank_of_one_has_the_bits_of_no_bank() -> None:
    boxes = {}
    for updates in (None, BankUpdates(every=1000)):
        client = client_with(*BOXES)
        with MultiTracker(client, "nanotrackv3", updates=updates) as tracker:
            tracker.add(FRAME, BOXES)
            boxes[updates] = [track.box.tolist() for track in tracker.update(FRAME).values()]
    assert len(set(map(str, boxes.values()))) == 1


class Troubled(NetworkClient):
    """Fails whatever renews a template, while it has ``trouble``."""

    trouble: SiamcorrError | None = None

    def update_template(self, *arguments, **options):  # type: ignore[no-untyped-def]
        if self.trouble is not None:
            raise self.trouble
        return super().update_template(*arguments, **options)


@pytest.mark.parametrize("trouble", [QueueFull("later"), DeadlineExceeded("too late")])
def test_a_renewal_that_has_no_room_is_put_off(trouble: SiamcorrError) -> None:
    client = Troubled()
    client.truth = {0: BOXES[0]}
    with Tracker(client, "nanotrackv3", updates=BlendUpdates(every=2)) as tracker:
        tracker.init(FRAME, BOXES[0])
        client.trouble = trouble
        for _ in range(3):
            tracker.update(FRAME)
        client.trouble = None
        tracker.update(FRAME)
        tracker.update(FRAME)
    assert len(client.blended) == 1


def test_other_trouble_is_told() -> None:
    client = Troubled()
    client.truth = {0: BOXES[0]}
    with Tracker(client, "nanotrackv3", updates=BlendUpdates()) as tracker:
        tracker.init(FRAME, BOXES[0])
        client.trouble = InternalError("broken")
        with pytest.raises(InternalError):
            tracker.update(FRAME)


def test_a_template_that_is_gone_when_it_is_renewed_is_told_by_the_next_frame() -> None:
    client = client_with(BOXES[0])
    with Tracker(client, "nanotrackv3", updates=BankUpdates(every=1)) as tracker:
        tracker.init(FRAME, BOXES[0])
        tracker.update(FRAME)
        del client.templates["template-1"]
        with pytest.raises(SiamcorrError, match=r"^target 0: "):
            tracker.update(FRAME)
