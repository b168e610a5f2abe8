"""The Node.js example, against a real server: it gets the numbers that Python's client gets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from architecture.house import ROOT
from gates import PATIENCE_S, held
from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr_client import Client
from siamcorr_server.observers import Finished

FOLDER = ROOT / "examples/nodejs"
NODE = shutil.which("node") or ""

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not NODE, reason="node is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules").is_dir(), reason="examples/nodejs has no packages: run `npm ci` there"
    ),
]


class OpensTheGate:
    """An observer that lets the device go on once a request was refused because the queue is full."""

    server: RunningServer

    def __init__(self) -> None:
        self.refused: list[str] = []

    def finished(self, request: Finished) -> None:
        if request.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self.refused.append(request.method)
            self.server.gate.opened.set()

    def launched(self, tasks: object, outcomes: object) -> None:
        pass


def run(server: RunningServer, *flags: str) -> str:
    command = [NODE, str(FOLDER / "example.mjs"), server.address, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def features(seed: int, *shape: int) -> npt.NDArray[np.float32]:
    """Return what the example's function of this name returns."""
    states = []
    for _ in range(int(np.prod(shape))):
        seed = (seed * 1664525 + 1013904223) % 2**32
        states.append(seed)
    return ((np.array(states) >> 8) / 2**23 - 1).astype(np.float32).reshape(shape)


def region(seed: int, row: int, col: int) -> npt.NDArray[np.float32]:
    search = features(seed, 64, 22, 22)
    search[:, row : row + 6, col : col + 6] = features(1, 64, 6, 6)
    return search


def test_it_gets_the_numbers_that_python_gets() -> None:
    with serving() as server, Client(server.address) as client:
        answers: dict[str, Any] = json.loads(run(server, "--json"))
        template = client.create_template(features(1, 64, 6, 6))
        for kind in ("naive", "depthwise"):
            mine = client.correlate(
                template, features=region(2, 5, 9), kind=kind, gain=1 / 1024, output="both"
            )
            assert mine.map is not None
            assert answers[kind]["shape"] == list(mine.map.shape)
            assert np.array_equal(np.array(answers[kind]["map"], np.float32), mine.map.reshape(-1))
            assert answers[kind]["peak"] == asdict(mine.peak)
            assert answers[kind]["generation"] == mine.generation
        streamed = [
            client.correlate(template, features=region(seed, seed, 2 * seed), gain=1 / 1024, output="peaks")
            for seed in (2, 3, 4)
        ]
        assert answers["stream"] == [asdict(response.peak) for response in streamed]
        assert [peak["row"] for peak in answers["stream"]] == pytest.approx([2, 3, 4], abs=0.05)
        client.delete_template(template)
        assert not server.engine.stats().bank.templates


def test_it_reads_what_a_refusal_says() -> None:
    with serving() as server:
        answers = json.loads(run(server, "--json"))
    refused = {
        "codeName": "INVALID_ARGUMENT",
        "reason": "INVALID_ARGUMENT",
        "field": "template",
        "pushbackMs": -1,
        "message": "template: found 64 channels, expected 65, as in features",
    }
    assert answers["refused"] == refused
    del refused["pushbackMs"]  # a trailer, and a request of a stream has none
    assert answers["refusedOnStream"] == refused
    deleted = answers["deleted"]
    assert (deleted["codeName"], deleted["reason"]) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")


def test_it_comes_back_when_the_queue_is_full() -> None:
    observer = OpensTheGate()
    with serving(EngineSettings(device="cpu", models={}, max_jobs=4), observers=[observer]) as server:
        observer.server = server
        with held(server.engine, server.gate):  # one job, and three that wait behind it
            z = np.ones((1, 1, 1), np.float32)
            waiting = [server.engine.submit_create({"z": z}) for _ in range(3)]
            answers = json.loads(run(server, "--json"))
        assert all(future.result(PATIENCE_S) for future in waiting)
    assert set(observer.refused) == {"siamcorr.v1.TemplateService/CreateTemplate"}
    assert answers["naive"]["peak"]["row"] == pytest.approx(5, abs=0.05)


def test_it_prints_what_its_readme_says() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    said = re.findall(r"^    ((?:naive|depthwise|stream|refused): .*)$", readme, re.MULTILINE)
    with serving() as server:
        printed = run(server).splitlines()
    assert said == printed[: len(said)]
    assert len(said) > 5


def test_without_an_address_it_says_how_to_use_it() -> None:
    done = subprocess.run(
        [NODE, str(FOLDER / "example.mjs")], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: node example.mjs HOST:PORT")


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    packages = [name for name in lock["packages"] if name]
    assert {"node_modules/@grpc/grpc-js", "node_modules/@grpc/proto-loader"} <= set(packages)
    assert not [name for name in packages if "resolved" in lock["packages"][name]]
    assert all(lock["packages"][name]["integrity"] for name in packages)
