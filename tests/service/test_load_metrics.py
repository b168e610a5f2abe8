"""The harness against servers in this process: their own account of a load, and two of them in turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servers import serving
from siamcorr_load.__main__ import main
from siamcorr_load.compare import compare
from siamcorr_load.page import result_of
from siamcorr_load.result_json import from_json
from siamcorr_load.results import Run
from siamcorr_load.settings import Load
from siamcorr_load.turns import run_in_turns

SHORT = ("--warm-up", "0.1", "--window", "0.3", "--tolerance", "10", "--no-headroom", "--quiet")
SMALL = ("--template", "8,3,3", "--search", "8,9,9")


def test_what_the_server_counted_agrees_with_what_the_generators_counted(tmp_path: Path) -> None:
    out, shown = tmp_path / "run.json", tmp_path / "run.html"
    with serving(metrics_listen="127.0.0.1:0") as server:
        (door,) = server.doors
        url = f"http://{door.address}/metrics"  # type: ignore[attr-defined]
        main(
            [
                *("--server", server.address, "--metrics-url", url, "--json", str(out), "--html", str(shown)),
                *(*SHORT, *SMALL, "--cameras", "4", "--repeats", "2"),
            ]
        )
    run = from_json(out.read_bytes(), Run)
    account = run.account
    assert account is not None
    assert account.rejects == {}
    assert account.requests.keys() == {"OK"}
    assert abs(account.answers_per_s / run.throughput_per_s - 1) < 0.3  # they end at different moments
    assert account.requests["OK"] >= 0.9 * run.ok
    assert account.pairs >= account.requests["OK"]
    assert sum(account.launches.values()) > 0
    assert {"queue", "compute"} <= account.stages_s.keys()
    assert (account.resident_bytes or 0) > 1 << 20
    assert set(run.intervals) >= {"throughput_per_s", "p50_s"}
    page = shown.read_text(encoding="utf-8")
    assert result_of(page) == json.loads(out.read_bytes())
    assert f"{sum(account.launches.values()):,} launches of correlations" in page


def test_metrics_that_are_not_there_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        code = main(["--server", server.address, "--metrics-url", "http://127.0.0.1:1/", *SHORT, *SMALL])
    assert code == 2
    assert "no metrics at http://127.0.0.1:1/" in capsys.readouterr().err


def test_two_servers_are_loaded_in_turns() -> None:
    with serving() as one, serving() as two:
        load = Load(
            server=one.address,
            template_shape=(8, 3, 3),
            search_shape=(8, 9, 9),
            warm_up_s=0.1,
            window_s=0.2,
        )
        a, b = run_in_turns(load, two.address)
        served = [server.engine.stats().device.served for server in (one, two)]
    assert a.turns == b.turns
    assert (a.settings["server"], b.settings["server"]) == (one.address, two.address)
    for run, of_server in ((a, served[0]), (b, served[1])):
        assert len(run.windows) == load.windows
        assert (run.errors, run.wrong_answers) == ({}, 0)
        assert 0 < run.ok < of_server
    assert compare(a, b).rows
