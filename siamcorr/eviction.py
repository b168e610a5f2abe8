"""Which idle templates to evict: decided as a whole, before anything is dropped.

Rules:
- The least recently used go first, until what is wanted fits. If it would not fit even without any of them,
  none goes.
- One whose memory turns out not to help stays: its slabs stay for other templates, and nobody wants its rows'
  form.

Way rejected: evicting one by one and trying again. A request that cannot fit would first have emptied the
bank.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from siamcorr.handles import Entry
from siamcorr.slabs import Row, RowForm, Slab, Slabs

__all__ = ["victims"]


def victims(slabs: Slabs, wanted: Sequence[RowForm], budget_bytes: int, idle: Iterable[Entry]) -> list[Entry]:
    """Choose whom of ``idle`` to evict so that ``wanted`` fits into the budget.

    ``idle`` has the least recently used first. Empty when it fits already, and when it cannot be made to fit.
    """
    forecast = _Forecast(slabs, wanted)
    candidates = iter(idle)
    chosen: list[Entry] = []
    while forecast.bytes_used > budget_bytes:
        entry = next(candidates, None)
        if entry is None:
            return []
        chosen.append(entry)
        for row in entry.generation.rows.values():
            forecast.free(row)
    return [entry for entry in chosen if any(map(forecast.helped, entry.generation.rows.values()))]


class _Forecast:
    """What the slabs would use once ``forms`` were allocated, without slack, were some rows freed first.

    It changes nothing, so an eviction can be decided as a whole before anything is dropped.
    """

    def __init__(self, slabs: Slabs, forms: Sequence[RowForm]) -> None:
        """Start from ``slabs`` as they are."""
        self._wanted = Counter(forms)
        self._free = Counter({form: slabs.free_rows(form) for form in self._wanted})
        self._bytes = slabs.bytes_used
        self._freed: Counter[Slab] = Counter()

    @property
    def bytes_used(self) -> int:
        """Bytes of all slabs then."""
        missing = ((form, count - self._free[form]) for form, count in self._wanted.items())
        return self._bytes + sum(max(0, count) * form.row_bytes for form, count in missing)

    def free(self, row: Row) -> None:
        """Count ``row`` as freed."""
        slab = row.slab
        self._freed[slab] += 1
        self._free[row.form] += 1
        if self._emptied(slab):
            self._free[row.form] -= slab.rows
            self._bytes -= slab.size_bytes

    def helped(self, row: Row) -> bool:
        """Tell whether freeing ``row`` made a difference: its form is wanted, or its slab ran empty."""
        return row.form in self._wanted or self._emptied(row.slab)

    def _emptied(self, slab: Slab) -> bool:
        return self._freed[slab] + len(slab.free) == slab.rows
