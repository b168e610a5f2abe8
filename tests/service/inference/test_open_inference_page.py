"""What docs/open_inference.md says is true: its examples run, and its tables are those of the models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as pb  # type: ignore[import-untyped]

from pages import blocks, run, text_of
from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr.shapes import KINDS
from siamcorr_server.inference.models import Models

NAME = "docs/open_inference.md"
PAGE = text_of(NAME)
FIRST, FOR_ONE_CALL, FROM_FRAMES = blocks(PAGE)


@pytest.fixture
def names(server: RunningServer) -> Iterator[dict[str, Any]]:
    """Return what the first example leaves."""
    names = run(FIRST, {}, server, NAME)
    with names["client"]:
        yield names


def test_the_first_example_tells_its_shapes(names: dict[str, Any], server: RunningServer) -> None:
    first = names["answer"].as_numpy("response")
    assert (first.shape, first.dtype) == ((1, 256, 17, 17), np.float32)
    assert names["peaks"].shape == (1, 3, 5)
    run(FOR_ONE_CALL, names, server, NAME)
    np.testing.assert_array_equal(names["answer"].as_numpy("response"), first)


def test_the_example_of_frames_runs(shared: Path) -> None:
    path = shared / "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt"
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with serving(EngineSettings(device="cpu", models={"nanotrackv3": str(path)})) as server:
        names = run(FIRST, {"frame": frame}, server, NAME)
        with names["client"]:
            run(FROM_FRAMES, names, server, NAME)
        assert names["answer"].as_numpy("cls").shape == (2, 2, 15, 15)
        assert names["answer"].as_numpy("loc").shape == (2, 4, 15, 15)
        assert server.engine.stats().bank.templates == 1


def test_the_tables_tell_every_input_output_and_parameter(server: RunningServer) -> None:
    models = Models(server.engine)
    rows = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {name for name in models.names if name != "small"} <= told
    assert set(KINDS) <= told
    for name in models.names:
        declared = models.find(name).declared
        tensors = [*declared.inputs, *declared.more_inputs, *(() if name == "small" else declared.outputs)]
        assert {spec.name for spec in tensors} | {*declared.more_outputs, *declared.parameters} <= told


def test_the_requests_of_grpcurl_are_answered(stub: Any) -> None:
    calls = re.findall(r"-d '(\{.*?\})'[^/]*/(\w+)$", PAGE, re.MULTILINE | re.DOTALL)
    assert [method for _, method in calls] == ["ModelMetadata", "ModelStatistics", "ModelInfer"]
    for text, method in calls:
        request = json_format.ParseDict(json.loads(text), getattr(pb, f"{method}Request")())
        answer = getattr(stub, method)(request)
    assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [6.0, 8.0]
