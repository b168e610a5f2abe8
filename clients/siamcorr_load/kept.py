"""What the repeats of a load have measured until now, so that a test that is cut short loses none of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from siamcorr_load.recorder import Tally
from siamcorr_load.results import Window
from siamcorr_load.summary import Measured

__all__ = ["Kept", "Seen"]

Seen: TypeAlias = list[tuple[Tally, Window]]
"""The windows of a repeat that have closed."""


@dataclass(slots=True)
class _Begun:
    """A repeat; ``whole`` is what it gave in the end, with what a mere list of windows does not tell."""

    seen: Seen = field(default_factory=list)
    whole: Measured | None = None

    def measured(self) -> Measured | None:
        if self.whole is not None or not self.seen:
            return self.whole
        tallies, windows = zip(*self.seen, strict=True)
        return Measured(tallies, windows)


class Kept:
    """The repeats of one load as they are made, each as far as it came.

    A repeat has one place from its begin on, and there it is found once, at whatever step it was cut short.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._begun: list[_Begun] = []

    def add(self, repeat: Callable[[Seen], Measured]) -> None:
        """Make one more. ``repeat`` puts each window into the list that it is given as the window closes."""
        begun = _Begun()
        self._begun.append(begun)
        begun.whole = repeat(begun.seen)

    def repeats(self) -> list[Measured]:
        """Return those of which at least one window has closed, in order."""
        return [measured for one in self._begun if (measured := one.measured()) is not None]
