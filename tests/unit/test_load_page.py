from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr_load.page import page, result_of
from siamcorr_load.page_chart import Axis, Chart, Line, log_axis, share_bar, zero_axis
from siamcorr_load.report import capacity_text, comparison_text, point_text, run_text
from siamcorr_load.results import (
    Capacity,
    CapacityPoint,
    Comparison,
    ComparisonRow,
    Distribution,
    Memory,
    Run,
    Stages,
    Verdict,
    Window,
    to_json,
)

LATENCY = Distribution(
    1496,
    0.0117,
    0.0111,
    0.0172,
    0.0194,
    0.0248,
    0.0328,
    0.0436,
    0.045,
    ((0.0, 0.003), (50.0, 0.0111), (99.0, 0.0248)),
)
RUN = Run(
    settings={"server": "127.0.0.1:50051", "cameras": 10, "targets": 8, "kind": "network", "frames": None},
    machine={"system": "Linux x86_64", "processors": 2},
    started="2026-11-24T14:30:02+00:00",
    warm_up_s=2.0,
    duration_s=6.0,
    period_s=0.04,
    windows=tuple(
        Window(2.0, 500, ok, 498, 2, p50_s=0.0111, p90_s=0.0172, p99_s=0.0248, max_s=0.045)
        for ok in (500, 499, 497)
    ),
    latency=LATENCY,
    service_time=dataclasses.replace(LATENCY, p99_s=0.0221),
    sent=1500,
    ok=1496,
    late_sends=6,
    throughput_per_s=249.3,
    target_updates_per_s=1994.7,
    on_time_rate=0.996,
    dropped_frames=1,
    rejects={"RESOURCE_EXHAUSTED": 3},
    errors={"UNAVAILABLE": 1},
    checked=150,
    batch_sizes={1: 96, 8: 1000, 16: 400},
    stages=Stages(0.0004, 0.0011, 0.0018, 0.0026, 0.0003),
    memory=Memory(310 << 20, None),
)
EMPTY = Run(
    settings={},
    machine={},
    started="",
    warm_up_s=0.0,
    duration_s=0.0,
    period_s=0.04,
    windows=(),
    latency=Distribution(),
    service_time=Distribution(),
    sent=0,
    ok=0,
    late_sends=0,
    throughput_per_s=0.0,
    target_updates_per_s=0.0,
    on_time_rate=0.0,
    verdict=Verdict("invalid", ("nothing was answered",)),
)
SLOW = dataclasses.replace(RUN, latency=dataclasses.replace(LATENCY, p99_s=0.31), on_time_rate=0.2)
CAPACITY = Capacity((CapacityPoint(80, RUN, True), CapacityPoint(160, SLOW, False)), 80, 0.04)
NOTHING = Capacity((CapacityPoint(1, EMPTY, False),), None, 0.04, Verdict("invalid", ("too noisy",)))


class Strict(HTMLParser):
    """Reads a page, and holds it to its tags and to itself."""

    VOID = frozenset({"meta", "line", "rect", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.words.append(data)


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
    assert "160 targets: p99 310 ms, 20.0 % on time" in words
    assert words.count("not carried") == 1


def test_why_a_result_cannot_be_trusted_stands_at_the_top() -> None:
    text = page(NOTHING)
    assert "<li>too noisy</li>" in text[: text.index('class="tiles"')]


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


@pytest.mark.parametrize(
    "line",
    [
        "p99 24.8 ms 22.1 ms",
        "on time 99.600 % of 1,500 within 40.0 ms",
        "dropped 1 frames",
        "rejected 3 (3 RESOURCE_EXHAUSTED)",
        "errors 1 (1 UNAVAILABLE)",
        "batches 9.70 pairs in the launch of an average answer, 16 at most",
        "valid",
    ],
)
def test_a_run_is_written_as_text(line: str) -> None:
    lines = [re.sub(" +", " ", one) for one in run_text(RUN).splitlines()]
    assert line in lines


def test_a_run_without_answers_is_written_too() -> None:
    assert run_text(EMPTY).endswith("invalid\n  nothing was answered")


def test_a_capacity_is_written_as_text() -> None:
    assert capacity_text(CAPACITY).splitlines() == [
        "targets  updates/s      p50      p99   on time",
        "80           1,995  11.1 ms  24.8 ms  99.600 %  carried",
        "160          1,995  11.1 ms   310 ms    20.0 %  not carried",
        "",
        "capacity: 80 targets at 25 fps",
        "valid",
    ]
    assert point_text(CAPACITY.points[1]) == "160  1,995  11.1 ms  310 ms  20.0 %  not carried"
    assert "not one target is answered in time at 25 fps" in capacity_text(NOTHING)


def test_a_generator_that_was_late_stands_beside_its_run() -> None:
    late = dataclasses.replace(SLOW, late_sends=150)
    assert point_text(CapacityPoint(160, late, False)).endswith("20.0 %  not carried  10.0 % sent late")


def test_a_comparison_is_written_as_text() -> None:
    row = ComparisonRow("latency p50", 0.010, 0.012, 0.2, 0.08, "worse")
    share = ComparisonRow("on time", 1.0, 0.9995, -0.0005, 0.002, "same")
    assert comparison_text(Comparison((row, share), "worse", ("a note",))).splitlines() == [
        "              before     after   change   noise",
        "latency p50  10.0 ms   12.0 ms  +20.0 %  ±8.0 %  worse",
        "on time        100 %  99.950 %   -0.1 %  ±0.2 %  same",
        "",
        "note: a note",
        "worse",
    ]


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
