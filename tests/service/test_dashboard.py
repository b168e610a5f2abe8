"""The dashboard of a running server: its numbers are those of the calls that were made."""

from __future__ import annotations

import logging
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dashboards import address_of, ask, get, listening
from gates import IMAGE
from refusals import refused
from scraped import Scrape, door_of
from servers import Refusal, RunningServer, Stubs, serving
from siamcorr.checks import correlate_call
from siamcorr.errors import InvalidArgument
from siamcorr_server.command_line import CommandLine
from siamcorr_server.config import ServerConfig
from siamcorr_server.dashboard import Dashboard
from siamcorr_server.dashboard import pages as pages_module
from siamcorr_server.dashboard.watches import MAX_WATCHES
from siamcorr_server.doors import doors_of
from siamcorr_server.server import Server
from whole_messages import correlate_request

Z = np.random.default_rng(1).standard_normal((4, 3, 3), np.float32)
X = np.random.default_rng(2).standard_normal((4, 8, 8), np.float32)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(dashboard_port=0) as running:
        yield running


@pytest.fixture
def stubs(server: RunningServer) -> Iterator[Stubs]:
    stubs = Stubs(server.address)
    with stubs.channel:
        yield stubs


@pytest.fixture
def address(server: RunningServer) -> str:
    return address_of(server)


def make_calls(stubs: Stubs) -> None:
    """Make 3 templates, correlate 5 times, 9 pairs, and be refused twice."""
    templates = [stubs.create(Z)[0] for _ in range(3)]
    for kind in ("naive", "depthwise"):
        stubs.correlate(templates, features=X, kind=kind)
    for template in templates:
        stubs.correlate(template, features=X)
    for _ in range(2):
        Refusal.of(stubs.correlation.Correlate, correlate_request(correlate_call("tpl_none", features=X)))


TOLD = {
    "requests": [
        {"method": "CorrelationService/Correlate", "code": "NOT_FOUND", "count": 2},
        {"method": "CorrelationService/Correlate", "code": "OK", "count": 5},
        {"method": "TemplateService/CreateTemplate", "code": "OK", "count": 3},
    ],
    "errors": {"TEMPLATE_NOT_FOUND": 2},
    "launches": {"template": 3, "naive": 4, "depthwise": 1},
    "pairs": {"template": 3, "naive": 6, "depthwise": 3},
}


def test_the_totals_are_the_calls_that_were_made(server: RunningServer, stubs: Stubs, address: str) -> None:
    make_calls(stubs)
    assert get(address, "state")["totals"] == TOLD
    assert get(address, "state")["server"]["models"] == list(server.engine.models)


def test_its_numbers_agree_with_the_metrics() -> None:
    with serving(dashboard_port=0, metrics_listen="127.0.0.1:0") as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            make_calls(stubs)
        scrape = Scrape.of(door_of(server).address)
        told = get(address_of(server), "state")["totals"]
        with listening(address_of(server)) as events:
            events.next()
            bank = events.next()[1]["second"]["bank"]
    requests = {(one["method"], one["code"]): one["count"] for one in told["requests"]}
    assert requests == scrape.by("siamcorr_requests_total", "method", "code")
    assert told["launches"] == scrape.by("siamcorr_launch_pairs_count", "kind")
    assert told["pairs"] == scrape.by("siamcorr_launch_pairs_sum", "kind")
    assert bank["templates"] == scrape["siamcorr_templates"]
    assert bank["bytes"] == scrape["siamcorr_template_bytes"]
    assert bank["budget_bytes"] == scrape["siamcorr_template_budget_bytes"]


def test_the_seconds_add_up_to_the_totals(stubs: Stubs, address: str) -> None:
    with listening(address) as events:
        name, state = events.next()
        assert name == "state"
        make_calls(stubs)
        seconds = state["seconds"]
        while sum(sum(second["requests"].values()) for second in seconds) < 10:
            name, told = events.next()
            assert name == "second"
            seconds.append(told["second"])
    assert told["totals"] == TOLD
    assert sum(second["pairs"] for second in seconds) == 9
    assert sum(second["launches"] for second in seconds) == 8
    assert sum(sum(second["batches"]) for second in seconds) == 5
    assert sum(second["errors"].get("TEMPLATE_NOT_FOUND", 0) for second in seconds) == 2
    assert seconds[-1]["bank"]["templates"] == 3
    assert get(address, "state")["seconds"][: len(seconds)] == seconds


def test_the_gauges_are_the_engines_own(server: RunningServer, stubs: Stubs, address: str) -> None:
    stubs.create(Z)
    with listening(address) as events:
        events.next()
        second = events.next()[1]["second"]
    stats = server.engine.stats()
    assert second["bank"]["bytes"] == stats.bank.bytes_used > 0
    assert second["bank"]["budget_bytes"] == stats.bank.budget_bytes
    assert second["queues"]["device"] == {"waiting": 0, "running": 0, "bytes": 0, "oldest_ms": 0.0}
    assert second["in_flight"] == 0


def test_templates_are_listed_as_the_client_has_them(stubs: Stubs, address: str) -> None:
    template = stubs.create(Z)[0]
    (made,) = stubs.create(image=IMAGE, boxes=[(10, 10, 8, 8)], model="gate")
    found = get(address, "templates")
    assert (found["matching"], found["looked_at"], found["is_all"]) == (2, 2, True)
    rows = {row["handle"]: row for row in found["templates"]}
    assert rows[template.handle]["model"] is None
    assert rows[template.handle]["tensors"] == [{"name": "features", "dtype": "float32", "shape": [4, 3, 3]}]
    assert rows[template.handle]["bytes"] == template.size_bytes
    assert rows[made.handle]["model"] == "gate"
    assert [row["handle"] for row in get(address, "templates", filter="GATE")["templates"]] == [made.handle]
    assert get(address, "templates", filter="tpl_nobody")["matching"] == 0
    assert get(address, "templates", filter=template.handle[:12].upper())["matching"] == 1


