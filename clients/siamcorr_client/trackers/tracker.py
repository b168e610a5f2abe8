"""One target: the tracker as benchmarks know it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy.typing as npt

from siamcorr.calls import Image
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import as_boxes
from siamcorr_client.trackers.correlator import Correlator
from siamcorr_client.trackers.multi_tracker import MultiTracker
from siamcorr_client.trackers.settings import TrackerSettings
from siamcorr_client.trackers.track import Track
from siamcorr_client.trackers.updates import Updates

__all__ = ["Tracker"]


class Tracker:
    """Follows one target from its first box.

    The arguments are those of :class:`MultiTracker`.

    A context manager: its end is :meth:`close`.

    >>> import numpy as np
    >>> from siamcorr import Engine, EngineSettings
    >>> frame = np.zeros((120, 160, 3), np.uint8)
    >>> frame[50:74, 60:84] = 255
    >>> with Engine(EngineSettings(device="cpu")) as engine, Tracker(engine, model="hog") as tracker:
    ...     tracker.init(frame, (60, 50, 24, 24))
    ...     track = tracker.update(np.roll(frame, 5, axis=1))
    >>> track.box.round().tolist(), round(track.score, 1), track.state
    ([65.0, 50.0, 24.0, 24.0], 1.0, 'tracking')
    """

    def __init__(
        self,
        client: Correlator,
        model: str = "hog",
        settings: TrackerSettings | None = None,
        updates: Updates | None = None,
    ) -> None:
        """Prepare; nothing is asked of the client yet."""
        self._targets = MultiTracker(client, model, settings, updates)

    @property
    def settings(self) -> TrackerSettings:
        """The kind of tracker, and its numbers."""
        return self._targets.settings

    def init(self, image: Image, box: npt.ArrayLike) -> None:
        """Take the target to follow, in place of the one before.

        Args:
            image: (H, W, 3) uint8 BGR, or a JPEG or PNG file's bytes; it is passed on as it is.
            box: (4,): x, y, w, h in pixels, x and y of the top left corner.

        Raises:
            InvalidArgument: names ``box`` or ``image``; or ``add``: after :meth:`close`.
            SiamcorrError: whatever the client raises. Then the target before is still followed.
        """
        boxes = as_boxes(box)
        if len(boxes) != 1:
            raise InvalidArgument.found("box", f"{len(boxes)} boxes", "one; MultiTracker follows many")
        before = self._targets.targets
        self._targets.add(image, boxes)
        for target in before:
            self._targets.remove(target)

    def update(self, image: Image) -> Track:
        """Find the target in the next frame.

        Raises:
            InvalidArgument: names ``update``: before :meth:`init` or after :meth:`close`; or ``image``.
            TemplateNotFound: or TemplateEvicted, or TemplateExpired: the server has dropped the template.
            SiamcorrError: whatever the client raises. Then the target is where it was.
        """
        tracks = self._targets.update(image)
        if not tracks:
            raise InvalidArgument.found("update", "a tracker without a target", "init before it")
        (track,) = tracks.values()
        return track

    def close(self) -> None:
        """Delete the target's templates. Those that the server has dropped already are no error."""
        self._targets.close()

    def __enter__(self) -> Self:
        """Return the tracker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
