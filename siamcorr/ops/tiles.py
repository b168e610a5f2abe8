"""How the response of a compiled kernel is cut into tiles: rows and columns that are summed in registers.

Rows are cut evenly. Columns go into whole vectors; what is left of them into a narrower vector, which may
overlap the one before, or, if they are few, each into a vector of its own that goes across the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["LANES", "MAX_UNROLLED", "KernelShape", "Strip"]

MAX_UNROLLED = 1536
"""How many multiply-adds of vectors stand in one loop, which has to stay in the instruction cache."""

_REGISTERS = 29  # of 32 vectors: sums of the tile's rows, and one column of the template
_TILE_ROWS = 21
LANES = 16
"""float32 in the widest vector of any; LLVM splits it where the machine's are narrower."""


@dataclass(frozen=True, slots=True)
class Strip:
    """``count`` vectors of ``lanes`` columns side by side. A single column is summed across the template.

    Of a vector that is wider than the response only the columns that there are are stored.
    """

    first: int
    lanes: int
    count: int


@dataclass(frozen=True, slots=True)
class KernelShape:
    """``depth`` channels of h x w, dilated, slid over ``rows`` x ``cols``; ``is_bfloat16`` is the search.

    ``rows`` and ``cols`` are those of a plane with its ``padding``, which the kernel of one channel adds.
    """

    depth: int
    h: int
    w: int
    rows: int
    cols: int
    dilation: tuple[int, int] = (1, 1)
    is_bfloat16: bool = False
    padding: tuple[int, int] = (0, 0)

    @property
    def stored(self) -> tuple[int, int]:
        """Rows and columns of a plane as it lies in memory."""
        above, before = self.padding
        return self.rows - 2 * above, self.cols - 2 * before

    @property
    def response(self) -> tuple[int, int]:
        """Rows and columns of the response."""
        down, right = self.dilation
        return self.rows - down * (self.h - 1), self.cols - right * (self.w - 1)

    @property
    def tile_rows(self) -> int:
        """Rows of a tile: as many as fit, and as equal in all tiles as can be."""
        rows = self.response[0]
        most = min(_TILE_ROWS, max(4, _REGISTERS - self.h), max(1, MAX_UNROLLED // (self.h * self.w)))
        return -(-rows // -(-rows // most))

    @property
    def strips(self) -> tuple[Strip, ...]:
        """The columns of the response: whole vectors, and for the rest what takes the least time.

        >>> for strip in KernelShape(256, 6, 6, 22, 22).strips: strip
        Strip(first=0, lanes=16, count=1)
        Strip(first=16, lanes=1, count=1)
        """
        cols = self.response[1]
        whole, rest = divmod(cols, LANES)
        wholes = (Strip(0, LANES, whole),) if whole else ()
        return wholes + min(self._rests(cols, rest), key=self._time) if rest else wholes

    def _rests(self, cols: int, rest: int) -> Iterator[tuple[Strip, ...]]:
        """Yield ways to cover the last ``rest`` of ``cols`` columns; vectors may overlap what is before."""
        lanes, half = _power_of_two(rest), LANES // 2
        if any(self.padding) and half < cols < LANES:  # a plane that the kernel pads goes on behind its end
            yield (Strip(0, LANES, 1),)
        if lanes <= cols:
            yield (Strip(cols - lanes, lanes, 1),)
        else:
            yield Strip(0, lanes // 2, 1), Strip(cols - lanes // 2, lanes // 2, 1)
        if self.dilation[1] == 1 and self.w <= LANES:  # a wider row of the template is no single vector
            yield (Strip(cols - rest, 1, rest),)
            if rest > half:
                yield Strip(cols - rest, half, 1), Strip(cols - rest + half, 1, rest - half)

    @property
    def time(self) -> float:
        """How long a row of the response takes, in whole vectors."""
        return self._time(self.strips)

    def _time(self, strips: Iterable[Strip]) -> float:
        """Return how long they take, in whole vectors. Half a vector takes half of the time, less no less."""
        return sum(
            0.5 * strip.count / self.w if strip.lanes == 1 else max(strip.lanes / LANES, 0.5)
            for strip in strips
        )


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