def test_of_many_templates_some_are_listed_and_the_others_counted(stubs: Stubs, address: str) -> None:
    handles = [stubs.create(Z[:1, :1, :1])[0].handle for _ in range(55)]
    pages = [get(address, "templates", skip=skip) for skip in (0, 50, 100)]
    assert [len(page["templates"]) for page in pages] == [50, 5, 0]
    assert {page["matching"] for page in pages} == {55}
    listed = [row["handle"] for page in pages for row in page["templates"]]
    assert sorted(listed) == sorted(handles)


def test_a_watched_templates_next_response_is_shown_and_told_once(stubs: Stubs, address: str) -> None:
    (template,) = stubs.create(image=IMAGE, boxes=[(10, 10, 8, 8)], model="gate")
    assert get(address, "watch", handle=template.handle) == {"number": 0, "age_s": None, "is_new": False}
    (response,) = stubs.correlate(template, image=IMAGE, box=(12, 9, 8, 8))
    assert response.map is not None
    found = get(address, "watch", handle=template.handle)
    assert (found["is_new"], found["number"], found["generation"]) == (True, 1, 1)
    assert (found["map"]["rows"], found["map"]["cols"]) == response.map.shape[1:]
    assert found["map"]["high"] == pytest.approx(float(response.map.max()))
    assert found["picture"]["what"] == "crop"
    again = get(address, "watch", handle=template.handle, since=1)
    assert (again["is_new"], again["number"]) == (False, 1)
    assert get(address, "watch", handle=template.handle, since=1, view="map:0")["is_new"] is False


def test_of_a_caller_of_peaks_the_peaks_are_shown(stubs: Stubs, address: str) -> None:
    template = stubs.create(Z)[0]
    get(address, "watch", handle=template.handle)
    (response,) = stubs.correlate(template, features=X, output="peaks", top_k=2)
    found = get(address, "watch", handle=template.handle)
    assert found["map"] is None
    assert [peak["score"] for peak in found["peaks"]] == [peak.score for peak in response.peaks]


def test_a_template_that_is_gone_and_one_too_many_are_told_apart(stubs: Stubs, address: str) -> None:
    status, _, body = ask(address, "/api/watch?handle=tpl_none")
    assert (status, b"tpl_none" in body) == (404, True)
    for _ in range(MAX_WATCHES):
        get(address, "watch", handle=stubs.create(Z)[0].handle)
    status, _, body = ask(address, f"/api/watch?handle={stubs.create(Z)[0].handle}")
    assert (status, str(MAX_WATCHES).encode() in body) == (429, True)


def test_pages_beyond_a_number_are_refused_and_the_others_go_on(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "MAX_PAGES", 1)
    with listening(address) as events:
        events.next()
        assert ask(address, "/api/events")[0] == 503
        assert events.next()[0] == "second"


def test_a_server_ends_in_front_of_open_pages() -> None:
    with serving(dashboard_port=0) as server:
        address = address_of(server)
        with listening(address) as events, listening(address):
            assert events.next()[0] == "state"
            server.start(server.doors[0].close()).result()
            events.rest()  # else it would wait for ever
        with pytest.raises(ConnectionRefusedError):
            ask(address, "/")


@pytest.mark.parametrize("port", [-1, 65536, 1.5, True, "80"])
def test_a_port_that_is_none_is_refused(port: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ServerConfig(dashboard_port=port)
    assert caught.value.field == "dashboard_port"


def test_its_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), serving(dashboard_port=0) as server:
        address = address_of(server)
    (record,) = [record for record in caplog.records if record.getMessage() == "dashboard"]
    assert record.__dict__["fields"] == {"address": f"http://{address}/"}


def test_the_page_and_all_that_it_loads_is_served(address: str) -> None:
    status, headers, page = ask(address, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    wanted = set(re.findall(r'(?:src|href)="([^"]+)"', page.decode()))
    assert {"app.js", "style.css", "vendor/uPlot.js", "vendor/uPlot.css", "api/state"} <= wanted
    while wanted:
        name = wanted.pop()
        status, headers, body = ask(address, f"/{name}")
        assert (status, bool(body)) == (200, True), name
        if headers["Content-Type"].startswith("text/javascript") and "vendor" not in name:
            wanted |= set(re.findall(r'from "\./([^"]+)"', body.decode()))


def test_a_port_in_use_ends_the_program_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidArgument) as caught:
            Dashboard(port)
    with pytest.raises(SystemExit):
        CommandLine().refuse(caught.value)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"siamcorr-server: error: --dashboard: found 127.0.0.1:{port} (")


async def test_its_port_is_its_own_before_it_opens() -> None:
    door = Dashboard(0)
    error = refused(Server, ServerConfig(listen=door.address))
    assert error.field == "listen"
    assert "Address already in use" in error.message
    await door.close()


def test_without_the_package_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("siamcorr_server.dashboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(InvalidArgument) as caught:
        doors_of(CommandLine().read(["--dashboard", "0"]))
    with pytest.raises(SystemExit):
        CommandLine().refuse(caught.value)
    expected = "siamcorr-server: error: --dashboard: needs aiohttp: pip install 'siamcorr[dashboard]'"
    assert capsys.readouterr().err.splitlines() == [expected]
