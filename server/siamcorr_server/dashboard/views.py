"""What the page draws of a watched template: a picture of the search region, and one plane of the response.

A response has many channels and a heat map has one. A view says how it gets there:

- ``sum``: all channels added up, as SiamFC adds them. The usual one, unless there is a better.
- ``score``: of a network's class map, whose channels are class * anchors + anchor: the softmax of background
  and target, of each cell's best anchor. It is what trackers go by.
- a number: that channel alone.

All of this takes time that grows with the maps, so it runs in a thread, never in the event loop.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from siamcorr.arguments import Array
from siamcorr.errors import InvalidArgument
from siamcorr.peaks import find_peaks
from siamcorr_server.dashboard.watches import Sample

__all__ = ["View", "describe"]

Plane = npt.NDArray[np.float32]

_CLASSES = "cls"
_MOST_SIDE_PX = 32_767
"""What browsers draw, and less than PNG files may have."""


@dataclass(frozen=True, slots=True)
class View:
    """Which map, and what is made of its channels: ``sum``, ``score`` or a channel's number.

    >>> View.parse("cls:score"), View.parse("")
    (View(name='cls', channel='score'), View(name='', channel=''))
    """

    name: str = ""
    channel: str = ""

    @classmethod
    def parse(cls, text: str) -> View:
        """Read ``NAME:CHANNEL``; nothing at all leaves the choice open.

        Raises:
            InvalidArgument: names ``view``.
        """
        name, colon, channel = text.partition(":")
        is_known = channel in {"sum", "score"} or (channel.isascii() and channel.isdigit())
        if text and not (colon and is_known and len(text) <= 80):
            raise InvalidArgument.found("view", repr(text)[:80], "NAME:sum, NAME:score or NAME:CHANNEL")
        return cls(name, channel)

    def of(self, maps: Mapping[str, Array]) -> View:
        """Return this view if these maps have it, or their own best."""
        name = self.name if self.name in maps else _best(maps)
        channels = len(maps[name])
        if self.name == name and self.channel:
            is_there = self.channel in _ways(name, channels) or (
                self.channel.isdigit() and int(self.channel) < channels
            )
            if is_there:
                return self
        return View(name, (*_ways(name, channels), "0")[0])

    def plane(self, maps: Mapping[str, Array]) -> Plane:
        """Return the view of maps (C, H, W) as (H, W) float32. What is not finite stays so."""
        channels = maps[self.name].astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.channel == "sum":
                return np.asarray(channels.sum(axis=0), np.float32)
            if self.channel == "score":
                background, target = channels.reshape(2, -1, *channels.shape[1:])
                return np.asarray((1 / (1 + np.exp(background - target))).max(axis=0), np.float32)
        return np.asarray(channels[int(self.channel)], np.float32)


def describe(samples: Sequence[Sample], view: View, now_s: float) -> dict[str, Any]:
    """Return what the page draws, as JSON can hold it; ``samples`` are of one template, the last one last."""
    last = samples[-1]
    found = {
        "number": last.number,
        "generation": last.generation,
        "age_s": round(now_s - last.taken_s, 3),
        "kind": last.kind,
        "plan": last.plan,
        "pairs": last.pairs,
        "picture": None if last.region is None else _picture(last.region),
        "placing": None if last.placing is None else asdict(last.placing),
        "peaks": [asdict(peak) for peak in last.peaks],
        "too_large": last.too_large,
        "map": None,
        "maps": [],
        "strip": [],
    }
    if last.maps:
        chosen = view.of(last.maps)
        found["maps"] = [_options(name, array) for name, array in last.maps.items()]
        found["map"] = asdict(chosen) | _heat(chosen.plane(last.maps))
        found["strip"] = [
            {"number": sample.number, "generation": sample.generation, "age_s": now_s - sample.taken_s}
            | _heat(chosen.plane(sample.maps))
            for sample in samples
            if chosen.name in sample.maps and sample.maps[chosen.name].shape == last.maps[chosen.name].shape
        ]
    return found


def _best(maps: Mapping[str, Array]) -> str:
    return _CLASSES if _CLASSES in maps else next(iter(maps))


def _ways(name: str, channels: int) -> tuple[str, ...]:
    if channels == 1:
        return ()
    return ("score", "sum") if name == _CLASSES and channels % 2 == 0 else ("sum",)


def _options(name: str, array: Array) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "ways": _ways(name, len(array))}


def _heat(plane: Plane) -> dict[str, Any]:
    """Return a plane as base64 of float32, its range and peak. What is not finite is drawn as the least."""
    finite = plane[np.isfinite(plane)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    shown = np.where(np.isfinite(plane), plane, np.float32(low)).astype("<f4")
    peak = find_peaks(shown[None])[0]
    return {
        "rows": plane.shape[0],
        "cols": plane.shape[1],
        "values": base64.b64encode(shown.tobytes()).decode(),
        "low": low,
        "high": high,
        "not_finite": int(plane.size - finite.size),
        "peak": asdict(peak),
    }


def _picture(region: Array) -> dict[str, Any] | None:
    """Return a search region as a PNG file; None where it is too long to be one."""
    is_crop = region.dtype == np.uint8
    pixels = region if is_crop else _energy(region)
    height, width = pixels.shape[:2]
    if max(height, width) > _MOST_SIDE_PX:
        return None
    _, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    shown = "crop" if is_crop else "features"
    return {"what": shown, "width": width, "height": height, "png": base64.b64encode(png.tobytes()).decode()}


def _energy(features: Array) -> npt.NDArray[np.uint8]:
    """Return how strong features (C, H, W) are at each cell, from black to white."""
    with np.errstate(over="ignore", invalid="ignore"):
        strength = np.sqrt(np.square(features.astype(np.float32)).mean(axis=0))
        strength = np.where(np.isfinite(strength), strength, 0.0)
        low, high = strength.min(), strength.max()
        share = (strength - low) / (high - low) if high > low else np.zeros_like(strength)
    return np.asarray(share * 255, np.uint8)
