"""The page your_own_tracker.md: its trackers follow their targets, before and behind the service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pages import blocks, run, text_of
from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr.embed.hog import Hog
from siamcorr.embed.transforms import transform_of
from siamcorr.geometry import iou, search_crop, template_crop
from siamcorr.images import channel_mean, cut
from siamcorr_client import Client
from siamcorr_demo.clip import Clip

OWN_TRACKER = text_of("docs/your_own_tracker.md")
CLIP = Clip(frames=5, targets=4)
HOG = Hog(torch.device("cpu"))

pytestmark = pytest.mark.usefixtures("one_thread")

Floats = npt.NDArray[np.float32]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(EngineSettings(device="cpu")) as running:
        yield running


def crop_side(box: Any, size_px: int) -> int:
    crop = template_crop if size_px == HOG.crop.template_px else search_crop
    return crop(box, HOG.crop).side


def crop_around(frame: Any, box: Any, size_px: int) -> Any:
    crop = template_crop if size_px == HOG.crop.template_px else search_crop
    return cut(frame, crop(box, HOG.crop), size_px, channel_mean(frame))


def backbone(pixels: Any) -> Floats:
    """Embed a crop; a template's is made one that plain correlation can follow."""
    features = HOG(torch.from_numpy(pixels)[None])
    if len(pixels) == HOG.crop.template_px:
        features = transform_of(HOG.transform)(features, tuple(features.shape[1:]))
    return np.asarray(features[0].numpy(), np.float32)


@pytest.fixture
def names(server: RunningServer) -> dict[str, Any]:
    """Return the names that the blocks of your_own_tracker.md make, once they have run."""
    own: dict[str, Any] = {
        "backbone": backbone,
        "crop_around": crop_around,
        "crop_side": crop_side,
        "TEMPLATE_PX": HOG.crop.template_px,
        "SEARCH_PX": HOG.crop.search_px,
        "STRIDE": HOG.stride,
    }
    for block in blocks(OWN_TRACKER):
        run(block, own, server, "your_own_tracker.md")
    return own


def followed(tracker: Any, target: int = 0) -> npt.NDArray[np.float64]:
    """Return the boxes that a tracker gives on the clip, (frames, 4)."""
    tracker.init(CLIP.image(0), CLIP.boxes(0)[target])
    return np.array([tracker.update(CLIP.image(index)) for index in range(1, len(CLIP))])


def truth(target: int = 0) -> npt.NDArray[np.float64]:
    return np.array([CLIP.boxes(index)[target] for index in range(1, len(CLIP))])


def test_a_tracker_behind_the_service_follows_as_it_did_by_itself(
    server: RunningServer, names: dict[str, Any]
) -> None:
    plain = followed(names["PlainTracker"]())
    assert iou(plain, truth()).min() > 0.6
    with Client(server.address) as client:
        for kind in ("ServedTracker", "LearningTracker", "SturdyTracker"):
            tracker = names[kind](client)
            served = followed(tracker)
            assert iou(served, truth()).min() > 0.6
            assert served == pytest.approx(plain, abs=HOG.stride)  # but for the fraction of a cell
            tracker.close()
        tracker = names["FrameTracker"](client)
        assert iou(followed(tracker), truth()).min() > 0.6
        client.delete_template(tracker.template)
    assert not server.engine.stats().bank.templates


def test_many_targets_in_one_call_go_where_each_goes_alone(
    server: RunningServer, names: dict[str, Any]
) -> None:
    with Client(server.address) as client:
        alone = [followed(names["ServedTracker"](client), target)[-1] for target in range(3)]
        together = names["ServedTrackers"](client)
        for box in CLIP.boxes(0)[:3]:
            together.add(CLIP.image(0), box)
        for index in range(1, len(CLIP)):
            boxes = together.update(CLIP.image(index))
    assert np.array_equal(boxes, alone)


def test_a_template_that_learns_has_a_new_generation(server: RunningServer, names: dict[str, Any]) -> None:
    with Client(server.address) as client:
        tracker = names["LearningTracker"](client)
        followed(tracker)
        tracker.learn(CLIP.image(4))
        assert tracker.template.generation == 2


def test_a_sturdy_tracker_outlives_its_template_and_its_server(names: dict[str, Any]) -> None:
    with serving() as server, Client(server.address, attempts=1) as client:
        tracker = names["SturdyTracker"](client)
        tracker.init(CLIP.image(0), CLIP.boxes(0)[0])
        client.delete_template(tracker.template)
        first = tracker.update(CLIP.image(1))
        assert iou(first, truth()[:1]).min() > 0.6
        with server.engine:  # closed, the engine refuses what comes
            pass
        assert np.array_equal(tracker.update(CLIP.image(2)), first)


def test_the_calls_of_the_table_are_taken(server: RunningServer) -> None:
    rows = re.findall(
        r"^\| (?!your model|---).* \| (.*) \|$", OWN_TRACKER.partition("## 2.")[0], re.MULTILINE
    )
    keywords = [f"dict({found})" for row in rows for found in re.findall(r"`((?:kind|output)=[^`]*)`", row)]
    z, z_cls, z_loc = np.ones((3, 8, 3, 3), np.float32)
    own = {"np": np, "b": 0.5, "weight": np.ones((2, 8), np.float32), "bias": np.zeros(2, np.float32)}
    assert len(keywords) == 5
    with Client(server.address) as client:
        template = client.create_template(z)
        for options in keywords:
            client.correlate(template, features=np.ones((8, 5, 5), np.float32), **eval(options, own))  # noqa: S307
        named = client.create_template({"cls": z_cls, "loc": z_loc})
        client.correlate(named, tensor="cls", features=np.ones((8, 5, 5), np.float32))
