"""Sequences on the disk: each layout in use is read, and what does not fit is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drawn import BOX, write_lines, write_sequence
from siamcorr.errors import InvalidArgument
from siamcorr_eval.sequences import find_sequences


@pytest.mark.parametrize(
    ("folder", "suffix", "truth"),
    [
        ("img", ".jpg", "groundtruth_rect.txt"),
        (".", ".jpg", "groundtruth.txt"),
        ("color", ".jpg", "groundtruth.txt"),
        ("imgs", ".png", "groundtruth.txt"),
        ("frames", ".bmp", "groundtruth.txt"),
    ],
    ids=["OTB", "GOT-10k", "VOT", "siamese-fc", "frames"],
)
def test_each_layout_is_read(tmp_path: Path, folder: str, suffix: str, truth: str) -> None:
    home = write_sequence(tmp_path / "square", 12, folder=folder, suffix=suffix, truth=truth)
    (found,) = find_sequences([home])
    assert found.name == "square"
    assert [path.name for path in found.frames] == [f"{index:04}{suffix}" for index in range(1, 13)]
    assert found.truth[[0, 11]].tolist() == [[20, 24, 20, 20], [31, 24, 20, 20]]
    assert found.notes == ()


def test_a_data_set_is_its_sequences_in_order(tmp_path: Path) -> None:
    for name in ("b10", "b9", "a"):
        write_sequence(tmp_path / name, 2)
    (tmp_path / "no sequence").mkdir()
    assert [found.name for found in find_sequences([tmp_path])] == ["a", "b9", "b10"]


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write_sequence(tmp_path / "target", 2))
    assert [found.name for found in find_sequences([tmp_path / "link"])] == ["link"]


def test_several_targets_are_as_many_sequences(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "Jogging", 2, truth="groundtruth_rect.1.txt")
    write_lines(home / "groundtruth_rect.2.txt", ["1,2,3,4", "5,6,7,8"])
    first, second = find_sequences([home])
    assert (first.name, second.name) == ("Jogging.1", "Jogging.2")
    assert second.truth.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_an_empty_numbered_truth_does_not_count(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "Human4", 2, truth="groundtruth_rect.2.txt")
    (home / "groundtruth_rect.1.txt").touch()
    assert [found.name for found in find_sequences([home])] == ["Human4"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absence.label", "0\n1\n0\n0\n"),
        ("cover.label", "8\n0\n7\n8\n"),
        ("full_occlusion.txt", "0,1,0,0"),
        ("out_of_view.txt", "0,1,0,0\n"),
    ],
)
def test_an_absent_target_has_no_truth(tmp_path: Path, name: str, content: str) -> None:
    home = write_sequence(tmp_path / "square", 4)
    (home / name).write_text(content)
    (found,) = find_sequences([home])
    assert np.isnan(found.truth).all(axis=1).tolist() == [False, True, False, False]


def test_rows_of_a_hidden_target_and_polygons_are_read(tmp_path: Path) -> None:
    rows = ["2,0,4,2,2,4,0,2", "nan,nan,nan,nan,nan,nan,nan,nan", "0,0,4,0,4,4,0,4"]
    home = write_sequence(tmp_path / "vot", 3, folder="color", truth="groundtruth.txt", rows=rows)
    (found,) = find_sequences([home])
    assert np.isnan(found.truth[1]).all()
    assert found.truth[2].tolist() == [-0.5, -0.5, 5, 5]


def test_frames_without_truth_are_left_out_and_told(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 5, rows=["1,2,3,4", "1 2 3 4", "1\t2\t3\t4"])
    (found,) = find_sequences([home])
    assert (len(found.frames), len(found.truth)) == (3, 3)
    assert found.notes == ("square: 5 frames, 3 rows of truth: the rest is left out",)


def test_a_video_that_ends_before_its_truth_is_told(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 2, rows=["1,2,3,4"] * 5)
    (found,) = find_sequences([home])
    assert (len(found.frames), len(found.truth)) == (2, 2)
    assert found.notes == ("square: ends after 2 frames; there are 5 rows of truth",)


def test_a_truth_of_one_row_gives_the_box_alone(tmp_path: Path) -> None:
    (found,) = find_sequences([write_sequence(tmp_path / "test", 4, rows=["1,2,3,4"])])
    assert found.truth[0].tolist() == [1, 2, 3, 4]
    assert np.isnan(found.truth[1:]).all()
    assert (len(found.frames), found.notes) == (4, ())


@pytest.mark.parametrize(("frames", "first"), [(302, "0300.png"), (3, "0001.png")])
def test_the_truth_of_otbs_david_begins_at_frame_300(tmp_path: Path, frames: int, first: str) -> None:
    home = write_sequence(tmp_path / "David", 0, rows=["1,2,3,4"] * 3)
    for number in range(1, frames + 1):
        (home / "img" / f"{number:04}.png").touch()
    (found,) = find_sequences([home])
    assert (found.frames[0].name, len(found.frames), found.notes) == (first, 3, ())


def test_the_first_frames_alone_are_taken_on_demand(tmp_path: Path) -> None:
    write_sequence(tmp_path / "a", 2)
    write_sequence(tmp_path / "b", 5)
    found = find_sequences([tmp_path], frames=3)
    assert [(len(one.frames), len(one.truth)) for one in found] == [(2, 2), (3, 3)]


def test_a_folder_without_frames_is_refused(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 0, rows=["1,2,3,4"])
    with pytest.raises(InvalidArgument, match=r"no frames in .*square, expected images there or in img/"):
        find_sequences([home])


def test_what_is_no_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no ground truth in"):
        find_sequences([tmp_path])
    with pytest.raises(InvalidArgument, match=r"no folder '.*none'"):
        find_sequences([tmp_path / "none"])


def test_a_target_that_is_absent_at_first_is_refused(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 2, rows=["0,0,0,0", "1,2,3,4"])
    with pytest.raises(
        InvalidArgument, match=r"groundtruth_rect\.txt: found an absent target in the first row"
    ):
        find_sequences([home])


def test_two_sequences_of_one_name_are_refused(tmp_path: Path) -> None:
    homes = [write_sequence(tmp_path / place / "square", 2) for place in ("one", "other")]
    with pytest.raises(InvalidArgument, match="'square' twice"):
        find_sequences(homes)


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    home = write_sequence(tmp_path / "square", 4)
    write_lines(home / "absence.label", [0, 0])
    with pytest.raises(InvalidArgument, match=r"absence\.label: found 2 labels, expected 4, one a frame"):
        find_sequences([home])


def test_the_drawn_box_is_the_truth(tmp_path: Path) -> None:
    (found,) = find_sequences([write_sequence(tmp_path / "square", 2)])
    assert tuple(found.truth[0]) == BOX
