"""The Grafana dashboard and the alerts: what they name is there in a real server, and nothing is left out.

No Grafana is needed: their expressions are parsed, and compared with what a server exports.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import promql_parser
import pytest

from gates import IMAGE
from scraped import Scrape, door_of
from servers import Refusal, Stubs, serving

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "grafana" / "siamcorr.json").read_text(encoding="utf-8"))
ALERTS = (DOCS / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}

FROM_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds by itself."""

NOT_SHOWN = {"process_virtual_memory_bytes"}  # what is mapped, mostly never touched: it says nothing

Z = np.ones((4, 3, 3), np.float32)
X = np.ones((4, 8, 8), np.float32)


def plain_panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Return all of them, as Prometheus would get them: with a value for each variable."""
    values = {"__rate_interval": "1m", "job": "siamcorr", "instance": ".+", "method": ".+"}
    found = [target["expr"] for panel in plain_panels() for target in panel["targets"]]
    expanded = []
    for expression in found:
        for period in [option["value"] for option in VARIABLES["period"]["options"]]:
            filled = expression.replace("$period", period)
            for name, value in values.items():
                filled = filled.replace(f"${name}", value)
            expanded.append(filled)
    return list(dict.fromkeys(expanded)) + re.findall(r"expr: (.+)", ALERTS)


def visited(expression: str, kind: type) -> list[Any]:
    nodes: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, kind):
            nodes.append(node)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return nodes


def selectors(expression: str) -> list[Any]:
    return visited(expression, promql_parser.VectorSelector)


@pytest.fixture(scope="module")
def scrape() -> Iterator[Scrape]:
    """Scrape a server that has answered and refused, and that computes on CUDA, as far as it says."""
    with serving(metrics_listen="127.0.0.1:0") as server:
        server.engine._allocated_bytes = lambda: 7
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(Z)
            stubs.correlate(template, features=X)
            stubs.create(image=IMAGE, boxes=[10.0, 10.0, 20.0, 20.0], model="gate")
            Refusal.of(stubs.correlate, "tpl_unknown", features=X)
        yield Scrape.of(door_of(server).address)


def labels_of(scrape: Scrape, name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for sample in scrape.samples:
        if sample.name == name:
            for label, value in sample.labels.items():
                found.setdefault(label, set()).add(value)
    return found


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_what_there_is(expression: str, scrape: Scrape) -> None:
    names = {sample.name for sample in scrape.samples} | {"up"}
    found = selectors(expression)
    assert found, "it looks at something"
    known: set[str] = set(FROM_PROMETHEUS)
    for selector in found:
        assert selector.name in names
        labels = labels_of(scrape, selector.name)
        known |= labels.keys()
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels.keys() | FROM_PROMETHEUS
            is_literal = matcher.op == promql_parser.MatchOp.Equal and matcher.name not in FROM_PROMETHEUS
            if is_literal and (matcher.name, matcher.value) != (
                "code",
                "INTERNAL",
            ):  # a server should have none
                assert matcher.value in labels[matcher.name]
    for aggregate in visited(expression, promql_parser.AggregateExpr):
        assert set(aggregate.modifier.labels if aggregate.modifier else ()) <= known


@pytest.mark.parametrize("expression", expressions())
def test_a_counter_is_looked_at_through_its_rate_and_a_gauge_is_not(expression: str) -> None:
    rated = {
        call.args[0].vector_selector.name
        for call in visited(expression, promql_parser.Call)
        if call.func.name in {"rate", "increase"}
    }
    for name in {selector.name for selector in selectors(expression)}:
        assert (name in rated) is bool(re.search(r"_(total|bucket|count|sum)$", name))


def test_every_metric_is_shown(scrape: Scrape) -> None:
    shown = {selector.name for expression in expressions() for selector in selectors(expression)}
    exported = {sample.name for sample in scrape.samples}
    assert exported - shown == NOT_SHOWN


def test_every_metric_is_in_the_docs_with_its_labels(scrape: Scrape) -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    for sample in scrape.samples:
        name = re.sub(r"_(bucket|count|sum)$", "", sample.name)
        row = re.search(rf"^\| `{name}` \|(.*)$", page, re.MULTILINE)
        assert row is not None, name
        for label in sample.labels.keys() - {"le"}:
            assert f"`{label}`" in row[1]


def test_legends_name_labels_that_are_left(scrape: Scrape) -> None:
    for panel in plain_panels():
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m")
            left = {
                label
                for aggregate in visited(expression, promql_parser.AggregateExpr)
                for label in (aggregate.modifier.labels if aggregate.modifier else ())
            }
            is_summed = bool(visited(expression, promql_parser.AggregateExpr))
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert label in (left if is_summed else FROM_PROMETHEUS)


def test_variables_that_are_used_are_those_that_there_are() -> None:
    text = json.dumps(DASHBOARD["panels"])
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == VARIABLES.keys()
    for one in VARIABLES.values():
        if one["type"] == "query":
            assert re.fullmatch(r"label_values\(siamcorr_\w+(\{job=\"\$job\"\})?, \w+\)", one["definition"])


def test_a_panel_says_where_its_numbers_come_from_and_overlaps_no_other() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in plain_panels():
        assert panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above
