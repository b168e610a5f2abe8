"""A TraX session: the client's requests on one side, a tracker on the other.

TraX (Cehovin, TraX: the visual Tracking eXchange protocol and library, Neurocomputing 2017) is how the VOT
toolkit drives trackers: it starts one as a process and writes requests to its stdin. Who tracks is the
protocol's server. What goes over the wire is the package vot-trax's affair; here stands what is asked of it.

Rules:

- One target a session. A second ``initialize`` begins anew with another.
- Frames come as paths, as JPEG or PNG files in memory, or as pixels; the first two are passed on as they are.
- With each box goes the tracker's score, as ``confidence``.
- What the tracker refuses ends the session; its message is the reason that the client is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from siamcorr.errors import InvalidArgument
from siamcorr_eval.frames import read_frame
from siamcorr_eval.trackers import Image, Tracker

__all__ = ["Channel", "Request", "serve"]

_COLOUR = "color"


class Request(Protocol):
    """What ``trax.server.Request`` is."""

    @property
    def type(self) -> str:
        """One of initialize, frame and quit."""

    @property
    def image(self) -> Mapping[str, Any]:
        """The frame's images, by channel."""

    @property
    def objects(self) -> Sequence[tuple[Any, Any]]:
        """Regions and their properties, with initialize."""


class Channel(Protocol):
    """What ``trax.Server`` is."""

    def wait(self) -> Request:
        """Wait for the client's next request."""

    def status(self, objects: list[tuple[Any, Mapping[str, Any]]], /) -> Any:
        """Answer it: the target's region and what is to be said of it."""


def serve(channel: Channel, tracker: Tracker, rectangle: Callable[[float, float, float, float], Any]) -> None:
    """Answer a client's requests until it quits.

    Args:
        channel: the protocol.
        tracker: follows the target.
        rectangle: makes the protocol's region of x, y, w, h.

    Raises:
        InvalidArgument: a frame cannot be read, or the tracker refuses it or the box.
        SiamcorrError: whatever else the tracker raises.
    """
    while (request := channel.wait()).type != "quit":
        image = _image(request.image)
        if request.type == "initialize":
            box = np.array(request.objects[0][0].bounds(), np.float64)
            score = 1.0
            tracker.init(image, box)
        else:
            seen = tracker.update(image)
            box, score = seen.box, seen.score
        channel.status([(rectangle(*map(float, box)), {"confidence": score})])


def _image(images: Mapping[str, Any]) -> Image:
    """Return the colour channel's image as trackers take it."""
    if _COLOUR not in images:
        raise InvalidArgument.found("image", f"channels {sorted(images)}", _COLOUR)
    image = images[_COLOUR]
    kind = image.type()
    if kind == "path":
        return read_frame(Path(image.path())).image
    if kind == "buffer":
        return bytes(image.buffer())
    if kind != "memory":
        raise InvalidArgument.found("image", f"an image by {kind}", "path, buffer or memory")
    pixels = np.asarray(image.array())
    if pixels.dtype == np.uint16:
        pixels = pixels >> 8
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., ::-1], np.uint8)  # TraX has RGB
