"""What comes back: templates, response maps and peaks, the same in process and across the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siamcorr.errors import InvalidArgument
from siamcorr.peaks import Peak, find_peaks

__all__ = ["MapToFrame", "Response", "Template", "TensorInfo", "Timings"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, dtype and shape of one resident tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A resident template: a handle, and what it stands for at the moment of the answer.

    ``handle`` names one template for ever; ``generation`` starts at 1 and grows by one at each update.
    ``model`` is the embedder that made it from an image, or None. ``idle_s`` is the time since its last use,
    in seconds.
    """

    handle: str
    generation: int
    tensors: tuple[TensorInfo, ...]
    model: str | None
    size_bytes: int
    idle_s: float


class MapToFrame(NamedTuple):
    """Where a response map lies in the frame that it was computed from, in frame pixels.

    It unpacks as x0, y0, step_x, step_y.

    When the response peaks at cell (row, col), the middle of the target's box is at
    (``x0 + col * step_x``, ``y0 + row * step_y``).
    """

    x0: float
    y0: float
    step_x: float
    step_y: float

    def point(self, row: float, col: float) -> tuple[float, float]:
        """Return (x, y) in frame pixels.

        >>> MapToFrame(10.0, 20.0, 4.0, 4.0).point(row=1, col=2)
        (18.0, 24.0)
        """
        return self.x0 + col * self.step_x, self.y0 + row * self.step_y


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went in the engine, in seconds.

    ``prepare_s``: decoding and cropping a frame. ``queue_s``: waiting for the device. ``embed_s``: from crops
    to features, or in one go to a network's maps. ``compute_s``: correlation, head and peaks. ``copy_s``:
    upload and download. A launch is shared, so these are its times and not a share of them; ``batch_pairs``
    is the number of pairs in it. ``plan`` is how the correlation was computed: ``direct``, ``matmul``,
    ``fft``..., or ``graph`` if ONNX Runtime computed the whole network. ``compile_s`` is the part of
    ``compute_s`` that went into compiling code for a shape that was new.
    """

    prepare_s: float = 0.0
    queue_s: float = 0.0
    embed_s: float = 0.0
    compute_s: float = 0.0
    copy_s: float = 0.0
    batch_pairs: int = 0
    plan: str = ""
    compile_s: float = 0.0

    def then(self, other: Timings) -> Timings:
        """Join the times of two launches of one request: work adds up, waiting overlaps.

        >>> both = Timings(queue_s=1.0, compute_s=2.0).then(Timings(queue_s=4.0, compute_s=1.0))
        >>> both.queue_s, both.compute_s
        (4.0, 3.0)
        """
        return Timings(
            prepare_s=self.prepare_s + other.prepare_s,
            queue_s=max(self.queue_s, other.queue_s),
            embed_s=self.embed_s + other.embed_s,
            compute_s=self.compute_s + other.compute_s,
            copy_s=self.copy_s + other.copy_s,
            batch_pairs=max(self.batch_pairs, other.batch_pairs),
            plan=", ".join(dict.fromkeys(plan for plan in (self.plan, other.plan) if plan)),
            compile_s=self.compile_s + other.compile_s,
        )


@dataclass(frozen=True, eq=False)
class Response:
    """The answer for one template on one search region.

    ``map`` is (O, H', W') float32 or float16, or None when only peaks were asked for. ``peaks`` is sorted by
    score, the best first; empty when only the map was asked for. ``maps`` are a whole network's, (C, H', W')
    each, by name; there is no other map then. ``template`` is the handle and ``generation`` the generation of
    it that was used. ``map_to_frame`` is there when the search region came from a frame.
    """

    template: str
    generation: int
    map: npt.NDArray[np.floating] | None
    peaks: tuple[Peak, ...] = ()
    map_to_frame: MapToFrame | None = None
    maps: Mapping[str, npt.NDArray[np.floating]] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)

    @cached_property
    def peak(self) -> Peak:
        """The best peak: the engine's, or found here in the map when peaks were not asked for.

        Raises:
            InvalidArgument: there is neither.
        """
        if self.peaks:
            return self.peaks[0]
        if self.map is None:
            raise InvalidArgument.found("output", "a response without map and peaks", "one of them")
        return find_peaks(self.map)[0]
