"""A TraX session without TraX: a channel that stands for the protocol, and what is asked of the tracker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from drawn import draw_frame
from followers import Scripted
from siamcorr.errors import InvalidArgument
from siamcorr_eval.trax_session import serve

BOX = (1.5, 2.0, 30.0, 40.0)


@dataclass
class Region:
    box: tuple[float, ...]

    def bounds(self) -> tuple[float, ...]:
        return self.box


@dataclass
class ByPath:
    where: Path

    def type(self) -> str:
        return "path"

    def path(self) -> str:
        return str(self.where)


@dataclass
class InMemory:
    kind: str
    content: Any

    def type(self) -> str:
        return self.kind

    def buffer(self) -> bytes:
        return bytes(self.content)

    def array(self) -> Any:
        return self.content


@dataclass
class Request:
    type: str
    image: Mapping[str, Any] = field(default_factory=dict)
    objects: list[tuple[Region, dict[str, str]]] = field(default_factory=list)


@dataclass
class Channel:
    """Asks what it was told to ask, then quits; keeps the answers."""

    requests: list[Request]
    answers: list[tuple[tuple[float, ...], float]] = field(default_factory=list)

    def wait(self) -> Request:
        return self.requests.pop(0) if self.requests else Request("quit")

    def status(self, objects: list[tuple[Any, Mapping[str, Any]]], /) -> None:
        ((region, said),) = objects
        self.answers.append((region.box, said["confidence"]))


def initialize(image: Any) -> Request:
    return Request("initialize", {"color": image}, [(Region(BOX), {})])


def frame(image: Any) -> Request:
    return Request("frame", {"color": image})


def session(*requests: Request) -> tuple[Scripted, Channel]:
    tracker, channel = Scripted(), Channel(list(requests))
    serve(channel, tracker, lambda *box: Region(box))
    return tracker, channel


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), draw_frame(0))
    return path


def test_each_request_is_answered_with_a_box_and_a_score(png: Path) -> None:
    image = ByPath(png)
    tracker, channel = session(initialize(image), frame(image), frame(image))
    assert tracker.box == BOX
    assert channel.answers == [(BOX, 1.0), ((1.0,) * 4, 0.1), ((2.0,) * 4, 0.2)]


def test_a_second_initialize_begins_anew(png: Path) -> None:
    other = Request("initialize", {"color": ByPath(png)}, [(Region((5, 6, 7, 8)), {})])
    tracker, channel = session(initialize(ByPath(png)), frame(ByPath(png)), other)
    assert tracker.box == (5, 6, 7, 8)
    assert channel.answers[-1] == ((5, 6, 7, 8), 1.0)


def test_files_are_passed_on_as_they_are(png: Path) -> None:
    data = png.read_bytes()
    tracker, _ = session(initialize(ByPath(png)), frame(InMemory("buffer", data)))
    assert tracker.given == [data, data]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_become_bgr_of_8_bits(channels: int, dtype: type[np.unsignedinteger[Any]]) -> None:
    rgb = draw_frame(0)[..., :channels]
    pixels = rgb if dtype is np.uint8 else rgb.astype(np.uint16) << 8
    tracker, _ = session(initialize(InMemory("memory", pixels)))
    expected = np.broadcast_to(rgb, (*rgb.shape[:2], 3))[..., ::-1]
    (given,) = tracker.given
    assert isinstance(given, np.ndarray)
    assert given.dtype == np.uint8
    assert np.array_equal(given, expected)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("initialize", {"depth": None}), "image: found channels ['depth'], expected color"),
        (frame(InMemory("url", b"")), "image: found an image by url, expected path, buffer or memory"),
        (frame(ByPath(Path("none.png"))), "none.png: cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_followed_ends_the_session(request_: Request, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        session(request_)
    assert str(caught.value) == message
