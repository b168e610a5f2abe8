"""What is remembered of a target from frame to frame, beside its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from siamcorr.answers import Template

__all__ = ["Target"]

_FIRST_FRAMES = 5


@dataclass(slots=True, eq=False)
class Target:
    """A target: ``templates`` are its own, the first frame's first.

    ``poor`` counts the frames of low confidence on end, ``age`` those since its templates were renewed.
    """

    number: int
    templates: list[Template]
    is_lost: bool = False
    poor: int = 0
    age: int = 0
    _first_scores: list[float] = field(default_factory=list)

    def confidence(self, score: float) -> float:
        """Return a score as a part, 0 to 1, of the mean that the target had in its first frames.

        Later frames do not count: a tracker that has begun to follow something else grows sure of that.

        >>> target = Target(0, [])
        >>> target.confidence(4.0)
        1.0
        >>> target.count(4.0, is_lost=False, poor=0)
        >>> target.confidence(3.0)
        0.75
        """
        first = self._first_scores or [score]
        mean = sum(first) / len(first)
        return min(max(score / mean, 0.0), 1.0) if mean > 0 else 0.0

    def count(self, score: float, *, is_lost: bool, poor: int) -> None:
        """Take a frame into account."""
        self.is_lost, self.poor, self.age = is_lost, poor, self.age + 1
        if len(self._first_scores) < _FIRST_FRAMES:
            self._first_scores.append(score)
