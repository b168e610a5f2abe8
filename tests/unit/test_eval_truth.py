"""Ground truth files: every form in use, and every odd line named by its number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr.errors import InvalidArgument
from siamcorr_eval.truth import polygon_box, read_truth, stack_truth


def written(folder: Path, text: str) -> Path:
    path = folder / "groundtruth.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1,2,30,40\n5,6,30.5,40",
        "1\t2\t30\t40\n5\t6\t30.5\t40\n",
        "1 2 30 40\r\n5   6 30.5 40\r\n",
        "1, 2, 30, 40\n 5, 6, 30.5, 40 \n\n",
        "\ufeff1;2;30;40\n5.0000;6.0000;30.5000;40.0000\n",
    ],
    ids=["comma", "tab", "blank", "comma and blank", "semicolon and byte order mark"],
)
def test_boxes_are_read_whatever_parts_them(tmp_path: Path, text: str) -> None:
    truth = read_truth(written(tmp_path, text))
    assert truth.tolist() == [[1, 2, 30, 40], [5, 6, 30.5, 40]]


@pytest.mark.parametrize(
    "row", ["0,0,0,0", "nan,nan,nan,nan", "10,10,0,5", "10,10,5,-1", ",".join(["NaN"] * 8)]
)
def test_a_hidden_target_is_nan(tmp_path: Path, row: str) -> None:
    truth = read_truth(written(tmp_path, f"1,2,3,4\n{row}\n5,6,7,8\n"))
    assert np.isnan(truth[1]).all()
    assert truth[[0, 2]].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_polygon_keeps_centre_and_area(tmp_path: Path) -> None:
    (box,) = read_truth(written(tmp_path, "2,0,4,2,2,4,0,2"))
    x, y, w, h = box
    assert (x + w / 2, y + h / 2) == pytest.approx((2, 2))
    # A square of side 2 sqrt(2) that stands on its corner, in a bounding box of 4x4.
    assert (w, h) == pytest.approx((1 + np.sqrt(8), 1 + np.sqrt(8)))


@given(
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    w=st.floats(1, 300),
    h=st.floats(1, 300),
    first=st.integers(0, 3),
)
def test_an_upright_polygon_is_its_own_box_a_pixel_larger(
    x: float, y: float, w: float, h: float, first: int
) -> None:
    corners = np.roll([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], first, axis=0)
    assert polygon_box(corners) == pytest.approx([x - 0.5, y - 0.5, w + 1, h + 1])


def test_a_polygon_without_area_is_a_hidden_target(tmp_path: Path) -> None:
    assert np.isnan(read_truth(written(tmp_path, "1,1,5,1,9,1,3,1"))).all()


@pytest.mark.parametrize(
    "row", ["1,2,3", "1,2,3,4,5", "1,2,three,4", "", "1,,2,3", "m0,0,3,4,12,3", "1,2,inf,4", "9" * 200]
)
def test_an_odd_line_is_named_by_its_number(tmp_path: Path, row: str) -> None:
    path = written(tmp_path, f"1,2,3,4\n{row}\n5,6,7,8\n")
    with pytest.raises(InvalidArgument) as caught:
        read_truth(path)
    assert str(caught.value).startswith(f"{path}:2: found ")
    assert len(str(caught.value)) < len(str(path)) + 200


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00\x01"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "groundtruth.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match=r"groundtruth\.txt: "):
        read_truth(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.txt: cannot be read: No such file"):
        read_truth(tmp_path / "none.txt")


def test_several_targets_are_stacked_and_filled_up(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1,2,3,4\n5,6,7,8\n")
    (tmp_path / "b.txt").write_text("9,9,9,9\n")
    truth = stack_truth([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert truth is not None
    assert truth.shape == (2, 2, 4)
    assert truth[0].tolist() == [[1, 2, 3, 4], [9, 9, 9, 9]]
    assert np.isnan(truth[1, 1]).all()
    assert stack_truth([]) is None
