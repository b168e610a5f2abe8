"""Device memory as slabs of equal rows: what the bank stores its tensors in.

Rules:
- One resident tensor is one row. Rows of one :class:`RowForm` (shape and dtype) share slabs; forms never mix.
- A slab never moves and never grows, so a row stays good while others come and go.
- A form grows by a sixteenth of the rows it has, at least one row and at most ``slab_bytes``. So freshly
  grown slack is 6.25 % or less, and one template costs one row.
- The oldest slab with room is filled first, so that the younger ones run empty. An empty slab is given back
  at once.
- The bookkeeping touches no device. A slab's tensor is made when a row of it is first looked at, by whoever
  does the device's work.

Ways rejected:
- One tensor a template: the allocator rounds every one of them up, and the device's memory falls to pieces.
- One growing tensor: growth copies everything, needs twice the memory for a moment, and moves rows that are
  in use.
- Doubling: half of the budget may stand empty.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from siamcorr.errors import InternalError

__all__ = ["Row", "RowForm", "Slab", "Slabs"]

SLAB_BYTES = 4 * 2**20
_GROWTH_SHARE = 16


@dataclass(frozen=True, slots=True)
class RowForm:
    """What all rows of a slab have in common.

    >>> RowForm((256, 6, 6), torch.float32).row_bytes
    36864
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(slots=True, eq=False)
class Slab:
    """``rows`` equal rows on ``device``; ``free`` lists the row numbers that nobody has."""

    form: RowForm
    rows: int
    ordinal: int
    device: torch.device
    free: list[int] = field(default_factory=list)
    _tensor: torch.Tensor | None = None

    def __post_init__(self) -> None:
        """Start with every row free, the first one on top."""
        self.free = list(range(self.rows - 1, -1, -1))

    @property
    def size_bytes(self) -> int:
        """Bytes of the slab's tensor."""
        return self.rows * self.form.row_bytes

    @property
    def tensor(self) -> torch.Tensor:
        """The (rows, \\*shape) tensor, allocated on first use. For the device's thread only."""
        if self._tensor is None:
            self._tensor = torch.empty(
                (self.rows, *self.form.shape), dtype=self.form.dtype, device=self.device
            )
        return self._tensor

    def release(self) -> None:
        """Let go of the memory, even where somebody still holds one of the rows."""
        self._tensor = None


@dataclass(slots=True, eq=False)
class Row:
    """One row of a slab, from :meth:`Slabs.allocate` until :meth:`Slabs.free`."""

    slab: Slab
    index: int
    allocated: bool = True
    _view: torch.Tensor | None = None

    @property
    def form(self) -> RowForm:
        """The row's shape and dtype."""
        return self.slab.form

    @property
    def view(self) -> torch.Tensor:
        """The row's own memory as a tensor of its shape. For the device's thread only.

        Raises:
            InternalError: the row was freed, and its memory may be somebody else's.
        """
        if not self.allocated:
            raise InternalError(f"row {self.index} of slab {self.slab.ordinal} used after it was freed")
        if (
            self._view is None
        ):  # kept, because a batch asks for many and indexing costs more than its share of the copy
            self._view = self.slab.tensor[self.index]
        return self._view

    def retire(self) -> None:
        """Mark the row as freed and let go of its memory, which a forgotten reference to it must not keep.

        Raises:
            InternalError: the row was freed before.
        """
        if not self.allocated:
            raise InternalError(f"row {self.index} of slab {self.slab.ordinal} freed twice")
        self.allocated, self._view = False, None


@dataclass(slots=True, eq=False)
class _Shelf:
    """The slabs of one form. ``roomy`` is a heap of ordinals: slabs with room, and some given back since."""

    form: RowForm
    slabs: dict[int, Slab] = field(default_factory=dict)
    roomy: list[int] = field(default_factory=list)
    rows: int = 0
    free: int = 0

    def oldest_with_room(self) -> Slab:
        while self.roomy[0] not in self.slabs:
            heapq.heappop(self.roomy)
        return self.slabs[self.roomy[0]]


