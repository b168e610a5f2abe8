"""The demo's window: its keys and its pace. OpenCV's screen is played by a fake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from siamcorr.errors import InvalidArgument
from siamcorr_demo.window import Window, has_screen, pick_boxes

PICTURE = np.zeros((48, 64, 3), np.uint8)
NOTHING = -1


class FakeScreen:
    """A window whose user presses ``keys``, one at each wait, and closes it after the last."""

    def __init__(self, keys: Iterable[int]) -> None:
        self.keys: Iterator[int] = iter(keys)
        self.is_open = True
        self.waits_ms: list[int] = []

    def wait_key(self, delay_ms: int) -> int:
        self.waits_ms.append(delay_ms)
        key = next(self.keys, None)
        self.is_open = self.is_open and key is not None
        return NOTHING if key is None else key

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda *_: None)
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
        monkeypatch.setattr(cv2, "waitKey", self.wait_key)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: float(self.is_open))


def shown(monkeypatch: pytest.MonkeyPatch, keys: list[int], pictures: int) -> list[bool]:
    FakeScreen(keys).install(monkeypatch)
    with Window(fps=1000.0) as window:
        return [window.show(PICTURE) for _ in range(pictures)]


@pytest.mark.parametrize("key", [ord("q"), 27])
def test_q_and_escape_quit(monkeypatch: pytest.MonkeyPatch, key: int) -> None:
    assert shown(monkeypatch, [NOTHING, key], pictures=2) == [True, False]


def test_closing_the_window_quits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [NOTHING], pictures=2) == [True, False]


def test_space_holds_the_picture_until_the_next_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [ord(" "), NOTHING, NOTHING, ord(" "), NOTHING]
    assert shown(monkeypatch, keys, pictures=2) == [True, True]


def test_q_quits_while_the_picture_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [ord(" "), NOTHING, ord("q")], pictures=1) == [False]


def test_closing_a_held_window_quits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [ord(" "), NOTHING], pictures=1) == [False]


def test_other_keys_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [ord("x"), ord("Q")], pictures=2) == [True, True]


def test_pictures_are_shown_no_faster_than_the_video_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 0.0, 0.5, 0.5, 0.7, 0.7, 3.0, 3.0])
    monkeypatch.setattr("siamcorr_demo.window.time.monotonic", lambda: next(clock))
    screen = FakeScreen([NOTHING] * 4)
    screen.install(monkeypatch)
    with Window(fps=2.0) as window:
        for _ in range(4):
            window.show(PICTURE)
    assert screen.waits_ms == [500, 500, 800, 1]


def test_without_windows_headless_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    monkeypatch.setattr(cv2, "selectROIs", refuse)
    with pytest.raises(InvalidArgument, match="--headless"):
        Window(fps=30.0)
    with pytest.raises(InvalidArgument, match="--headless"):
        pick_boxes(PICTURE)


@pytest.mark.parametrize(("drawn", "count"), [([(1, 2, 3, 4), (5, 6, 7, 8)], 2), ((), 0)])
def test_drawn_boxes_come_as_rows(monkeypatch: pytest.MonkeyPatch, drawn: Any, count: int) -> None:
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "selectROIs", lambda *_, **__: drawn)
    monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
    assert pick_boxes(PICTURE).shape == (count, 4)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", None, False),
        ("linux", "DISPLAY", True),
        ("linux", "WAYLAND_DISPLAY", True),
        ("darwin", None, True),
    ],
)
def test_there_is_a_screen_where_a_session_says_so(
    monkeypatch: pytest.MonkeyPatch, platform: str, variable: str | None, expected: bool
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, ":0")
    assert has_screen() is expected
