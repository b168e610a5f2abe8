"""The page of a comparison."""

from __future__ import annotations

import json

import pytest

from load_runs import EMPTY, RUN, SLOW, Strict
from siamcorr_load.page import comparison_page, result_of
from siamcorr_load.result_json import to_json
from siamcorr_load.results import Comparison, ComparisonRow

ROWS = (
    ComparisonRow("latency p50", 0.010, 0.012, 0.2, 0.08, "worse"),
    ComparisonRow("latency p99", 0.030, 0.031, 0.03, 0.30, "same"),
    ComparisonRow("answers a second", 100, 150, 0.5, 0.02, "better"),
)


@pytest.mark.parametrize(
    ("verdict", "title", "kind"),
    [
        ("worse", "The second run is worse", "bad"),
        ("better", "The second run is better", "good"),
        ("mixed", "Better and worse", "bad"),
        ("no difference", "No difference", "good"),
    ],
)
def test_the_page_of_a_comparison_shows_every_change_and_its_noise(
    verdict: str, title: str, kind: str
) -> None:
    comparison = Comparison(ROWS, verdict, ("a note",))
    text = comparison_page(comparison, RUN, SLOW)
    read = Strict(text)
    assert (read.open, read.addresses) == ([], [])
    assert title in read.words
    assert f'class="verdict {kind}"' in text
    assert "latency p50: +20.0 %, noise ±8.0 %, worse" in read.words
    assert {"10.0 ms", "12.0 ms", "+20.0 %", "±8.0 %", "a note"} <= set(read.words)
    assert [text.count(f'<circle class="{one}-dot"') for one in ("good", "bad", "same")] == [1, 1, 1]
    assert result_of(text) == json.loads(to_json(comparison))


def test_runs_that_have_nothing_in_common_have_a_page_too() -> None:
    assert Strict(comparison_page(Comparison((), "no difference"), EMPTY, EMPTY)).open == []
