from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_runs import CAPACITY, EMPTY, NOTHING, RUN, TOLD, Strict
from siamcorr_load.page import page, result_of
from siamcorr_load.page_chart import Axis, Chart, Line, log_axis, share_bar, zero_axis
from siamcorr_load.report import run_text
from siamcorr_load.result_json import from_json, to_json
from siamcorr_load.results import Capacity, Run, Verdict


@pytest.mark.parametrize("result", [RUN, EMPTY, CAPACITY, NOTHING])
def test_a_page_is_whole_html_and_needs_nothing_else(result: Run | Capacity) -> None:
    read = Strict(page(result))
    assert read.open == []
    assert read.addresses == []
    assert not re.search(r"https?:|@import|url\(", page(result))


@pytest.mark.parametrize("result", [RUN, EMPTY, CAPACITY, NOTHING])
def test_a_page_holds_the_result_as_json(result: Run | Capacity) -> None:
    assert result_of(page(result)) == json.loads(to_json(result))


def test_a_page_that_holds_no_result_is_refused() -> None:
    with pytest.raises(ValueError, match="not found"):
        result_of("<html></html>")


@pytest.mark.parametrize(
    "figure",
    [
        *("1,995", "249", "99.600 %", "11.1 ms", "24.8 ms", "22.1 ms", "43.6 ms", "45.0 ms", "1,496"),
        *("rejected: RESOURCE_EXHAUSTED", "error: UNAVAILABLE", "310 MiB", "not known", "6.20 ms", "network"),
    ],
)
def test_the_figures_of_the_result_stand_in_the_page(figure: str) -> None:
    assert figure in Strict(page(RUN)).words


def test_each_batch_size_and_window_has_its_numbers_as_a_tooltip() -> None:
    words = Strict(page(RUN)).words
    assert "8 pairs: 66.8 % of answers" in words
    assert [word for word in words if word.startswith("window 3:")] == [
        "window 3: 248/s",
        "window 3: p50 11.1 ms",
        "window 3: p99 24.8 ms",
        "window 3: max 45.0 ms",
    ]


def test_the_capacity_page_shows_the_answer_and_every_run() -> None:
    words = Strict(page(CAPACITY)).words
    assert "80 targets at 25 fps" in words
    assert "capacity 80" in words
    assert "76 to 84" in words
    assert 'class="band"' in page(CAPACITY)
    assert "160 targets: p99 310 ms, 20.0 % on time" in words
    assert words.count("not carried") == 1


def test_the_figures_are_those_of_the_run_nearest_to_the_answer() -> None:
    words = Strict(page(dataclasses.replace(CAPACITY, answer=90, points=CAPACITY.points[::-1]))).words
    assert "latency p99 with 80" in words
    assert "The run with 80 targets, in full" in words


def test_why_a_result_cannot_be_trusted_stands_at_the_top() -> None:
    text = page(NOTHING)
    assert "<li>too noisy</li>" in text[: text.index('class="tiles"')]


@pytest.mark.parametrize("result", [RUN, CAPACITY])
def test_the_heading_of_a_result_that_cannot_be_trusted_says_that_before_its_figure(
    result: Run | Capacity,
) -> None:
    figure = "1,995 target updates a second" if isinstance(result, Run) else "80 targets at 25 fps"
    assert f"<h1>{figure}</h1>" in page(result)
    text = page(dataclasses.replace(result, verdict=Verdict("invalid", ("too noisy",))))
    assert f"<h1>Not to be believed: {figure}</h1>" in text
    assert f"<title>Not to be believed: {figure} - siamcorr-load</title>" in text
    assert f"<h1>{figure}" not in text


def test_what_to_know_of_a_result_stands_there_and_is_no_reproach() -> None:
    noted = dataclasses.replace(RUN, verdict=Verdict(notes=("one machine for both",)))
    text = page(noted)
    assert '<ul class="wide soft"><li>one machine for both</li></ul>' in text
    assert 'class="wide bad"' not in text
    assert run_text(noted).endswith("valid\n  note: one machine for both")


@pytest.mark.parametrize(
    "figure",
    [
        *("249", "1.23 ms", "4.56 ms", "415 MiB", "2.60", "rejected: QUEUE_FULL"),
        *("2 pairs: 50 launches", "3-4 pairs: 40 launches", "10.1 ms to 12.1 ms", "241 to 257"),
    ],
)
def test_the_servers_own_figures_and_the_repeats_stand_in_the_page(figure: str) -> None:
    assert figure in Strict(page(TOLD)).words
    assert from_json(to_json(TOLD), Run) == TOLD


HOSTILE = "</script><script>alert(1)</script><img src=x onerror='a'>&\"\u2028"


def test_text_from_outside_cannot_become_part_of_the_page() -> None:
    hostile = dataclasses.replace(
        RUN,
        settings={"server": HOSTILE, HOSTILE: HOSTILE},
        machine={HOSTILE: HOSTILE},
        started=HOSTILE,
        errors={HOSTILE: 1},
        verdict=Verdict("invalid", (HOSTILE,)),
    )
    text = page(hostile)
    assert text.count("<script") == 1
    assert "<img" not in text
    assert result_of(text)["settings"]["server"] == HOSTILE
    assert HOSTILE in Strict(text).words


positive = st.floats(1e-6, 1e6)


@given(st.lists(positive, max_size=20))
def test_axes_hold_all_values_and_a_few_ticks(values: list[float]) -> None:
    for axis in (log_axis("time", values, 1e-3, " ms"), zero_axis("targets", values)):
        assert all(axis.low <= value <= axis.high for value in values)
        assert all(axis.low <= tick <= axis.high for tick, _ in axis.ticks)
        assert len(axis.ticks) <= 14
    assert len(zero_axis("targets", values).ticks) >= 2


@given(st.lists(st.tuples(positive, positive), max_size=20))
def test_every_point_of_a_line_lies_within_the_chart(points: list[tuple[float, float]]) -> None:
    x, y = Axis("x", 0, 1e6, ()), log_axis("y", [y for _, y in points], 1.0, "")
    svg = Chart("a chart", x, y, [Line("a line", "s1", points, [""] * len(points))]).svg()
    places = re.findall(r'cx="([^"]+)" cy="([^"]+)"', svg)
    assert len(places) == len(points)
    assert all(0 <= float(left) <= 760 and 0 <= float(top) <= 320 for left, top in places)


def test_a_bar_is_shared_in_proportion() -> None:
    svg = share_bar("shares", [("one", 1.0, "1"), ("three", 3.0, "3")], width=400)
    assert re.findall(r'width="([\d.]+)" height', svg) == ["100.0", "300.0"]
