"""When templates are renewed, and how: policies to choose from. None keeps the first frame's for ever.

A template that is renewed from a poor frame teaches the tracker to follow something else. So a policy waits
for a frame in which the target is tracked, and its confidence is high enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from siamcorr.arguments import as_count, as_number
from siamcorr.errors import InvalidArgument

__all__ = ["BankUpdates", "BlendUpdates", "Updates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendUpdates:
    """Blend the template with a new one: ``(1 - rate) * old + rate * new``, as CFNet and DCFNet do.

    It is done every ``every`` frames, or as soon after as the confidence is at least ``least``. Each is a
    call of its own to the server, beside the frame's.

    >>> BlendUpdates(rate=0.0)
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: rate: found 0.0, expected a number above 0 and up to 1
    """

    rate: float = 0.01
    every: int = 1
    least: float = 0.6

    def __post_init__(self) -> None:
        """Refuse what no template can be renewed by."""
        if not 0 < as_number(self.rate, "rate") <= 1:
            raise InvalidArgument.found("rate", self.rate, "a number above 0 and up to 1")
        _check_when(self.every, self.least)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankUpdates:
    """Keep up to ``size`` templates: the first for ever, and the latest of those taken since.

    One is taken every ``every`` frames, or as soon after as the confidence is at least ``least``. All are
    slid over the same search region, with the frame's request. Their maps are averaged: ``first_share`` of
    the first one's, and the rest of the others' mean. The defaults are SiamFC++'s with many templates.

    >>> BankUpdates(size=1)
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: size: found 1, expected an integer from 2 to 64
    """

    size: int = 5
    every: int = 10
    least: float = 0.6
    first_share: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what no bank can be."""
        if as_count(self.size, "size", most=64) < 2:
            raise InvalidArgument.found("size", self.size, "an integer from 2 to 64")
        if not 0 <= as_number(self.first_share, "first_share") <= 1:
            raise InvalidArgument.found("first_share", self.first_share, "a number from 0 to 1")
        _check_when(self.every, self.least)

    def shares(self, templates: int) -> list[float]:
        """Return what each of so many templates has of the average.

        >>> BankUpdates().shares(1), BankUpdates(first_share=0.5).shares(3)
        ([1.0], [0.5, 0.25, 0.25])
        """
        rest = templates - 1
        return [self.first_share] + [(1 - self.first_share) / rest] * rest if rest else [1.0]


Updates: TypeAlias = BlendUpdates | BankUpdates


def as_updates(updates: object) -> Updates | None:
    """Check a policy that a caller gives."""
    if updates is not None and not isinstance(updates, BlendUpdates | BankUpdates):
        raise InvalidArgument.found("updates", repr(updates)[:80], "BlendUpdates, BankUpdates or None")
    return updates


def _check_when(every: int, least: float) -> None:
    as_count(every, "every", most=1_000_000)
    if not 0 <= as_number(least, "least") <= 1:
        raise InvalidArgument.found("least", least, "a number from 0 to 1")
