"""Templates in the forms that they are computed in: kept as long as there is room, made again where not.

The bank holds each template once, as it came. Some ways of computing want another form of it: transposed for
a matrix product, transformed for an FFT, with a head folded in, in the order of a network's graph. To make
that costs up to half of a call.

Rules:
- A form is made at a template's first use, and used again until its room is needed: the least recently used
  goes first. Nothing is lost with it but time.
- Its key is the template's generation, so a form is never older than its template. Those of generations that
  are gone are not asked for any more, and leave like all others.
- For the device's thread only, so there is no lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

import torch

from siamcorr.ops.operands import Form, Preparer
from siamcorr.resident import Lease

__all__ = ["PreparedTemplates"]

_Key: TypeAlias = tuple[str, int, str, Form]


class PreparedTemplates:
    """A cache of at most ``budget_bytes``; 0 keeps nothing."""

    def __init__(self, budget_bytes: int) -> None:
        """Start empty."""
        self.bytes_used = 0
        self._budget_bytes = budget_bytes
        self._rows: OrderedDict[_Key, torch.Tensor] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of forms that are kept."""
        return len(self._rows)

    def rows(self, leases: Sequence[Lease], name: str, preparer: Preparer) -> list[torch.Tensor]:
        """Return the tensors ``name`` of ``leases`` as ``preparer`` prepares them."""
        form = preparer.form
        if form is None:
            return [lease.rows[name].view for lease in leases]
        return [self._row(lease, name, form, preparer) for lease in leases]

    def _row(self, lease: Lease, name: str, form: Form, preparer: Preparer) -> torch.Tensor:
        key = lease.handle, lease.generation, name, form
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
            return row
        row = preparer.prepare(lease.rows[name].view[None])[0]
        if form.size_bytes <= self._budget_bytes:
            self._rows[key] = row
            self.bytes_used += form.size_bytes
            while self.bytes_used > self._budget_bytes:
                (*_, old), _ = self._rows.popitem(last=False)
                self.bytes_used -= old.size_bytes
        return row
