"""The anchor and the anchor-free kinds: against loops as published, and bit by bit in any company."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamcorr_client.trackers.anchor import Anchor
from siamcorr_client.trackers.anchor_free import AnchorFree
from siamcorr_client.trackers.kinds import Found, Kind, best_of_each
from siamcorr_client.trackers.places import Places
from siamcorr_client.trackers.settings import AnchorFreeSettings, AnchorSettings, ProposalSettings

Floats = npt.NDArray[np.float64]

KINDS: dict[str, tuple[Kind, int, int]] = {
    "anchor-free": (AnchorFree(AnchorFreeSettings()), 1, 15),
    "anchor": (Anchor(AnchorSettings(search_px=287)), 5, 21),
}
FRAME = np.array([640.0, 480.0])


@given(
    st.lists(
        st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, math.nan]), min_size=1, max_size=5), min_size=1
    )
)
def test_each_owners_best_is_the_first_of_its_highest(scores: list[list[float]]) -> None:
    owners = np.repeat(np.arange(len(scores)), [len(one) for one in scores])
    starts = np.cumsum([0, *map(len, scores[:-1])])
    expected = [start + np.argmax(one) for start, one in zip(starts, scores, strict=True)]
    assert best_of_each(owners, np.concatenate(scores)).tolist() == expected


def random_maps(kind: str, count: int, seed: int, spread: float = 3.0) -> dict[str, npt.NDArray[np.float32]]:
    _, anchors, cells = KINDS[kind]
    rng = np.random.default_rng(seed)
    cls = rng.normal(0, spread, (count, 2 * anchors, cells, cells))
    loc = rng.normal(0, 0.3, (count, 4 * anchors, cells, cells))
    return {
        "cls": cls.astype(np.float32),
        "loc": (loc if anchors > 1 else 30 * np.exp(loc)).astype(np.float32),
    }


def random_places(count: int, seed: int) -> Places:
    rng = np.random.default_rng(seed + 1)
    return Places.of(
        np.concatenate([rng.uniform(0, 400, (count, 2)), rng.uniform(12, 90, (count, 2))], axis=1)
    )


def find(kind: str, places: Places, maps: dict[str, Any], window: Floats | None = None) -> Found:
    one = np.ones(len(places)) if window is None else window
    return KINDS[kind][0].find(places, maps, [None] * len(places), FRAME, one)


def proposals_as_published(kind: str, maps: dict[str, Any]) -> list[tuple[float, ...]]:
    """Return (x, y, w, h, score, window) of each proposal of one region, written as loops."""
    _, anchors, cells = KINDS[kind]
    stride = 16 if anchors == 1 else 8
    cls = maps["cls"][0].astype(np.float64).reshape(2, anchors, cells, cells)
    loc = maps["loc"][0].astype(np.float64).reshape(4, anchors, cells, cells)
    hann = np.hanning(cells)
    found: list[tuple[float, ...]] = []
    for anchor in range(anchors):
        for row in range(cells):
            for col in range(cells):
                a, b, c, d = loc[:, anchor, row, col]
                x, y = stride * (col - cells // 2), stride * (row - cells // 2)
                if anchors == 1:
                    box = ((x - a + x + c) / 2, (y - b + y + d) / 2, a + c, b + d)
                else:
                    width = int(math.sqrt(64 / (0.33, 0.5, 1, 2, 3)[anchor]))
                    w, h = 8 * width, 8 * int(width * (0.33, 0.5, 1, 2, 3)[anchor])
                    box = (a * w + x, b * h + y, math.exp(c) * w, math.exp(d) * h)
                background, target = np.exp(cls[:, anchor, row, col])
                found.append((*box, target / (target + background), hann[row] * hann[col]))
    return found


def track_as_published(
    kind: str, settings: ProposalSettings, centre: Floats, size: Floats, maps: dict[str, Any]
) -> tuple[list[float], float]:
    def side(w: float, h: float) -> float:
        return math.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))

    scale = 127 / side(*size)
    best, most = None, -1.0
    for x, y, w, h, score, window in proposals_as_published(kind, maps):
        grown = side(w, h) / side(size[0] * scale, size[1] * scale)
        turned = (size[0] / size[1]) / (w / h)
        penalty = math.exp(-(max(turned, 1 / turned) * max(grown, 1 / grown) - 1) * settings.penalty_k)
        rank = penalty * score * (1 - settings.window_influence) + window * settings.window_influence
        if rank > most:
            best, most = (x / scale, y / scale, w / scale, h / scale, score, penalty), rank
    assert best is not None
    x, y, w, h, score, penalty = best
    rate = penalty * score * settings.rate
    cx, cy = (max(0.0, min(c + d, limit)) for c, d, limit in zip(centre, (x, y), FRAME, strict=True))
    w, h = (max(10.0, min(o * (1 - rate) + n * rate, f)) for o, n, f in zip(size, (w, h), FRAME, strict=True))
    return [cx - w / 2, cy - h / 2, w, h], score


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_a_step_is_as_published(kind: str, seed: int) -> None:
    places, maps = random_places(1, seed), random_maps(kind, 1, seed)
    found = find(kind, places, maps)
    tracker = KINDS[kind][0]
    settings = tracker.settings  # type: ignore[attr-defined]
    box, score = track_as_published(kind, settings, places.centres[0], places.sizes[0], maps)
    assert tracker.boxes(found.places)[0] == pytest.approx(box, abs=1e-9)
    assert found.scores[0] == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 40), seed=st.integers(0, 1000), spread=st.sampled_from([0.0, 1.0, 20.0]))
def test_a_target_has_the_same_bits_alone_and_among_others(
    kind: str, count: int, seed: int, spread: float
) -> None:
    places, maps = random_places(count, seed), random_maps(kind, count, seed, spread)
    together = find(kind, places, maps)
    for row in range(count):
        rows = np.array([row])
        alone = find(kind, places.take(rows), {name: values[row : row + 1] for name, values in maps.items()})
        for field in ("scores", "maps", "views"):
            assert np.array_equal(getattr(together, field)[row], getattr(alone, field)[0])
        assert np.array_equal(together.places.centres[row], alone.places.centres[0])
        assert np.array_equal(together.places.sizes[row], alone.places.sizes[0])


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_window_a_jump_costs_nothing(kind: str) -> None:
    places, maps = Places.of(np.array([[100.0, 100.0, 40.0, 40.0]])), random_maps(kind, 1, 3, 0.0)
    maps["loc"][:] = 0 if kind == "anchor" else 32  # the target's size, 64 pixels of a search region
    maps["cls"][0, -1 if kind == "anchor-free" else 7, 0, 0] = 2  # the square anchor
    held, free = (find(kind, places, maps, np.array([part])).scores[0] for part in (1.0, 0.0))
    assert held == 0.5
    assert free == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_never_win(kind: str, value: float) -> None:
    places, maps = random_places(1, 5), random_maps(kind, 1, 5)
    expected = find(kind, places, maps)
    for name in maps:
        maps[name][0, :, 0, :] = value
    found = find(kind, places, maps)
    assert np.isfinite(found.places.centres).all()
    assert found.scores.tolist() == expected.scores.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_overflow_put_no_target_out_of_the_world(kind: str) -> None:
    places, maps = random_places(2, 6), random_maps(kind, 2, 6)
    maps["loc"][0] = 1e30
    found = find(kind, places, maps)
    assert np.isfinite(found.places.centres).all()
    assert np.isfinite(found.places.sizes).all()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_without_a_number_leave_a_target_where_it_is(kind: str) -> None:
    places, maps = random_places(2, 6), random_maps(kind, 2, 6)
    maps["cls"][0] = np.nan
    found = find(kind, places, maps)
    assert found.places.centres[0].tolist() == places.centres[0].tolist()
    assert found.places.sizes[0].tolist() == places.sizes[0].tolist()
    assert found.scores[0] == 0
    assert found.scores[1] > 0


def test_of_equals_the_first_anchor_and_cell_wins() -> None:
    places = Places.of(np.array([[100.0, 100.0, 40.0, 40.0]]))
    maps = {"cls": np.zeros((1, 10, 21, 21), np.float32), "loc": np.zeros((1, 20, 21, 21), np.float32)}
    kind = Anchor(AnchorSettings(penalty_k=0.0, window_influence=0.0, search_px=287))
    found = kind.find(places, maps, [None], FRAME, np.ones(1))
    scale = 127 / 80
    assert found.places.centres[0] == pytest.approx(places.centres[0] - 80 / scale)
    assert found.places.sizes[0] == pytest.approx(40 * 0.81 + np.array([104, 32]) / scale * 0.19)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_map_says_where_its_cells_lie(kind: str) -> None:
    cells = KINDS[kind][2]
    places = Places.of(np.array([[100.0, 50.0, 40.0, 40.0]]))
    found = find(kind, places, random_maps(kind, 1, 8))
    x0, y0, step_x, step_y = found.views[0]
    assert found.maps.shape == (1, cells, cells)
    assert (x0 + cells // 2 * step_x, y0 + cells // 2 * step_y) == pytest.approx((119.5, 69.5))
    assert step_x == step_y == pytest.approx((8 if kind == "anchor" else 16) * 80 / 127)


@given(edge=st.integers(1, 8192), part=st.floats(0, 1), at_start=st.booleans())
def test_a_box_at_the_edge_is_sent_so_that_its_centre_comes_back(
    edge: int, part: float, at_start: bool
) -> None:
    centre = 0.0 if at_start else float(edge)
    sizes = np.array([[1 + part * (edge - 1)] * 2])
    x, _, w, _ = Places(np.array([[centre, centre]]), sizes, sizes).boxes()[0]
    assert w == sizes[0, 0]
    assert x + (w - 1) / 2 == centre
