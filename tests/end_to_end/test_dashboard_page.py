"""The dashboard in a real browser: it draws what the server did, without a complaint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from browsers import Tab, browsing
from dashboards import address_of
from gates import IMAGE
from servers import RunningServer, Stubs, serving
from siamcorr.answers import Template

BOX = (10.0, 10.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browsing(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def server(tab: Tab) -> Iterator[RunningServer]:
    with serving(dashboard_port=0) as running:
        tab.complaints.clear()
        yield running
        tab.open("about:blank")


@pytest.fixture
def stubs(server: RunningServer) -> Iterator[Stubs]:
    stubs = Stubs(server.address)
    with stubs.channel:
        yield stubs


def page_of(server: RunningServer, template: str = "") -> str:
    return f"http://{address_of(server)}/#{template}"


def make_template(stubs: Stubs) -> Template:
    return stubs.create(image=IMAGE, boxes=[BOX], model="gate")[0]


def test_an_empty_server_says_what_to_do(tab: Tab, server: RunningServer) -> None:
    tab.open(page_of(server))
    tab.wait_for("document.querySelector('#rows td')")
    assert "No template yet" in tab.text("#rows")
    assert "Choose a template" in tab.text("#viewer-empty")
    tab.wait_for("document.querySelector('#tiles .tile')")
    assert "live" in tab.text("#link")
    assert tab.complaints == []


def test_the_numbers_are_those_of_the_calls(tab: Tab, server: RunningServer, stubs: Stubs) -> None:
    template = make_template(stubs)
    stubs.correlate(template, image=IMAGE, box=BOX)
    tab.open(page_of(server))
    tab.wait_for("/Batch\\s+1\\s/.test(document.querySelector('#tiles')?.innerText)")
    tiles = tab.text("#tiles")
    assert re.search(r"Templates\s+1\s", tiles)
    assert re.search(r"Median latency\s+[\d.]+ (?:µs|ms)", tiles)
    assert template.handle[:10] in tab.text("#rows")
    assert "1 resident" in tab.text("#bank-count")
    assert "Requests" in tab.text("#charts")
    assert tab.value("document.querySelectorAll('#charts canvas').length") == 6
    assert tab.complaints == []


def test_a_chosen_templates_next_response_is_drawn(tab: Tab, server: RunningServer, stubs: Stubs) -> None:
    template = make_template(stubs)
    tab.open(page_of(server))
    tab.wait_for("document.querySelector('#rows button')")
    tab.value("document.querySelector('#rows button').click()")
    tab.wait_for("document.querySelector('#viewer-empty').innerText.startsWith('Watching')")
    (response,) = stubs.correlate(template, image=IMAGE, box=BOX, output="both")
    tab.wait_for("document.querySelector('#viewer-body:not([hidden]) #facts dd')")
    facts = tab.text("#facts")
    shown = re.search(r"Peak\s+(\S+)", facts)
    assert shown
    assert float(shown[1].replace(",", "")) == pytest.approx(response.peak.score, rel=0.01)
    colours = (
        "new Set(document.querySelector('#heat').getContext('2d').getImageData(40, 40, 90, 90).data).size"
    )
    assert tab.value(colours) > 20
    assert tab.complaints == []


def test_a_template_that_is_gone_is_said_to_be(tab: Tab, server: RunningServer) -> None:
    tab.open("about:blank")
    tab.open(page_of(server, "tpl_gone"))
    tab.wait_for("document.querySelector('#viewer-empty')?.innerText.startsWith('This template is gone')")
    assert len(tab.complaints) == 1
    assert "404" in tab.complaints[0]


def test_a_page_on_a_phone_is_as_wide_as_the_phone(tab: Tab, server: RunningServer, stubs: Stubs) -> None:
    make_template(stubs)
    tab.tell("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=2, mobile=True)
    tab.open(page_of(server))
    tab.wait_for("document.querySelector('#rows button') && document.querySelector('#tiles .tile')")
    assert tab.value("document.documentElement.scrollWidth") == 390
    tab.tell("Emulation.clearDeviceMetricsOverride")
    assert tab.complaints == []


def test_when_the_server_ends_the_page_says_so(tab: Tab, server: RunningServer) -> None:
    tab.open(page_of(server))
    tab.wait_for("document.querySelector('#link')?.innerText === 'live'")
    server.start(server.doors[0].close()).result()
    tab.wait_for("document.querySelector('#link').innerText.startsWith('no connection')")


def test_what_others_wrote_is_there_with_its_licence() -> None:
    vendor = Path(__file__).parents[2] / "server/siamcorr_server/dashboard/static/vendor"
    assert "Leon Sorokin" in (vendor / "uPlot.LICENSE").read_text(encoding="utf-8")
    assert "(v1.6.32)" in (vendor / "uPlot.iife.min.js").read_text(encoding="utf-8")[:100]
