"""Before callers come: each model and each declared shape is used once, and nothing of it is left."""

from __future__ import annotations

from gates import Gate
from siamcorr import Engine, EngineSettings
from siamcorr.settings import WarmShape


def test_models_and_shapes_are_used_once_and_nothing_is_left() -> None:
    gate = Gate()
    gate.opened.set()
    shapes = [WarmShape.parse(text) for text in ("depthwise:8x3x3:8x9x9", "groupwise/2:8x3x3:8x9x9")]
    settings = EngineSettings(device="cpu", models={}, warm_shapes=shapes)
    with Engine(settings, embedders={"gate": gate}) as engine:
        engine.warm_up()
        stats = engine.stats()
        assert (stats.bank.templates, stats.bank.leased) == (0, 0)
        assert stats.device.batches == 2 * (1 + len(shapes)), "a template and a correlation each"
        assert stats.frames.served == 2
