"""A task without its templates and search regions: what is kept of a plan for the next call of its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from siamcorr.ops import one_search_pays
from siamcorr.ops.operands import Problem
from siamcorr.resident import Lease
from siamcorr.tasks import CorrelateKey, CorrelateTask, Load, NetworkKey

__all__ = ["Recipe", "each_once"]


@dataclass(slots=True, eq=False)
class Recipe:
    """Pairs of one key, with each template and each search region once.

    ``members`` says which of the call's templates the task takes, ``searches`` which search regions, and
    ``slots`` which of the call's responses the pairs are.
    """

    key: CorrelateKey | NetworkKey
    load: Load
    members: Sequence[int] = ()
    searches: Sequence[int] = ()
    template_index: Sequence[int] = ()
    search_index: Sequence[int] = ()
    slots: Sequence[int] = ()

    @property
    def multiply_adds(self) -> int:
        """The work of all pairs."""
        return self.load.multiply_adds(len(self.slots), len(self.searches))

    def take(self, members: Sequence[int], searches: Sequence[int], slots: Sequence[int]) -> None:
        """Take all pairs: pair i is template ``members[i]`` on search region ``searches[i]``."""
        self.members, self.template_index = each_once(members)
        self.searches, self.search_index = each_once(searches)
        self.slots = slots

    def choose_form(self, device: str) -> None:
        """Let many templates on one search region be computed together, where that pays."""
        key, pairs = self.key, len(self.slots)
        if isinstance(key, CorrelateKey) and len(self.searches) == 1 < pairs:
            problem = Problem(key.correlation, key.template.shape, key.search, device=device)
            self.key = replace(key, one_search=one_search_pays(problem, pairs, key.precision))

    def task(self, held: Sequence[Lease]) -> CorrelateTask:
        """Return the task of a call that holds these leases; it has no regions yet."""
        return CorrelateTask(
            self.key,
            self.load,
            [held[member] for member in self.members],
            self.template_index,
            self.search_index,
            self.slots,
            self.searches,
        )


def each_once(numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return each of ``numbers`` once, in the order of their first, and for each its place among those.

    >>> each_once([7, 3, 7])
    ([7, 3], [0, 1, 0])
    """
    once = list(dict.fromkeys(numbers))
    places = {number: place for place, number in enumerate(once)}
    return once, [places[number] for number in numbers]
