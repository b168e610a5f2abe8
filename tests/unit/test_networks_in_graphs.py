"""Networks that are computed in graphs, in the engine: templates in a graph's order, kept and renewed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gates import IMAGE
from graph_networks import DEPTHWISE, OFFSET, hosted, needs_blocks
from siamcorr import Engine, EngineSettings
from siamcorr.answers import Response
from siamcorr.embed.architecture import Branch
from siamcorr.shapes import Correlation

BOXES = np.array([(10.0, 10.0, 20.0, 20.0), (40.0, 30.0, 9.0, 12.0), (22.0, 20.0, 16.0, 9.0)])
OTHER = np.random.default_rng(8).integers(0, 256, IMAGE.shape, np.uint8)
BRANCHES = OFFSET, Branch(DEPTHWISE.tensor, Correlation("depthwise", padding=7, dilation=2))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=[1 << 20, 0], ids=["kept", "made again each time"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    needs_blocks()
    settings = EngineSettings(device="cpu", models={}, prepared_bytes=request.param)
    with Engine(settings, models={"small": hosted(*BRANCHES)}) as engine:
        yield engine
        engine.check_invariants()


def maps_of(responses: Response | Sequence[Response]) -> list[dict[str, npt.NDArray[Any]]]:
    return [dict(one.maps) for one in ([responses] if isinstance(responses, Response) else responses)]


def same(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(np.array_equal(one[name], other[name]) for one, other in pairs for name in other)


def test_a_pair_has_the_same_bits_alone_and_among_others(engine: Engine) -> None:
    templates = engine.create_templates(image=IMAGE, boxes=BOXES, model="small")
    alone = [
        maps_of(engine.correlate(template, image=OTHER, box=BOXES[search], kind="network"))
        for template, search in ((templates[0], 2), (templates[1], 1), (templates[1], 0))
    ]
    own = engine.correlate(
        templates, image=OTHER, box=BOXES, kind="network", pairs=([0, 1, 1, 2], [2, 1, 0, 0])
    )
    assert {response.timings.plan for response in own} == {"graph"}
    assert own[0].timings.embed_s > 0
    assert same(maps_of(own[:3]), [one for (one,) in alone])


def test_a_template_that_is_renewed_is_the_one_that_answers(engine: Engine) -> None:
    inside = 24.0, 18.0, 8.0, 8.0  # nothing outside the frame is searched, where a template's background is
    question: dict[str, Any] = {"image": OTHER, "box": inside, "kind": "network"}
    template, other = (
        engine.create_template(image=image, box=BOXES[0], model="small") for image in (IMAGE, OTHER)
    )
    before = maps_of(engine.correlate(template, **question))
    renewed = engine.update_template(template, image=OTHER, box=BOXES[0], rate=1.0)
    after = engine.correlate(renewed, **question)
    assert (renewed.generation, after.generation) == (2, 2)
    assert same(maps_of(after), maps_of(engine.correlate(other, **question)))
    assert not same(maps_of(after), before)


def test_maps_can_be_rounded_on_the_way(engine: Engine) -> None:
    template = engine.create_template(image=IMAGE, box=BOXES[0], model="small")
    question: dict[str, Any] = {"image": OTHER, "box": BOXES[1], "kind": "network"}
    (whole,), (rounded,) = (
        maps_of(engine.correlate(template, **question, map_dtype=dtype)) for dtype in ("float32", "float16")
    )
    for name, map_ in whole.items():
        np.testing.assert_array_equal(rounded[name], map_.astype(np.float16))
