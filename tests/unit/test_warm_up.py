"""Before callers come: each model and each declared shape is used once, and nothing of it is left."""

from __future__ import annotations

import numpy as np
import pytest

from gates import Gate
from siamcorr import Engine, EngineSettings
from siamcorr.ops.kernel import is_available
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


@pytest.mark.skipif(not is_available(), reason="no compiler")
@pytest.mark.parametrize("shape", ["naive:128x6x6:128x22x22", "upchannel:320x4x4:32x20x20"])
def test_a_declared_shape_is_compiled_for_one_template_and_for_many(shape: str) -> None:
    warm = WarmShape.parse(shape)
    with Engine(EngineSettings(device="cpu", models={}, warm_shapes=[warm])) as engine:
        engine.warm_up()
        before = engine.stats().compilations
        template = engine.create_template(np.zeros(warm.template, np.float32))
        for templates in ([template], [template] * 32):
            features = np.zeros(warm.search, np.float32)
            first, *_ = engine.correlate(templates, features=features, kind=warm.correlation.kind)
            assert first.timings.plan == ("winograd" if len(templates) == 32 else "direct")
        assert engine.stats().compilations == before
