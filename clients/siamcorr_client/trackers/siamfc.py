"""SiamFC on top of ``correlate``: the search over scales, the window, the box.

L. Bertinetto et al., Fully-Convolutional Siamese Networks for Object Tracking, arXiv:1606.09549.

Rules:

- A frame is one call, whatever the number of targets and of scales.
- A target's answer has the same bits whichever targets are followed beside it.
- A scale is tried by scaling the box about its centre: the server cuts the search region around the scaled
  box. The template stays that of the first frame.
- A box keeps its first proportions. Its sides stay between a fifth and five times the first ones, as in the
  authors' code, and do not shrink below ``min_side_px`` nor grow beyond the frame.
- A box's centre stays inside the frame, whose size is the first image's. A target that leaves is waited for
  at the edge.
- An even map decides nothing: the target stays where it is, as large as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame, Response, Template
from siamcorr.arguments import Indices
from siamcorr.calls import Image
from siamcorr.errors import InternalError, InvalidArgument, TemplateNotFound
from siamcorr.geometry import as_boxes
from siamcorr_client.trackers.frame_size import frame_size
from siamcorr_client.trackers.settings import SiamFCSettings, settings_for
from siamcorr_client.trackers.upsample import upsample

__all__ = ["Correlator", "SiamFCTracker", "Sighting"]

Floats = npt.NDArray[np.float64]

_SCALE_LIMITS = (0.2, 5.0)


class Correlator(Protocol):
    """What the tracker calls: a :class:`~siamcorr_client.Client`, or an Engine in this process."""

    def create_templates(
        self, *, image: Image, boxes: npt.ArrayLike, model: str | None = None
    ) -> list[Template]:
        """Make one template for each box."""

    def delete_template(self, template: Template) -> None:
        """Forget a template."""

    def correlate(
        self,
        template: Sequence[Template],
        *,
        image: Image,
        box: npt.ArrayLike,
        pairs: tuple[Indices, Indices],
        kind: str,
        gain: float,
        sum_channels: bool,
    ) -> list[Response]:
        """Slide templates over search regions around boxes of an image."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What was seen of one target in the last frame.

    ``map`` is the response (H', W') float32 at the scale that won, before upsampling and window, and
    ``map_to_frame`` says where it lies. ``scale`` is that scale's factor: 1 for the size as it was.
    ``score`` is as in :meth:`SiamFCTracker.update`.
    """

    map: npt.NDArray[np.float32]
    map_to_frame: MapToFrame
    scale: float
    score: float


class SiamFCTracker:
    """Follows one target, or many, from a first box.

    Args:
        client: makes the calls, in this process or across the network.
        model: the embedder to ask for.
        settings: None takes those of :func:`settings_for` the model.
        kind: the correlation. A response of many channels is summed to one.

    ``last`` has a :class:`Sighting` for each target, in the order of the boxes, after the first
    :meth:`update`.

    Raises:
        InvalidArgument: names ``model``: there are no settings for it, and none were given.

    A context manager: its end is :meth:`close`.

    >>> from siamcorr import Engine, EngineSettings
    >>> frame = np.zeros((120, 160, 3), np.uint8)
    >>> frame[50:74, 60:84] = 255
    >>> with Engine(EngineSettings(device="cpu")) as engine, SiamFCTracker(engine) as tracker:
    ...     tracker.init(frame, (60, 50, 24, 24))
    ...     box, score = tracker.update(np.roll(frame, 5, axis=1))
    >>> box.round().tolist(), round(score, 1)
    ([65.0, 50.0, 24.0, 24.0], 1.0)
    """

    def __init__(
        self,
        client: Correlator,
        *,
        model: str = "hog",
        settings: SiamFCSettings | None = None,
        kind: str = "naive",
    ) -> None:
        """Prepare; nothing is asked of the client yet."""
        self.settings = settings_for(model) if settings is None else settings
        self.last: Sequence[Sighting] = ()
        self._client, self._model, self._kind = client, model, kind
        steps = np.arange(self.settings.scales) - self.settings.scales // 2
        self._factors: Floats = self.settings.scale_step ** steps.astype(np.float64)
        self._templates: list[Template] = []

    def init(self, image: Image, box: npt.ArrayLike) -> None:
        """Take the targets to follow, in place of those before.

        Args:
            image: (H, W, 3) uint8 BGR, or a JPEG or PNG file's bytes; it is passed on as it is.
            box: (4,) for one target or (N, 4) for many: x, y, w, h in pixels, x and y of the top left corner.

        Raises:
            InvalidArgument: names ``box`` or ``image``.
            SiamcorrError: whatever the client raises. Then the targets before are still followed.
        """
        boxes = as_boxes(box)
        templates = self._client.create_templates(image=image, boxes=boxes, model=self._model)
        dropped, self._templates, self.last = self._templates, templates, ()
        self._is_single = np.ndim(box) == 1
        self._sizes = boxes[:, 2:]
        self._centres = boxes[:, :2] + (self._sizes - 1) / 2
        self._scales = np.ones(len(boxes))
        self._frame: Floats = np.array(frame_size(image) or (np.inf, np.inf), np.float64)
        least, most = _SCALE_LIMITS
        too_small = np.minimum(1.0, self.settings.min_side_px / self._sizes.min(axis=1))
        too_large = np.maximum(1.0, (self._frame / self._sizes).min(axis=1))
        self._limits = np.maximum(least, too_small), np.minimum(most, too_large)
        self._delete(dropped)

    def update(self, image: Image) -> tuple[Floats, Floats | float]:
        """Find the targets in the next frame, with one call.

        Returns:
            The boxes (N, 4) float64, and the scores (N,) float64; for one target its box (4,) and a float.
            A score is the response at the box's place, ``gain`` included, before the penalty and the
            window. For ``hog`` it is 1 for what looks as in the first frame, around 0 for what has nothing in
            common with it, and seldom outside -1 to 1. For a network it has no such scale: compare it with
            the same target's in other frames.

        Raises:
            InvalidArgument: names ``update``: before :meth:`init` or after :meth:`close`.
            SiamcorrError: whatever the client raises. Then the targets are where they were.
        """
        if not self._templates:
            raise InvalidArgument.found("update", "a tracker without targets", "init before it")
        targets, scales = len(self._templates), len(self._factors)
        responses = self._client.correlate(
            self._templates,
            image=image,
            box=self._boxes(self._factors),
            pairs=(np.repeat(np.arange(targets), scales), np.arange(targets * scales)),
            kind=self._kind,
            gain=self.settings.gain,
            sum_channels=True,
        )
        self.last = [self._follow(n, responses[n * scales : (n + 1) * scales]) for n in range(targets)]
        boxes, scores = self._boxes(np.ones(1)), np.array([seen.score for seen in self.last])
        return (boxes[0], float(scores[0])) if self._is_single else (boxes, scores)

    def close(self) -> None:
        """Delete the targets' templates. Those that the server has dropped already are no error."""
        dropped, self._templates, self.last = self._templates, [], ()
        self._delete(dropped)

    def __enter__(self) -> Self:
        """Return the tracker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _delete(self, templates: Sequence[Template]) -> None:
        for template in templates:
            with suppress(TemplateNotFound):
                self._client.delete_template(template)

    def _boxes(self, factors: Floats) -> Floats:
        """Return each target's boxes scaled by each of ``factors``, (N * factors, 4), target by target."""
        scales = (self._scales[:, None] * factors).reshape(-1, 1)
        sizes = np.repeat(self._sizes, len(factors), axis=0) * scales
        centres = np.repeat(self._centres, len(factors), axis=0)
        return np.concatenate([centres - (sizes - 1) / 2, sizes], axis=1)

    def _follow(self, target: int, responses: Sequence[Response]) -> Sighting:
        """Move one target to where its ``responses``, one a scale, say it is."""
        settings = self.settings
        maps, views = zip(*map(_map_and_view, responses), strict=True)
        fine = upsample(np.stack(maps), settings.upsampling)
        best = _best_scale(fine.max(axis=(1, 2)), settings.scale_penalty)
        row, col = _place(fine[best], settings.window_influence)
        point = views[best].point(row / settings.upsampling, col / settings.upsampling)
        self._centres[target] = np.clip(point, 0, self._frame - 1)
        factor = float(self._factors[best])
        least, most = (limit[target] for limit in self._limits)
        grown = self._scales[target] * (1 + settings.scale_rate * (factor - 1))
        self._scales[target] = np.clip(grown, least, most)
        return Sighting(maps[best], views[best], factor, score=float(fine[best, row, col]))


