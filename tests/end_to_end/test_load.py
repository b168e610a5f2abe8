"""siamcorr-load against a real server, over all that it can send. Nothing here hangs on how fast that is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import ServerProcess, process
from siamcorr_client import Client
from siamcorr_load.__main__ import main
from siamcorr_load.result_json import from_json
from siamcorr_load.results import Capacity, Run

SHORT = ("--warm-up", "0.1", "--window", "0.2", "--tolerance", "10", "--no-headroom", "--quiet")
SMALL = ("--template", "8,3,3", "--search", "8,9,9")

TIMING = ("late", "agree", "headroom", "stood still", "other programs", "slower than it can be")
"""What a slow machine may be reproached with; all else is a fault."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with process("--shared-memory", "600MiB") as running:
        yield running


@pytest.mark.parametrize(
    "flags",
    [
        (*SMALL, "--cameras", "4", "--targets", "2", "--processes", "2", "--pattern", "burst"),
        (*SMALL, "--pattern", "poisson", "--stream", "--wire-dtype", "float16", "--map-dtype", "float16"),
        (*SMALL, "--kind", "depthwise", "--output", "peaks", "--life", "0.2", "--update-every", "2"),
        (
            *SMALL,
            "--concurrency",
            "2",
            "--processes",
            "3",
            "--cameras",
            "3",
            "--shared-memory",
            "--output",
            "both",
        ),
        ("--payload", "jpeg", "--frame-size", "160,120", "--targets", "2", "--life", "0.3"),
        ("--payload", "raw", "--frame-size", "160,120", "--output", "peaks", "--stream"),
    ],
    ids=["features", "stream", "churn", "closed", "jpeg", "raw"],
)
def test_a_load_is_answered_rightly_and_leaves_nothing_behind(
    flags: tuple[str, ...], server: ServerProcess, tmp_path: Path
) -> None:
    out = tmp_path / "run.json"
    code = main(
        ["--server", server.address, *SHORT, *flags, "--json", str(out), "--html", str(tmp_path / "run.html")]
    )
    run = from_json(out.read_bytes(), Run)
    assert all(any(word in reason for word in TIMING) for reason in run.verdict.reasons), run.verdict
    assert code == (0 if run.verdict.is_valid else 1)
    assert (run.errors, run.rejects, run.wrong_answers, run.dropped_frames) == ({}, {}, 0, 0)
    assert run.checked > 0
    assert run.sent == run.ok == sum(window.sent for window in run.windows)
    assert len(run.windows) >= 3
    assert sum(run.batch_sizes.values()) == run.ok
    assert (run.memory.server_bytes or 0) > 100 << 20  # torch alone takes more: it is the server's process
    assert run.others is not None
    assert (tmp_path / "run.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with Client(server.address) as client:
        assert list(client.list_templates()) == []


def test_the_headroom_is_measured_against_a_server_that_answers_at_once(
    server: ServerProcess, tmp_path: Path
) -> None:
    out = tmp_path / "run.json"
    shorter = [flag for flag in SHORT if flag != "--no-headroom"]
    main(["--server", server.address, *shorter, *SMALL, "--fps", "10", "--json", str(out)])
    run = from_json(out.read_bytes(), Run)
    assert run.headroom is not None
    assert run.headroom > 1


def test_a_search_for_the_capacity_gives_an_answer_or_says_that_there_was_no_time(
    server: ServerProcess, tmp_path: Path
) -> None:
    out, shown = tmp_path / "capacity.json", tmp_path / "capacity.html"
    flags = ("--warm-up", "0.1", "--window", "0.2", "--within", "1", "--quiet")
    code = main(
        [
            *("--server", server.address, "--find-capacity", *flags, *SMALL),
            *("--json", str(out), "--html", str(shown)),
        ]
    )
    found = from_json(out.read_bytes(), Capacity)
    assert code == (0 if found.verdict.is_valid else 1)
    assert found.points[0].targets == 8
    assert all(point.run.wrong_answers == 0 and point.run.checked > 0 for point in found.points)
    assert any("no time to find it" in reason for reason in found.verdict.reasons)
    assert "share this machine" in found.verdict.notes[0]
    assert "Trials" in shown.read_text(encoding="utf-8")


def test_a_server_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--server", "127.0.0.1:1", *SHORT, *SMALL, "--timeout", "0.2"]) == 2
    assert "could not be reached" in capsys.readouterr().err