class Slabs:
    """All slabs on one device, and their account in bytes.

    >>> slabs = Slabs(torch.device("cpu"))
    >>> rows = slabs.allocate([RowForm((4, 2, 2), torch.float32)] * 3, budget_bytes=1000)
    >>> slabs.bytes_used, len(slabs)
    (192, 3)
    """

    def __init__(self, device: torch.device, *, slab_bytes: int = SLAB_BYTES) -> None:
        """Start without slabs; none with more than one row will be larger than ``slab_bytes``."""
        self._device = device
        self._slab_bytes = slab_bytes
        self._shelves: dict[RowForm, _Shelf] = {}
        self._ordinal = 0
        self.bytes_used = 0

    def __iter__(self) -> Iterator[Slab]:
        """Iterate over the slabs, form by form."""
        for shelf in self._shelves.values():
            yield from shelf.slabs.values()

    def __len__(self) -> int:
        """Count the slabs."""
        return sum(len(shelf.slabs) for shelf in self._shelves.values())

    def free_rows(self, form: RowForm) -> int:
        """Count the rows of ``form`` that are allocated on the device and that nobody has."""
        shelf = self._shelves.get(form)
        return shelf.free if shelf else 0

    def allocate(self, forms: Sequence[RowForm], budget_bytes: int) -> list[Row] | None:
        """Return a row for each of ``forms``, or None, and nothing changes, where the budget forbids it.

        Slack is only taken from what the budget leaves over after all of ``forms``.
        """
        spare_bytes = budget_bytes - self.bytes_used - self._growth_bytes(forms)
        if spare_bytes < 0:
            return None
        rows = []
        for form in forms:
            shelf = self._shelves.setdefault(form, _Shelf(form))
            if not shelf.free:
                wanted = min(shelf.rows // _GROWTH_SHARE, self._slab_bytes // form.row_bytes)
                slack = min(max(wanted - 1, 0), spare_bytes // form.row_bytes)
                spare_bytes -= slack * form.row_bytes
                self._grow(shelf, 1 + slack)
            rows.append(self._take(shelf))
        return rows

    def free(self, row: Row) -> None:
        """Take ``row`` back; its slab too if it was the last.

        Raises:
            InternalError: the row was freed before.
        """
        row.retire()
        slab, shelf = row.slab, self._shelves[row.form]
        slab.free.append(row.index)
        shelf.free += 1
        if len(slab.free) == slab.rows:
            self._give_back(shelf, slab)
        elif len(slab.free) == 1:
            heapq.heappush(shelf.roomy, slab.ordinal)

    def problems(self) -> list[str]:
        """List every way in which the account and the slabs disagree; none when all is well."""
        found = []
        for form, shelf in self._shelves.items():
            slabs = shelf.slabs.values()
            if shelf.rows != sum(slab.rows for slab in slabs) or not shelf.rows:
                found.append(f"{form}: {shelf.rows} rows accounted")
            if shelf.free != sum(len(slab.free) for slab in slabs):
                found.append(f"{form}: {shelf.free} free rows accounted")
            for slab in slabs:
                if len(set(slab.free)) != len(slab.free) or len(slab.free) >= slab.rows or slab.form != form:
                    found.append(f"slab {slab.ordinal}: free rows {slab.free} of {slab.rows}")
                if shelf.roomy.count(slab.ordinal) != bool(slab.free):
                    found.append(f"slab {slab.ordinal}: has {len(slab.free)} free rows, not so the heap")
        if self.bytes_used != sum(slab.size_bytes for slab in self):
            found.append(f"{self.bytes_used} bytes accounted")
        return found

    def _growth_bytes(self, forms: Sequence[RowForm]) -> int:
        wanted = Counter(forms)
        return sum(max(0, count - self.free_rows(form)) * form.row_bytes for form, count in wanted.items())

    def _grow(self, shelf: _Shelf, rows: int) -> None:
        self._ordinal += 1
        slab = Slab(shelf.form, rows, self._ordinal, self._device)
        shelf.slabs[slab.ordinal] = slab
        heapq.heappush(shelf.roomy, slab.ordinal)
        shelf.rows += rows
        shelf.free += rows
        self.bytes_used += slab.size_bytes

    @staticmethod
    def _take(shelf: _Shelf) -> Row:
        slab = shelf.oldest_with_room()
        row = Row(slab, slab.free.pop())
        shelf.free -= 1
        if not slab.free:
            heapq.heappop(shelf.roomy)
        return row

    def _give_back(self, shelf: _Shelf, slab: Slab) -> None:
        del shelf.slabs[slab.ordinal]
        shelf.rows -= slab.rows
        shelf.free -= slab.rows
        self.bytes_used -= slab.size_bytes
        slab.release()
        if not shelf.slabs:
            del self._shelves[slab.form]