def _map_and_view(response: Response) -> tuple[npt.NDArray[np.float32], MapToFrame]:
    if response.map is None or response.map_to_frame is None:
        raise InternalError("a response to a frame came without its map or its place in the frame")
    return response.map[0].astype(np.float32, copy=False), response.map_to_frame


def _best_scale(peaks: Floats, penalty: float) -> int:
    """Return which of the scales' ``peaks`` (S,) wins. The penalty lowers a peak below 0 as well."""
    middle = len(peaks) // 2
    penalised = peaks - (1 - penalty) * np.abs(peaks)
    penalised[middle] = peaks[middle]
    best = int(penalised.argmax())
    return best if penalised[best] > penalised[middle] else middle


def _place(response: Floats, window_influence: float) -> tuple[int, int]:
    """Return the row and column of the largest response once the window has its say."""
    response = response - response.min()
    total = response.sum()
    share = response / total if total > 0 else response
    blended = (1 - window_influence) * share + window_influence * _window(*response.shape)
    row, col = divmod(int(blended.argmax()), response.shape[1])
    return row, col


@lru_cache(maxsize=32)
def _window(rows: int, cols: int) -> Floats:
    """Return the Hann window (rows, cols) that sums to 1; its zeros are just outside the map."""
    window: Floats = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(cols + 2)[1:-1])
    window /= window.sum()
    window.flags.writeable = False
    return window
