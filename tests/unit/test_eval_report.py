"""What a run leaves: the table, the report, the result files in each layout, and the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from siamcorr.errors import InvalidArgument
from siamcorr_eval.compare import compare
from siamcorr_eval.follow import Track
from siamcorr_eval.measures import measure
from siamcorr_eval.report import Measured, Report, Standing
from siamcorr_eval.results import write_text, write_track

TRUTH = np.array([(40.0, 40, 10, 10)] * 3)
TRACK = Track(
    boxes=np.array([(40.0, 40, 10, 10), (42.1234567890123, 40, 10, 10), (0, 0, 0, 0)]),
    scores=np.array([1, 0.1, 0.0]),
    times_s=np.array([0.5, 0.01, 0.03]),
    size=(100, 80),
)


def report_of(tracker: str, names: tuple[str, ...] = ("a", "b"), shift: float = 2.0) -> Report:
    """Return a report on 3 frames of each sequence."""
    report = Report(tracker, names)
    for name in names:
        boxes = TRUTH.copy()
        boxes[1:, 0] += shift
        report.measured[name] = Measured(measure(boxes, TRUTH, (100, 80)), np.array([0.01, 0.03]))
    return report


def written(out: Path, report: Report) -> None:
    write_text(out / report.tracker / "report.json", report.as_json())


def test_the_table_lines_up_and_says_what_was_measured() -> None:
    report = report_of("hog")
    report.names = ("a", "b", "broken")
    report.failed["broken"] = "0002.jpg: found 9 bytes of a JPEG file without an end marker"
    lines = [report.head(), *map(report.row, report.names), *report.foot().splitlines()]
    assert lines == [
        "hog               frames    AUC  P20px     AO  SR.50  SR.75     f/s     ms",
        "a                      3  0.762  1.000  0.667  1.000  0.000    50.0   20.0",
        "b                      3  0.762  1.000  0.667  1.000  0.000    50.0   20.0",
        "broken             failed: 0002.jpg: found 9 bytes of a JPEG file without an end marker",
        "mean of sequences      6  0.762  1.000  0.667  1.000  0.000    50.0   20.0",
        "all frames                              0.667  1.000  0.000",
        "without 1 of 3 sequences that failed",
    ]


def test_what_was_not_measured_is_null_and_a_dash() -> None:
    report = Report("hog", ("test",))
    truth = np.vstack([TRUTH[:1], np.full((2, 4), np.nan)])
    report.measured["test"] = Measured(measure(TRUTH, truth, (100, 80)), np.array([0.01, 0.03]))
    assert report.row("test").split() == ["test", "3", "-", "-", "-", "-", "-", "50.0", "20.0"]
    assert report.foot().splitlines()[1].split() == ["all", "frames", "-", "-", "-"]
    overall = json.loads(report.as_json())["overall"]
    assert (overall["ao"], overall["success"][0], overall["fps"]) == (None, None, 50)


def test_a_report_without_any_sequence_is_still_one() -> None:
    report = Report("hog", ("a",), failed={"a": "broken"})
    assert report.foot().splitlines()[-1] == "without 1 of 1 sequences that failed"
    content = json.loads(report.as_json())
    assert (content["overall"]["frames"], content["failed"]) == (0, {"a": "broken"})


def test_the_json_has_all_figures() -> None:
    content = json.loads(report_of("hog").as_json())
    assert (content["tracker"], content["limit"], list(content["sequences"])) == ("hog", None, ["a", "b"])
    for entry in (content["overall"], *content["sequences"].values()):
        assert entry["ao"] == pytest.approx(2 / 3)
        assert (entry["sr50"], entry["sr75"], entry["precision_20px"]) == (1, 0, 1)
        assert entry["auc"] == pytest.approx(np.mean(entry["success"]))
        assert (len(entry["success"]), len(entry["precision"])) == (21, 51)
        assert (entry["fps"], entry["latency_p50_ms"]) == (50, 20)
    assert content["all_frames"] == {"ao": pytest.approx(2 / 3), "sr50": 1, "sr75": 0}


def test_result_files_read_back_to_the_bit(tmp_path: Path) -> None:
    write_track(tmp_path, "hog", "a", TRACK)
    rows = np.loadtxt(tmp_path / "hog/a.csv", delimiter=",")
    assert rows.tolist() == np.column_stack([TRACK.boxes, TRACK.scores]).tolist()
    assert (tmp_path / "hog/a.csv").read_text().splitlines()[0] == "40.0,40.0,10.0,10.0,1.0"


def test_the_toolkits_layouts_hold_boxes_and_times(tmp_path: Path) -> None:
    write_track(tmp_path, "hog", "a", TRACK)
    otb, got10k = tmp_path / "got10k/OTB2015/hog", tmp_path / "got10k/GOT-10k/hog/a"
    for boxes, times in (
        (otb / "a.txt", otb / "times/a_time.txt"),
        (got10k / "a_001.txt", got10k / "a_time.txt"),
    ):
        assert np.loadtxt(boxes, delimiter=",").tolist() == TRACK.boxes.tolist()
        assert np.loadtxt(times).tolist() == TRACK.times_s.tolist()


def test_a_file_is_replaced_and_its_neighbours_stay(tmp_path: Path) -> None:
    (tmp_path / "hog").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "hog" / name).write_text("before")
    write_track(tmp_path, "hog", "a", TRACK)
    assert (tmp_path / "hog/a.csv").read_text() != "before"
    assert (tmp_path / "hog/b.csv").read_text() == "before"
    assert {path.name for path in (tmp_path / "hog").iterdir()} == {"a.csv", "b.csv"}


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match=r"--out: .*file"):
        write_track(tmp_path / "file", "hog", "a", TRACK)


def test_trackers_of_the_same_frames_are_compared_the_best_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, report_of("good", shift=1))
    written(tmp_path, report_of("fair", shift=3))
    written(tmp_path, report_of("other", names=("a",)))
    compare(tmp_path, "fair")
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[:4] == [
        "tracker frames    AUC  P20px     AO  SR.50  SR.75     f/s     ms",
        "good         6  0.857  1.000  0.818  1.000  1.000    50.0   20.0",
        "fair         6  0.667  1.000  0.538  1.000  0.000    50.0   20.0",
        "of other frames, so not compared: other",
    ]
    for line, name in zip(lines[4:], ("success.png", "precision.png"), strict=True):
        assert line == f"plot: {tmp_path / name}"
        picture = cv2.imread(str(tmp_path / name))
        assert picture is not None
        assert picture.std() > 10


def test_without_a_tracker_the_largest_group_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, report_of("a-lone", names=("z",)))
    written(tmp_path, report_of("b"))
    written(tmp_path, report_of("c"))
    compare(tmp_path)
    assert "so not compared: a-lone" in capsys.readouterr().out


def test_what_is_no_report_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, report_of("hog"))
    for name, text in (("x", "no json"), ("y", "[]"), ("z", '{"overall": {}}')):
        write_text(tmp_path / name / "report.json", text)
    compare(tmp_path)
    assert capsys.readouterr().out.count("hog") == 1


def test_a_folder_without_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="--out: found no reports in"):
        compare(tmp_path)


def test_a_report_reads_back_as_a_standing() -> None:
    standing = Standing.of(report_of("hog").as_json())
    assert standing is not None
    assert standing.frames == {"a": 3, "b": 3}
    assert standing.figures["ao"] == pytest.approx(2 / 3)
