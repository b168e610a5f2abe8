"""The demo's numbers: what counts, what does not, and what they look like."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from siamcorr.errors import InvalidArgument
from siamcorr_demo.report import FrameResult, Report, Seen, known_ious

NAN = float("nan")


def result(ious: list[float], latency_s: float | None = 0.010) -> FrameResult:
    seen = None if latency_s is None else seen_of(len(ious))
    return FrameResult(np.ones((len(ious), 4)), np.array(ious), seen, latency_s)


def seen_of(targets: int) -> Seen:
    return Seen(
        scores=(0.5,) * targets,
        confidences=(0.9,) * targets,
        psr=(float("inf"),) * targets,
        apce=(20.0,) * targets,
        states=("tracking",) * (targets - 1) + ("lost",),
    )


def report_of(*results: FrameResult, busy_s: float = 0.1) -> Report:
    report = Report("clip", "hog", targets=len(results[0].ious))
    for each in results:
        report.add(each, busy_s)
    return report


def test_the_first_frame_and_hidden_targets_do_not_count() -> None:
    report = report_of(result([1.0, 1.0], None), result([0.4, NAN]), result([NAN, 0.2]), result([0.8, NAN]))
    assert report.mean_ious == pytest.approx([0.6, 0.2])
    assert report.mean_iou == pytest.approx(0.4)


def test_a_target_without_truth_has_no_mean() -> None:
    report = report_of(result([NAN, 1.0], None), result([NAN, 0.5]))
    assert report.mean_ious == [None, 0.5]
    assert report.mean_iou == 0.5
    assert "target 2: mean IoU 0.500" in report.table()
    assert "target 1" not in report.table()


def test_latencies_are_those_of_the_frames_that_were_asked_about() -> None:
    latencies = [0.001 * n for n in range(1, 101)]
    report = report_of(result([NAN], None), *(result([NAN], latency) for latency in latencies))
    assert report.latency_ms(50) == pytest.approx(50.5)
    assert report.latency_ms(95) == pytest.approx(95.05)


def test_frames_a_second_are_of_all_the_time_that_frames_took() -> None:
    report = report_of(result([NAN], None), busy_s=1.0)
    for _ in range(39):
        report.add(result([NAN]), busy_s=0.025)
    assert report.fps == pytest.approx(40 / (1.0 + 39 * 0.025))
    assert report.recent_fps == pytest.approx(40.0)


def test_without_frames_there_are_no_numbers() -> None:
    report = Report("clip", "hog", targets=2)
    assert (report.mean_iou, report.latency_ms(50), report.fps, report.recent_fps) == (None,) * 4
    assert report.table().splitlines()[-1].split() == ["0", "2", "-", "-", "-", "-"]


def test_the_table_says_what_was_measured() -> None:
    table = report_of(result([1.0], None), result([0.75])).table().splitlines()
    assert table[0] == "target 1: mean IoU 0.750"
    assert table[1].split() == ["frames", "targets", "mean", "IoU", "latency", "p50", "p95", "fps"]
    assert table[2].split() == ["2", "1", "0.750", "10.0", "ms", "10.0", "ms", "10.0"]
    assert len(table[1]) == len(table[2])


def test_ious_are_those_of_the_boxes_whose_truth_is_known() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 5, 10, 10], [0, 0, 4, 4]])
    truth = np.array([[0.0, 0, 10, 10], [NAN] * 4, [2, 0, 4, 4]])
    assert known_ious(boxes, truth) == pytest.approx([1.0, NAN, 1 / 3], nan_ok=True)
    assert np.isnan(known_ious(boxes, np.full((3, 4), NAN))).all()


def test_json_has_a_number_or_null_for_everything(tmp_path: Path) -> None:
    report = report_of(result([1.0, NAN], None), result([0.5, NAN]))
    path = tmp_path / "made" / "numbers.json"
    report.write_json(path)
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == report.as_json()
    assert read["mean_ious"] == [0.5, None]
    assert read["latency_ms"] == {"p50": 10.0, "p95": 10.0}
    first, second = read["per_frame"]
    assert (first["scores"], first["latency_ms"], first["ious"]) == (None, None, [1.0, None])
    assert (second["scores"], second["latency_ms"], second["ious"]) == ([0.5, 0.5], 10.0, [0.5, None])
    assert np.shape(second["boxes"]) == (2, 4)
    assert (first["states"], first["confidences"], first["psr"], first["apce"]) == (None,) * 4
    assert second["states"] == ["tracking", "lost"]
    assert (second["confidences"], second["psr"], second["apce"]) == ([0.9, 0.9], [None, None], [20.0, 20.0])


def test_json_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="--json: "):
        report_of(result([1.0], None)).write_json(tmp_path / "file" / "numbers.json")
