"""What is evaluated: anything with ``init`` and ``update``, and how one is made of a siamcorr server.

Rules:

- A tracker gets frames as they come from the disk, a JPEG or PNG file's bytes, and decodes them itself: times
  are then comparable, whoever decodes.
- Each sequence has a tracker of its own. Nothing is carried over.
- A tracker that has lost its target and gives no box gives :data:`NO_BOX`. It overlaps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["NO_BOX", "Image", "MakeTracker", "Seen", "Tracker", "served_trackers"]

Box = npt.NDArray[np.float64]

Image: TypeAlias = bytes | npt.NDArray[np.uint8]
"""A JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR."""

NO_BOX: Box = np.zeros(4)

_TIMEOUT_S = 30.0


class Seen(Protocol):
    """What a tracker says of a frame: the target's box (4,) x, y, w, h in pixels, and its score for it."""

    @property
    def box(self) -> Box:
        """Where the target is, or :data:`NO_BOX`."""

    @property
    def score(self) -> float:
        """How sure the tracker is, on a scale of its own."""


class Tracker(Protocol):
    """Follows one target from a first box."""

    def init(self, image: Image, box: Box, /) -> None:
        """Take the target to follow."""

    def update(self, image: Image, /) -> Seen:
        """Find it in the next frame."""


MakeTracker: TypeAlias = Callable[[], AbstractContextManager[Tracker]]
"""Makes a tracker for one sequence; it lives as long as the ``with`` block."""


@contextmanager
def served_trackers(model: str, weights: str | None, server: str | None) -> Iterator[MakeTracker]:
    """Yield what makes trackers on a model of a siamcorr server.

    Args:
        model: the model's name, with its template transform.
        weights: the model's file, for a server that is started here.
        server: HOST:PORT of a server that runs already; None starts one, which ends with the block.

    Raises:
        InvalidArgument: names ``model``: there is no tracker for it.
        SiamcorrError: the server cannot be reached, or does not start.
    """
    # They need grpc, which OpenCV's trackers do without.
    from siamcorr_client import Client  # noqa: PLC0415
    from siamcorr_client.server_process import options_for, running_server, signals_unwind  # noqa: PLC0415
    from siamcorr_client.trackers import Tracker as ServedTracker  # noqa: PLC0415
    from siamcorr_client.trackers import settings_for  # noqa: PLC0415

    settings = settings_for(model)
    with ExitStack() as stack:
        stack.enter_context(signals_unwind())
        address = server or stack.enter_context(running_server(options_for(model, weights)))
        client = stack.enter_context(Client(address, timeout_s=_TIMEOUT_S))
        yield lambda: ServedTracker(client, model, settings)
