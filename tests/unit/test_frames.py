"""Crops of a frame: shared among threads, but not more at once than there is memory for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gates import IMAGE, Gate
from siamcorr import frames
from siamcorr.calls import Frame
from siamcorr.embed import Workers, model_of, transform_of
from siamcorr.frames import prepare
from siamcorr.geometry import template_crop
from siamcorr.images import channel_mean, cut
from siamcorr.settings import EngineSettings
from siamcorr.tasks import PrepareTask, TemplateKey, TemplateTask


class Counted(Workers):
    """Says in how many parts the work came."""

    parts = 0

    def each(self, work: Callable[[int], object], count: int) -> None:
        self.parts = count
        super().each(work, count)


@pytest.mark.parametrize(
    ("sides", "parts"),
    [([20.0] * 5, 5), ([20.0, 2000.0, 20.0], 1), ([1000.0, 20.0, 1000.0, 1000.0, 500.0], 4)],
    ids=["small", "one large", "some large"],
)
def test_large_crops_are_not_all_cut_at_once(
    sides: list[float], parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_MAX_PIXELS_AT_ONCE", 4000**2)  # a crop is twice as wide as its box
    boxes = np.array([(10.0 + number, 10.0, side, side) for number, side in enumerate(sides)])
    task = TemplateTask(TemplateKey("gate"), len(boxes), {})
    workers = Counted(3)
    models = {"gate": model_of(Gate(), transform_of("none"))}
    prepare(PrepareTask(Frame(IMAGE, boxes), [task], 0), models, EngineSettings(models={}), workers)
    workers.close()
    assert workers.parts == parts
    for box, crop in zip(boxes, task.crops, strict=True):
        expected = cut(IMAGE, template_crop(box, Gate.crop), Gate.crop.template_px, channel_mean(IMAGE))
        np.testing.assert_array_equal(crop, expected)
