"""``siamcorr-explain``: what it says of a call, in text and JSON, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from siamcorr.errors import InvalidArgument
from siamcorr.explain import Explanation, Machine, explain, main
from siamcorr.shapes import Correlation

pytestmark = pytest.mark.usefixtures("one_thread")

UPCHANNEL = ["--kind", "upchannel", "--template", "80x4x4", "--search", "8x20x20", "--repeats", "1"]
EXPLANATION = Explanation(
    response_shape=(32, 1, 17, 17),
    multiply_adds=85_229_568,
    bytes_moved=17_076_352,
    way="matmul",
    why="the matrix product fits",
    prepared_bytes=36_864,
    measured_s=4.5e-3,
    repeats=15,
    machine=Machine(44e9, 9.8e9),
    limit_s=1.9370e-3,
    share=0.4304,
)


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the compiler, so that plans are the same everywhere."""
    monkeypatch.setattr("siamcorr.ops.direct.is_available", lambda: False)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return what the machine is said to do."""
    machine = Machine(multiply_adds_per_s=1e9, bytes_per_s=1e12)
    monkeypatch.setattr("siamcorr.explain.measure_machine", lambda: machine)
    return machine


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main([*UPCHANNEL, *arguments, "--json"])
    read: dict[str, Any] = json.loads(capsys.readouterr().out)
    return read


def test_the_text_is_aligned_and_in_units() -> None:
    assert str(EXPLANATION).splitlines() == [
        "response  32 x 1 x 17 x 17",
        "work      85.2 M multiply-adds, 17.1 MB",
        "way       matmul: the matrix product fits",
        "prepared  36.9 kB a template",
        "measured  4.5 ms a call, 141 us a pair (median of 15)",
        "machine   44 G multiply-adds/s, 9.8 GB/s read and written",
        "limit     1.94 ms: measured at 43% of the machine's speed",
    ]


def test_a_call_is_counted_planned_and_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "--pairs", "3")
    assert found["response_shape"] == [3, 10, 17, 17]
    assert found["multiply_adds"] == 3 * 80 * 16 * 17 * 17
    assert found["bytes_moved"] == 3 * 4 * (80 * 16 + 8 * 400 + 10 * 289)
    assert (found["way"], found["prepared_bytes"]) == ("matmul", 80 * 16 * 4)
    assert found["limit_s"] == found["multiply_adds"] / 1e9
    assert found["share"] == found["limit_s"] / found["measured_s"] > 0


def test_one_search_region_is_read_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "--pairs", "5", "--one-search")
    assert found["way"] == "one search"
    assert found["bytes_moved"] == 4 * (5 * (80 * 16 + 10 * 289) + 8 * 400)
    assert explained(capsys, "--pairs", "2", "--one-search")["way"] == "matmul", "it does not pay"


def test_a_head_is_counted_where_it_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "--head", "2")
    assert found["response_shape"] == [1, 2, 17, 17]
    assert found["multiply_adds"] == (80 * 16 + 20) * 289
    folded = explain(Correlation("depthwise"), (8, 4, 4), (8, 20, 20), head_outputs=1, repeats=1)
    assert folded.why.endswith("the head folded into the templates")
    assert folded.multiply_adds == 8 * 16 * 289


def test_settings_reach_the_operator(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "--k", "10", "--padding", "1,2", "--stride", "2", "--dilation", "2,1")
    assert found["response_shape"] == [1, 10, 8, 11]
    assert explained(capsys, "--precision", "bfloat16")["way"] == "matmul bfloat16"


def test_the_plain_trick_is_explained_as_such(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIAMCORR_PLAN", "trick")
    main(UPCHANNEL)
    assert "way       trick: SIAMCORR_PLAN=trick\nprepared  nothing: as stored\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "3"], "k: found 3, expected 10"),
        (["--kind", "nave"], "kind: found 'nave'"),
        (["--template", "80xfour"], "--template: found '80xfour', expected sizes such as 256x6x6"),
        (["--stride", "two"], "--stride: found 'two', expected 2 or 2,1"),
        (["--search", "8x2x2"], "template: found 4 rows, expected at most 2"),
        (["--padding", "1,2,3"], r"padding: found (1, 2, 3)"),
        (["--pairs", "0"], "pairs: found 0, expected at least 1"),
        (["--head", "0"], "head: found 0, expected at least 1"),
        (["--repeats", "0"], "repeats: found 0"),
        (["--threads", "0"], "threads: found 0"),
        (["--precision", "half"], "precision: found 'half', expected float32 or bfloat16"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*UPCHANNEL, *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = explain(Correlation(), (2, 3, 3), (2, 9, 9), repeats=1).machine
    assert found.multiply_adds_per_s > 1e6
    assert found.bytes_per_s > 1e6
    assert torch.get_num_threads() == 1


def test_a_field_is_named() -> None:
    with pytest.raises(InvalidArgument, match="pairs") as caught:
        explain(Correlation(), (2, 3, 3), (2, 9, 9), pairs=-1)
    assert caught.value.field == "pairs"
