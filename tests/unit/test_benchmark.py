"""What the benchmark makes of its rows. Nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import machine, report, run
from benchmarks.callers import Contest, Turn
from benchmarks.timing import Row

ENOUGH = Row("x", "is enough", 1.5, 1.5, "a note")
MISSED = Row("y", "is not", 0.7, 0.8)
FAR = Row("z", "is far away", 1e-3, 1.5)


@pytest.fixture(autouse=True)
def known_rows(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    def rows(*found: Row) -> Iterator[Row]:
        yield from found

    known = {"x": lambda: rows(ENOUGH, ENOUGH), "y": lambda: rows(MISSED), "z": lambda: rows(FAR)}
    monkeypatch.setattr(run, "ROWS", known)


def test_a_row_passes_from_its_number_on() -> None:
    assert ENOUGH.passed
    assert not MISSED.passed
    assert not FAR.passed


def test_only_the_rows_that_were_asked_for_are_run_and_one_that_is_missed_shows_in_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run.main(["x"]) == 0
    described, *lines = capsys.readouterr().out.splitlines()
    assert "Python" in described
    assert [line.split()[0] for line in lines] == ["x", "x"]
    assert run.main(["y", "x"]) == 1
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [("MISSED" in line, " ok " in line) for line in lines] == [(True, False), *[(False, True)] * 2]


def test_without_names_all_rows_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([]) == 1
    assert [line[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["x", "x", "y", "z"]


def test_the_json_file_is_a_list_of_rows_and_the_plot_lies_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "new" / "rows.json"
    run.main(["x", "y", "z", "--out", str(out)])
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [row["case"] for row in rows] == ["x", "x", "y", "z"]
    assert [row["passed"] for row in rows] == [True, True, False, False]
    assert [(row["ratio"], row["at_least"]) for row in rows[1:3]] == [(1.5, 1.5), (0.7, 0.8)]
    assert {row["machine"] for row in rows} == {rows[0]["machine"]}
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("rows", [[], [ENOUGH], [MISSED, FAR], [Row("h", "huge", 1e9, 1e-3)]])
def test_whatever_the_rows_are_there_is_a_plot(rows: list[Row], tmp_path: Path) -> None:
    report.draw(rows, "a machine", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "q"], "CASE: found q, expected some of x y z"),
        (["x", "--out", "rows.csv"], "--out: found 'rows.csv', expected a name that ends in .json"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_measured(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run.main(arguments)
    assert refused.value.code == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert not shown.out


def test_a_contest_counts_the_middle_of_its_turns_own_ratios_not_the_ratio_of_their_middles() -> None:
    ours = (Turn(10.0, 0.1), Turn(40.0, 0.2), Turn(30.0, 0.4))
    theirs = (Turn(10.0, 0.1), Turn(20.0, 0.1), Turn(90.0, 0.1))
    contest = Contest(ours, theirs)
    assert contest.rate_ratio == 1.0  # of 1, 2 and 1/3
    assert contest.p50_ratio == 0.5  # of 1, 1/2 and 1/4
    assert (contest.our_rate, contest.their_rate) == (30.0, 20.0)
    assert (contest.our_p50_ms, contest.their_p50_ms) == pytest.approx((200.0, 100.0))


def test_the_machine_is_described_in_one_line() -> None:
    described = machine.describe()
    assert "\n" not in described
    assert all(word in described for word in ("cores", "Python", "torch", "grpcio", "load"))
