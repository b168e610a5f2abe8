"""The window: shows pictures at the video's own pace, and listens to the keys.

q and ESC quit, and so does closing the window; space holds the picture until the next space.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument

__all__ = ["Window", "has_screen", "pick_boxes"]

Pixels = npt.NDArray[np.uint8]

_TITLE = "siamcorr"
_FLAGS = cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL  # Qt's bars have no use here, and look for fonts aloud
_QUIT = {ord("q"), 27}
_HOLD = ord(" ")
_NO_KEY = 255


def has_screen() -> bool:
    """Tell whether there is a screen to open a window on."""
    return sys.platform in {"darwin", "win32"} or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def pick_boxes(image: Pixels) -> npt.NDArray[np.float64]:
    """Let the user draw boxes on an image, (H, W, 3) BGR: (N, 4) x, y, w, h in pixels; N may be 0.

    Raises:
        InvalidArgument: this OpenCV has no windows.
    """
    title = "Draw a box, then SPACE; ESC when all are drawn"
    try:
        cv2.namedWindow(title, _FLAGS)
        boxes = cv2.selectROIs(title, image, showCrosshair=False, printNotice=False)
        cv2.destroyWindow(title)
    except cv2.error as error:
        raise _no_windows() from error
    return np.asarray(boxes, np.float64).reshape(-1, 4)


class Window:
    """A window for pictures of one size, open within the ``with`` block.

    Raises:
        InvalidArgument: this OpenCV has no windows.
    """

    def __init__(self, fps: float) -> None:
        """Open it; ``fps`` is the pace that is not to be exceeded."""
        self._frame_s = 1 / fps
        self._due_s = time.monotonic()
        try:
            cv2.namedWindow(_TITLE, _FLAGS)
        except cv2.error as error:
            raise _no_windows() from error

    def show(self, picture: Pixels) -> bool:
        """Show a picture when it is due; False once the user has had enough."""
        cv2.imshow(_TITLE, picture)
        self._due_s = max(self._due_s + self._frame_s, time.monotonic())
        key = self._key(self._due_s - time.monotonic())
        if key == _HOLD:
            key = self._next_key()
        return key not in _QUIT and self._is_open()

    def _next_key(self) -> int:
        key = _NO_KEY
        while key == _NO_KEY and self._is_open():
            key = self._key(0.05)
        return key

    def _key(self, wait_s: float) -> int:
        return cv2.waitKey(max(1, round(1000 * wait_s))) & 0xFF

    def _is_open(self) -> bool:
        return cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        cv2.destroyAllWindows()


def _no_windows() -> InvalidArgument:
    return InvalidArgument.found("--headless", "an OpenCV without windows", "--headless with it")
