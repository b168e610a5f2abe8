"""NanoTrack v3 whole, in an Engine in this process: the boxes that its own tracker gives on real video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from siamcorr import Engine, EngineSettings
from siamcorr.geometry import iou
from siamcorr_client.trackers import Tracker

WEIGHTS = "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt"
FRAMES = 30


@pytest.mark.parametrize(
    "name", ["Crossing", "David", "Freeman1", "MotorRolling", "vot15_bag", "vot15_ball1"]
)
@pytest.mark.usefixtures("one_thread")
def test_the_boxes_are_those_of_the_original(name: str, shared: Path) -> None:
    golden = np.loadtxt(shared / "golden" / "nanotrackv3" / f"{name}.csv", delimiter=",")[:FRAMES]
    paths = sorted((shared / "sequences" / name / "img").glob("*.jpg"))[:FRAMES]
    settings = EngineSettings(device="cpu", models={"nanotrackv3": str(shared / WEIGHTS)})
    with Engine(settings) as engine, Tracker(engine, "nanotrackv3") as tracker:
        tracker.init(paths[0].read_bytes(), golden[0, :4])
        tracks = [tracker.update(path.read_bytes()) for path in paths[1:]]
    boxes = np.array([track.box for track in tracks])
    assert boxes == pytest.approx(golden[1:, :4], abs=0.01)
    assert iou(boxes, golden[1:, :4]).min() > 0.999
    assert [track.score for track in tracks] == pytest.approx(golden[1:, 4], abs=1e-3)
