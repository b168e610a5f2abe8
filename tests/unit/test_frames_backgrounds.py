"""Outside the frame is each template's own background, whichever others meet its search region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from networks import small_network
from siamcorr import Engine, EngineSettings, frames
from siamcorr.answers import Response
from siamcorr.arguments import Array
from siamcorr.calls import Frame
from siamcorr.embed import Model, Workers, network_of
from siamcorr.errors import InvalidArgument
from siamcorr.frames import prepare
from siamcorr.resident import Lease, Origin
from siamcorr.tasks import CorrelateTask, Load, NetworkKey, PrepareTask

AT_THE_EDGE = (1.0, 44.0, 8.0, 8.0)
INSIDE = (60.0, 44.0, 8.0, 8.0)


def frame(shade: int) -> Array:
    noise = np.random.default_rng(shade).integers(0, 30, (96, 128, 3))
    return (noise + shade).astype(np.uint8)


@pytest.fixture
def engine() -> Iterator[Engine]:
    settings = EngineSettings(device="cpu", models={})
    with Engine(settings, models={"small": small_network()}) as engine:
        yield engine


@pytest.mark.parametrize("kind", ["network", "depthwise"])
@pytest.mark.parametrize("box", [AT_THE_EDGE, INSIDE], ids=["at the edge", "inside"])
def test_a_pair_has_the_same_bits_whoever_else_meets_its_search_region(
    engine: Engine, kind: str, box: tuple[float, ...]
) -> None:
    templates = [
        engine.create_template(image=frame(shade), box=INSIDE, model="small") for shade in (20, 200, 20)
    ]
    tensor = "" if kind == "network" else "centred"
    for order in (templates, templates[::-1]):
        together = engine.correlate(order, image=frame(90), box=box, kind=kind, tensor=tensor)
        for template, response in zip(order, together, strict=True):
            alone = engine.correlate(template, image=frame(90), box=box, kind=kind, tensor=tensor)
            for mine, theirs in zip(maps_of(response), maps_of(alone), strict=True):
                np.testing.assert_array_equal(mine, theirs)
            assert response.map_to_frame == alone.map_to_frame


@pytest.mark.parametrize(("box", "regions"), [(AT_THE_EDGE, 2), (INSIDE, 1)], ids=["at the edge", "inside"])
def test_a_search_region_is_cut_once_for_each_background_that_it_shows(
    box: tuple[float, ...], regions: int
) -> None:
    cut: list[int] = []
    settings = EngineSettings(device="cpu", models={})
    with Engine(
        settings,
        models={"small": small_network()},
        on_launch=lambda tasks, _: cut.extend(len(getattr(task, "regions", ())) for task in tasks),
    ) as engine:
        templates = [
            engine.create_template(image=frame(shade), box=INSIDE, model="small") for shade in (20, 200, 20)
        ]
        cut.clear()
        engine.correlate([*templates, templates[1]], image=frame(90), box=box, kind="network")
    assert cut == [regions]


def test_regions_that_are_cut_again_count_as_work() -> None:
    model = replace(small_network(), search_multiply_adds=1000)
    pairs = 2 * network_of(model).pair_multiply_adds
    settings = EngineSettings(device="cpu", models={}, max_multiply_adds=1000 + pairs)
    with Engine(settings, models={"small": model}) as engine:
        templates = [
            engine.create_template(image=frame(shade), box=INSIDE, model="small") for shade in (20, 200)
        ]
        engine.correlate(templates, image=frame(90), box=INSIDE, kind="network")
        with pytest.raises(InvalidArgument, match="request: found"):
            engine.correlate(templates, image=frame(90), box=AT_THE_EDGE, kind="network")
        assert engine.stats().bank.leased == 0


def test_crops_that_would_not_fit_the_queue_are_not_even_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_cut_out", lambda *_: pytest.fail("it was cut"))
    model, crop_bytes = small_network(), 3 * 24 * 24
    settings = EngineSettings(device="cpu", models={}, max_bytes=20 * crop_bytes)
    with pytest.raises(InvalidArgument, match=f"request: found crops of {21 * crop_bytes} bytes"):
        prepare(at_the_edge_with(21, model), {"small": model}, settings, Workers(1))


def at_the_edge_with(backgrounds: int, model: Model) -> PrepareTask:
    """Return one search region at the edge that meets as many templates, each of another background."""
    leases = [
        Lease(handle=str(number), generation=1, rows={}, origin=Origin("small", (number, 0, 0)))
        for number in range(backgrounds)
    ]
    every = range(backgrounds)
    load = Load(pair_bytes=0, region_bytes=0, shared_bytes=0, pair_multiply_adds=0)
    key = NetworkKey("small", "float32")
    task = CorrelateTask(key, load, leases, every, [0] * backgrounds, every, [0])
    return PrepareTask(Frame(frame(90), np.array([AT_THE_EDGE])), [task], 3 * model.crop.search_px**2)


def maps_of(response: Response) -> list[Array]:
    return [*response.maps.values()] if response.map is None else [response.map]
