"""Several templates a target: which meets which search region, and what their maps are together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from siamcorr.answers import Response
from siamcorr.errors import InternalError
from siamcorr_client.trackers.kinds import Maps, Rows, Views

__all__ = ["Meetings", "meetings"]


class Meetings:
    """Every search region meets all templates of its target, region by region.

    Args:
        owners: (S,) which target each search region is of.
        shares: for each target, what each of its templates has of the average.

    ``templates`` and ``regions`` are the pairs to ask for: templates are counted target by target.

    >>> met = Meetings(np.array([0, 1]), [[1.0], [0.5, 0.5]])
    >>> met.templates.tolist(), met.regions.tolist()
    ([0, 1, 2], [0, 1, 1])
    """

    def __init__(self, owners: Rows, shares: Sequence[Sequence[float]]) -> None:
        """Pair them."""
        counts = np.array([len(of_target) for of_target in shares], np.intp)
        firsts = np.cumsum(counts) - counts
        self._starts = np.concatenate([[0], np.cumsum(counts[owners])])
        self._shares = [shares[owner] for owner in owners]
        self.regions: Rows = np.repeat(np.arange(len(owners)), counts[owners])
        within = np.arange(len(self.regions)) - self._starts[self.regions]
        self.templates: Rows = firsts[owners][self.regions] + within
        self.templates.flags.writeable = self.regions.flags.writeable = False

    def maps(self, responses: Sequence[Response]) -> tuple[Maps, Views]:
        """Return the average maps of each region, (S, C, H, W) by name, and where they lie.

        Raises:
            InternalError: the responses have no maps, or those of one target differ in shape.
        """
        if len(responses) != len(self.regions):
            raise InternalError(f"{len(responses)} responses to {len(self.regions)} pairs")
        named = [_named(response) for response in responses]
        try:
            maps = {name: self._averaged([one[name] for one in named]) for name in named[0]}
        except (KeyError, ValueError) as error:
            raise InternalError(f"responses to one request do not fit together: {error}") from error
        return maps, [responses[start].map_to_frame for start in self._starts[:-1]]

    def _averaged(self, maps: list[npt.NDArray[np.floating]]) -> npt.NDArray[np.floating]:
        if len(maps) == len(self._shares):
            return np.array(maps)  # as np.stack, in half its time
        return np.array(
            [
                _mean(maps[start:end], shares)
                for shares, (start, end) in zip(self._shares, pairwise(self._starts), strict=True)
            ]
        )


@lru_cache(maxsize=8)
def meetings(owners: tuple[int, ...], shares: tuple[tuple[float, ...], ...]) -> Meetings:
    """Return the :class:`Meetings`, read-only: from frame to frame they are the same."""
    return Meetings(np.array(owners, np.intp), shares)


def _mean(maps: list[npt.NDArray[np.floating]], shares: Sequence[float]) -> npt.NDArray[np.floating]:
    mean = maps[0] * shares[0]
    for one, share in zip(maps[1:], shares[1:], strict=True):
        mean += one * share
    return mean


def _named(response: Response) -> Maps:
    maps: Maps = response.maps or ({} if response.map is None else {"response": response.map})
    if not maps:
        raise InternalError("a response came without its maps")
    return maps
