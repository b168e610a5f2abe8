"""What the pages in docs/ say is true: what they name is there, and their tables agree with the code."""

from __future__ import annotations

import configparser
import logging
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from promql_parser import parse as parse_promql

from architecture.house import ROOT
from gates import PATIENCE_S
from pages import MAINS, blocks, commands, flags_in, help_of, read_commands, run, text_of
from scraped import door_of
from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr.errors import BY_REASON, InvalidArgument, QueueFull
from siamcorr.v1 import correlation_service_pb2, shared_memory_service_pb2, template_service_pb2
from siamcorr_client import Client
from siamcorr_server.logs import JsonFormatter, TextFormatter
from siamcorr_server.status import CODES

PAGES = tuple(sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
WITH_COMMANDS = tuple(page for page in PAGES if commands(text_of(page)))
CONTRACT, OPERATING, SLOW = (text_of(f"docs/{page}.md") for page in ("wire_contract", "operating", "slow"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(EngineSettings(device="cpu")) as running:
        yield running


def test_the_timing_of_calls_says_what_most_of_a_slow_one_is(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    own = run(timing_of(9), {}, server, SLOW)
    own["client"].close()
    assert len(own["calls"]) == 8
    assert set(own["stages"]) == {"prepare", "queue", "embed", "compute", "compile", "copy", "outside"}
    assert own["whole_s"] == pytest.approx(sum(own["stages"].values()))
    assert capsys.readouterr().out.rstrip().endswith(f"most of it {own['worst']}")
    rows = re.findall(r"^\| `(\w+)`", SLOW.partition("### C")[2].partition("\n## ")[0], re.MULTILINE)
    assert set(rows) == set(own["stages"]) | {"refused"}


def test_the_timing_of_calls_counts_what_is_refused(
    server: RunningServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    correlate, sent = Client.correlate, 0

    def refuse_later(self: Client, *arguments: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent > 1:
            raise QueueFull("queue: max_jobs is 4, found 4 waiting or running and 1 more")
        return correlate(self, *arguments, **options)

    monkeypatch.setattr(Client, "correlate", refuse_later)
    run(timing_of(3), {}, server, SLOW)["client"].close()
    assert capsys.readouterr().out.startswith("refused 2, as queue: max_jobs is 4, ")


def timing_of(calls: int) -> str:
    """Return the page's program, with so many calls, and hardly a pause between them."""
    (block,) = blocks(SLOW)
    for constant, ours in (("range(1000)", f"range({calls})"), ("fps = 25\n", "fps = 1e6\n")):
        assert block.count(constant) == 1
        block = block.replace(constant, ours)
    return block


@pytest.mark.skipif(shutil.which("awk") is None, reason="no awk")
def test_the_log_tells_whose_calls_held_the_device(
    server: RunningServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, recent, of_server, by_peer, from_json = blocks(SLOW, "sh")
    with Client(server.address) as huge, Client(server.address) as small:
        template = huge.create_template(np.ones((64, 6, 6), np.float32))
        for _ in range(3):
            huge.correlate([template] * 32, features=np.ones((64, 40, 40), np.float32))
        small.correlate(template, features=np.ones((64, 8, 8), np.float32))
        with pytest.raises(InvalidArgument):
            small.correlate(template, features=np.ones((1, 8, 8), np.float32))
    lines = [record for record in caplog.records if record.getMessage() == "call"]
    (tmp_path / "server.log").write_text("".join(f"{TextFormatter().format(line)}\n" for line in lines))
    shell(recent, tmp_path)
    assert re.fullmatch(r"p50 [\d.]+ p99 [\d.]+\n", shell(of_server, tmp_path))
    first, second = (line.split() for line in shell(by_peer, tmp_path).splitlines())
    names = ("held", "most", "compile", "decode", "calls", "failed", "pairs/call", "largest")
    assert (*first[0:16:2], *second[0:16:2]) == names * 2
    assert int(first[1]) > int(second[1])
    assert (first[9], first[11], second[9], second[11]) == ("4", "0", "2", "1")
    assert (first[13], first[15], second[13], second[15]) == ("32.0", "32", "1.0", "1")
    if shutil.which("jq"):
        told = recent_of(tmp_path)
        (tmp_path / "server.log").write_text("".join(f"{JsonFormatter().format(line)}\n" for line in lines))
        shell(from_json, tmp_path)
        assert recent_of(tmp_path) == told


def recent_of(folder: Path) -> list[str]:
    """Return the calls of the log's end, without their times."""
    return [line.partition("request_id=")[2] for line in (folder / "recent.log").read_text().splitlines()]


@pytest.mark.skipif(shutil.which("awk") is None, reason="no awk")
def test_the_servers_own_p99_is_that_of_answers(tmp_path: Path) -> None:
    ended = [("Correlate", "OK", ms) for ms in (30, 10, 20)]
    ended += [("Correlate", "RESOURCE_EXHAUSTED", 1)] * 9 + [("CorrelateStream", "OK", 9000)]
    lines = [
        f"now INFO call peer=a method={name} code={code} duration_ms={ms} x=1" for name, code, ms in ended
    ]
    (tmp_path / "recent.log").write_text("\n".join(lines))
    assert shell(blocks(SLOW, "sh")[2], tmp_path) == "p50 20 p99 30\n"


@pytest.mark.skipif(shutil.which("awk") is None, reason="no awk")
def test_what_counters_grow_by_is_told_by_the_second(tmp_path: Path) -> None:
    (tmp_path / "before").write_text('a_total{b="c"} 30.0\nd_sum 1\n')
    (tmp_path / "after").write_text('a_total{b="c"} 90.0\nd_sum 1\nnew_count 15\n')
    last = blocks(SLOW, "sh")[0].splitlines()[-1]
    grown = [line.split() for line in shell(last, tmp_path).splitlines()]
    assert grown == [["2.0000", 'a_total{b="c"}'], ["0.5000", "new_count"]]


def shell(script: str, folder: Path) -> str:
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_message_of_the_contract_is_what_is_sent() -> None:
    (block,) = re.findall(r"^```\n(0a .*?)^```$", CONTRACT, re.MULTILINE | re.DOTALL)
    columns = [re.match(r"(?:[0-9a-f]{2} ?)*", line.strip()) for line in block.splitlines()]
    message = bytes.fromhex("".join(found.group() for found in columns if found))
    expected = template_service_pb2.CreateTemplateRequest(payload=np.array([1, -2], "<f4").tobytes())
    expected.features.tensors.add(name="features", dtype=1, shape=[1, 1, 2], length_bytes=8)
    assert message == expected.SerializeToString(deterministic=True)
    assert f"all {len(message)} bytes" in CONTRACT


def test_that_message_makes_a_template(server: RunningServer) -> None:
    with Client(server.address) as client:
        template = client.create_template(np.array([[[1, -2]]], np.float32))
        assert [(tensor.name, tensor.shape) for tensor in template.tensors] == [("features", (1, 1, 2))]


def test_every_reason_has_its_row_with_its_code() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `([A-Z_]+)` \|", CONTRACT, re.MULTILINE))
    told = {reason: CODES[kind].name for reason, kind in BY_REASON.items() if kind in CODES}
    assert rows == {reason: code for reason, code in told.items() if reason != "SERVER_UNAVAILABLE"}


def test_every_call_of_the_contract_is_named() -> None:
    files = (correlation_service_pb2, template_service_pb2, shared_memory_service_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    rows = dict(re.findall(r"^\| `(siamcorr\.v1\.\w+)` \| (.*) \|$", CONTRACT, re.MULTILINE))
    assert {name: re.findall(r"`([A-Z]\w+)`", calls) for name, calls in rows.items()} == {
        service.full_name: [method.name for method in service.methods] for service in services
    }


@pytest.mark.parametrize("page", ["docs/tuning.md", "docs/operating.md"])
def test_defaults_in_tables_are_the_servers(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    help_text = " ".join(help_of(MAINS["siamcorr-server"], capsys).split())
    tables = re.findall(r"^\|.* default .*\n\|[-|]*\n((?:\|.*\n)+)", text_of(page), re.MULTILINE)
    rows = [row.strip("| ").split(" | ") for table in tables for row in table.splitlines()]
    assert len(rows) > 5
    for row in rows:
        place = next(place for place, cell in enumerate(row) if cell.startswith("`--"))
        for flag, default in zip(re.findall(r"`(.*?)`", row[place]), row[place + 1].split(", "), strict=True):
            (told,) = re.findall(r"^[^(]*\(([^)]*)\)", help_text.rpartition(f" {flag} ")[2])
            assert told.removeprefix("0: ") in {
                default,
                default.replace(" ", ""),
                default.removesuffix(" s"),
            }, flag


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_is_taken(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("OTB/Crossing", "VOT/bag"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("before.json", "after.json", "a.json", "b.json"):
        (tmp_path / file).touch()
    read_commands(commands(text_of(page)), tmp_path)


def test_every_flag_of_ours_is_in_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    known = set().union(*(flags_in(help_of(main, capsys)) for main in MAINS.values()))
    inline = {
        flag
        for page in PAGES
        for code in re.findall(r"`(--[a-z][^`]*)`", text_of(page))
        for flag in flags_in(code)
    }
    assert len(inline) > 20
    assert inline <= known


def test_every_metric_that_is_named_is_there_and_every_query_parses() -> None:
    with serving(metrics_listen="127.0.0.1:0") as server:
        connection = HTTPConnection(door_of(server).address, timeout=PATIENCE_S)
        connection.request("GET", "/metrics")
        families = list(parse(connection.getresponse().read().decode()))
        connection.close()
    endings = {"histogram": ("_bucket", "_count", "_sum", ""), "counter": ("_total",)}
    there = {family.name + ending for family in families for ending in endings.get(family.type, ("",))}
    text = SLOW + OPERATING
    named = set(re.findall(r"\b(?:process_\w+|siamcorr_(?!client|server|eval|load|demo)\w+)", text))
    assert len(named) > 8
    assert named <= there
    for block in blocks(SLOW, "promql"):
        for query in block.splitlines():
            parse_promql(query)


def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    (text,) = blocks(OPERATING, "ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "siamcorr-server"
    read_commands([" ".join(["siamcorr-server", *arguments])], tmp_path)
    if analyze := shutil.which("systemd-analyze"):
        file = tmp_path / "siamcorr.service"
        file.write_text(text.replace(program, sys.executable))
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(file)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert "siamcorr.service" not in done.stderr, done.stderr


def test_the_image_is_made_of_what_is_there(tmp_path: Path) -> None:
    (text,) = blocks(OPERATING, "dockerfile")
    (entry,) = re.findall(r"^ENTRYPOINT \[(.*)\]$", text, re.MULTILINE)
    read_commands([entry.replace('"', "").replace(",", "")], tmp_path)
    (extra,) = re.findall(r"\[(\w+)\]'", text)
    assert re.search(rf"^{extra} = \[$", text_of("pyproject.toml"), re.MULTILINE)
    assert (ROOT / "constraints.txt").exists()


def test_every_page_is_on_the_index() -> None:
    index = text_of("docs/index.md")
    assert [page for page in PAGES if page != "docs/index.md" and f"]({Path(page).name})" not in index] == []


def test_the_pictures_can_be_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ROOT / "docs/concepts"
    monkeypatch.syspath_prepend(folder)
    try:
        runpy.run_path(str(folder / "draw.py"))["main"](tmp_path)
    finally:
        for module in ("sheet", "timelines"):
            del sys.modules[module]
    drawn = {file.name for file in tmp_path.iterdir()}
    assert drawn == {file.name for file in folder.iterdir() if file.suffix in {".png", ".jpg"}}
    assert drawn == set(re.findall(r"\(concepts/([\w.]+\.(?:png|jpg))\)", text_of("docs/concepts.md")))
