"""Watching: for as long as somebody asks, of what is asked for, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from networks import small_network
from siamcorr import Engine, EngineSettings
from siamcorr.answers import Template
from siamcorr_server.dashboard import watches as watches_module
from siamcorr_server.dashboard.watches import MAX_WATCHES, SHOWN, WATCHED_S, Sample, Watches

RANDOM = np.random.default_rng(1)
Z = RANDOM.standard_normal((4, 3, 3), np.float32)
X = RANDOM.standard_normal((4, 8, 8), np.float32)
FRAME = RANDOM.integers(0, 256, (60, 80, 3), np.uint8)
BOX = (30.0, 20.0, 12.0, 12.0)


class Watched:
    """An engine whose launches are told to watches at a time that the test sets."""

    def __init__(self) -> None:
        self.watches, self.now_s = Watches(), 0.0
        settings = EngineSettings(device="cpu", models={})
        models = {"small": small_network()}
        self.engine = Engine(settings, models=models, on_launch=self.launched)

    def launched(self, tasks: Sequence[Any], outcomes: Sequence[object]) -> None:
        self.watches.launched(tasks, outcomes, self.now_s)

    def ask(self, template: Template) -> list[Sample]:
        samples = self.watches.ask(template.handle, self.now_s)
        assert samples is not None
        return samples


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    with watched.engine:
        yield watched


def test_nothing_is_kept_of_a_template_that_nobody_watches(watched: Watched) -> None:
    template, other = watched.engine.create_template(Z), watched.engine.create_template(Z)
    watched.ask(other)
    watched.engine.correlate(template, features=X)
    assert watched.ask(template) == []
    assert watched.ask(other) == []


def test_what_is_watched_is_kept_with_what_it_was_answered(watched: Watched) -> None:
    template = watched.engine.create_template(Z)
    watched.ask(template)
    watched.now_s = 1.0
    response = watched.engine.correlate(template, features=X, kind="depthwise", output="both")
    (sample,) = watched.ask(template)
    assert (sample.number, sample.generation, sample.taken_s) == (1, 1, 1.0)
    assert (sample.kind, sample.plan, sample.pairs) == ("depthwise", response.timings.plan, 1)
    np.testing.assert_array_equal(sample.maps["map"], response.map)
    np.testing.assert_array_equal(sample.region, X)
    assert sample.peaks == response.peaks


def test_what_is_kept_is_a_copy(watched: Watched) -> None:
    template, features = watched.engine.create_template(Z), X.copy()
    watched.ask(template)
    response = watched.engine.correlate(template, features=features)
    assert response.map is not None
    (sample,) = watched.ask(template)
    assert sample.region is not None
    assert not np.shares_memory(sample.region, features)
    assert not np.shares_memory(sample.maps["map"], response.map)


def test_a_network_is_kept_with_all_its_maps_and_the_crop(watched: Watched) -> None:
    template = watched.engine.create_template(image=FRAME, box=BOX, model="small")
    watched.ask(template)
    response = watched.engine.correlate(template, image=FRAME, box=BOX, kind="network")
    (sample,) = watched.ask(template)
    assert sample.kind == "network"
    assert sample.maps.keys() == response.maps.keys() == {"sum", "each"}
    assert sample.region is not None
    assert sample.region.shape == (24, 24, 3)
    assert sample.region.dtype == np.uint8


def test_of_peaks_alone_there_is_no_map(watched: Watched) -> None:
    template = watched.engine.create_template(Z)
    watched.ask(template)
    response = watched.engine.correlate(template, features=X, output="peaks", top_k=3)
    (sample,) = watched.ask(template)
    assert sample.maps == {}
    assert not sample.too_large
    assert sample.peaks == response.peaks


def test_a_template_among_others_gets_its_own_map_and_region(watched: Watched) -> None:
    templates = [watched.engine.create_template(Z * scale) for scale in (1.0, 2.0)]
    regions = np.stack([X, X[:, ::-1], X * 3])
    watched.ask(templates[1])
    pairs = ([0, 1, 0], [0, 2, 1])
    responses = watched.engine.correlate(templates, features=regions, pairs=pairs)
    (sample,) = watched.ask(templates[1])
    np.testing.assert_array_equal(sample.region, regions[2])
    np.testing.assert_array_equal(sample.maps["map"], responses[1].map)


def test_a_watch_ends_when_nobody_asks(watched: Watched) -> None:
    template = watched.engine.create_template(Z)
    watched.ask(template)
    watched.engine.correlate(template, features=X)
    watched.now_s = WATCHED_S - 0.01
    assert len(watched.ask(template)) == 1
    watched.now_s += WATCHED_S
    watched.engine.correlate(template, features=X)  # too late, though nobody has looked after it yet
    watched.watches.expire(watched.now_s)
    assert len(watched.watches) == 0
    assert watched.ask(template) == []


def test_so_many_templates_are_watched_and_no_more() -> None:
    watches = Watches()
    for number in range(MAX_WATCHES):
        assert watches.ask(f"tpl_{number}", now_s=0.0) == []
    assert watches.ask("tpl_one_more", now_s=1.0) is None
    assert watches.ask("tpl_0", now_s=1.0) == []
    assert watches.ask("tpl_one_more", now_s=WATCHED_S) == []  # the others have not been asked for since
    assert len(watches) == 2


def test_copies_are_few_a_second_however_many_answers_there_are(watched: Watched) -> None:
    template = watched.engine.create_template(Z)
    watched.ask(template)
    for step in range(20):
        watched.now_s = step * 0.03
        watched.engine.correlate(template, features=X)
    assert [round(sample.taken_s, 2) for sample in watched.ask(template)] == [0.0, 0.12, 0.24, 0.36, 0.48]


def test_the_last_ones_are_kept_and_only_the_very_last_with_its_region(watched: Watched) -> None:
    template = watched.engine.create_template(Z)
    for step in range(SHOWN + 3):
        watched.now_s = float(step)
        watched.ask(template)
        watched.engine.correlate(template, features=X)
        template = watched.engine.update_template(template, Z * step)
    samples = watched.ask(template)
    assert [sample.number for sample in samples] == list(range(4, SHOWN + 4))
    assert [sample.generation for sample in samples] == list(range(4, SHOWN + 4))
    assert [sample.region is None for sample in samples] == [True] * (SHOWN - 1) + [False]
    assert all(sample.maps for sample in samples)


def test_what_is_large_is_not_kept_and_said_to_be(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches_module, "_MOST_BYTES", X.nbytes - 1)
    template = watched.engine.create_template(Z[:, :1, :1])
    watched.ask(template)
    watched.engine.correlate(template, features=X, kind="depthwise")
    (sample,) = watched.ask(template)
    assert (sample.region, sample.maps, sample.too_large) == (None, {}, True)


def test_a_large_map_is_let_go_when_it_is_not_the_last_any_more(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches_module, "_MOST_STRIP_BYTES", 10)
    template = watched.engine.create_template(Z)
    watched.ask(template)
    for watched.now_s in (0.0, 1.0):
        watched.engine.correlate(template, features=X)
    first, second = watched.ask(template)
    assert (first.maps, list(second.maps)) == ({}, ["map"])


def test_a_request_that_fails_in_the_launch_leaves_nothing(watched: Watched) -> None:
    template = watched.engine.create_template(Z)
    watched.ask(template)
    with pytest.raises(ValueError, match="NaN"):
        watched.engine.correlate(template, features=np.full_like(X, np.nan))
    assert watched.ask(template) == []
