"""The tracker on real video, in front of an Engine in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from siamcorr import Engine, EngineSettings
from siamcorr.geometry import iou
from siamcorr_client.trackers import SiamFCSettings, Tracker

FRAMES = 30
WEIGHTS = "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt"


@pytest.mark.parametrize(("model", "weights", "least"), [("hog", None, 0.75), ("nanotrackv3", WEIGHTS, 0.7)])
@pytest.mark.usefixtures("one_thread")
def test_a_pedestrian_is_followed(model: str, weights: str | None, least: float, shared: Path) -> None:
    folder = shared / "sequences" / "Crossing"
    truth = np.loadtxt(folder / "groundtruth_rect.txt")[:FRAMES]
    frames = [path.read_bytes() for path in sorted((folder / "img").glob("*.jpg"))[:FRAMES]]
    settings = EngineSettings(device="cpu", models={model: weights and str(shared / weights)})
    with Engine(settings) as engine, Tracker(engine, model, SiamFCSettings()) as tracker:
        tracker.init(frames[0], truth[0])
        boxes = [tracker.update(frame).box for frame in frames[1:]]
        assert iou(boxes, truth[1:]).mean() > least
        assert engine.stats().bank.templates == 1
        tracker.close()
        assert engine.stats().bank.templates == 0
