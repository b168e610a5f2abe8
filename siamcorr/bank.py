"""The bank: templates resident on a device, under handles that cannot be guessed.

Rules:
- A handle names one template for ever. An update gives it a new generation; what was leased stays as it was.
- A template or generation is made in two phases: :meth:`Bank.reserve` takes the rows,
  :func:`~siamcorr.resident.write` fills them, :meth:`Bank.publish` or :meth:`Bank.publish_update` shows them.
  Nobody sees half a template. For that moment an update needs the room of both generations.
- The bank keeps books and touches no device: call it under one lock. The device's work is in
  :mod:`siamcorr.resident`.
- A leased template is never dropped. Deletion and update take the name or the generation away at once, and
  free the rows at the last release.
- The budget counts the bytes of allocated slabs: real memory. At the budget the expired have gone already;
  then the bank refuses, or evicts as :mod:`siamcorr.eviction` decides.
- Creating, updating, leasing and releasing count as use; looking does not.

Ways rejected:
- Overwriting a template in place: a batch in flight would read half of each.
- A timer that sweeps for the expired: the next call drops them, and looks at no more than one template else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from siamcorr.answers import Template
from siamcorr.errors import BankFull, InternalError, InvalidArgument, TemplateEvicted, TemplateExpired
from siamcorr.eviction import victims
from siamcorr.handles import Entry, Generation, Handles, Page
from siamcorr.resident import Lease, Origin, Reservation, Specs, check_same_form, forms_of
from siamcorr.slabs import Row, Slabs

__all__ = ["Bank", "BankStats", "Page"]

_RETRY_AFTER_S, _SHORTEST_RETRY_S = 1.0, 0.01


@dataclass(frozen=True, slots=True)
class BankStats:
    """Live and leased templates, open reservations, slabs and their bytes; drops since the start."""

    templates: int
    leased: int
    reserved: int
    bytes_used: int
    budget_bytes: int
    evicted: int
    expired: int
    slabs: int


class Bank:
    """The books of all resident templates.

    >>> from siamcorr.resident import specs_of, write
    >>> bank = Bank(torch.device("cpu"), budget_bytes=1 << 20)
    >>> features = {"features": torch.ones(4, 2, 2)}
    >>> reservation = bank.reserve(specs_of(features), now_s=0.0)
    >>> write(reservation, features)
    >>> template = bank.publish(reservation, now_s=0.0)
    >>> lease = bank.lease(template.handle, now_s=1.0)
    >>> lease.rows["features"].view.shape
    torch.Size([4, 2, 2])
    >>> bank.release(lease, now_s=2.0)
    """

    def __init__(
        self,
        device: torch.device,
        *,
        budget_bytes: int,
        ttl_s: float | None = None,
        evict: Literal["refuse", "lru"] = "refuse",
    ) -> None:
        """Open an empty bank.

        Args:
            device: where the tensors lie.
            budget_bytes: bytes that the slabs may take.
            ttl_s: seconds after its last use when an idle template expires; None is never.
            evict: at the budget, ``refuse`` new templates, or drop the least recently used (``lru``).

        Raises:
            InvalidArgument: names the setting.
        """
        if type(budget_bytes) is not int or budget_bytes < 1:
            raise InvalidArgument.found("budget_bytes", repr(budget_bytes), "an integer, 1 or more")
        if ttl_s is not None and (isinstance(ttl_s, bool) or not 0 < ttl_s < math.inf):
            raise InvalidArgument.found("ttl_s", ttl_s, "seconds above 0, or None")
        if evict not in {"refuse", "lru"}:
            raise InvalidArgument.found("evict", repr(evict), "'refuse' or 'lru'")
        self._budget_bytes = budget_bytes
        self._evict = evict
        self._slabs = Slabs(device)
        self._handles = Handles(ttl_s)
        self._leases: dict[Lease, tuple[Entry, Generation]] = {}
        self._reservations: set[Reservation] = set()

    def reserve(self, specs: Specs, now_s: float) -> Reservation:
        """Take rows for a template or generation with these tensors.

        Raises:
            InvalidArgument: ``features`` cannot be stored, or are larger than the whole budget.
            BankFull: no room, and nothing may be dropped; try again after ``retry_after_s``.
        """
        self.expire(now_s)
        forms = forms_of(specs)
        wanted = list(forms.values())
        needed_bytes = sum(form.row_bytes for form in wanted)
        if needed_bytes > self._budget_bytes:
            expected = f"at most the bank's budget, {self._budget_bytes} bytes"
            raise InvalidArgument.found("features", f"{needed_bytes} bytes", expected)
        if self._evict == "lru":
            for entry in victims(self._slabs, wanted, self._budget_bytes, self._handles.idle()):
                self._drop(entry, TemplateEvicted)
        rows = self._slabs.allocate(wanted, self._budget_bytes)
        if rows is None:
            raise self._full(needed_bytes)
        reservation = Reservation(dict(zip(forms, rows, strict=True)))
        self._reservations.add(reservation)
        return reservation

    def publish(self, reservation: Reservation, now_s: float, *, origin: Origin | None = None) -> Template:
        """Give a written reservation a handle; ``origin`` says where it comes from.

        Raises:
            InternalError: the reservation is not open, or was not written.
        """
        self.expire(now_s)
        generation = Generation(1, self._close(reservation, written=True))
        return self._handles.describe(self._handles.add(generation, origin))

    def publish_update(self, handle: str, reservation: Reservation, now_s: float) -> Template:
        """Make a written reservation the next generation of ``handle``. On failure it is abandoned.

        Raises:
            TemplateNotFound: or a subclass: the handle went away meanwhile.
            InvalidArgument: ``features`` have other names, shapes or dtypes than the template.
            InternalError: the reservation is not open, or was not written.
        """
        self.expire(now_s)
        rows = self._close(reservation, written=True)
        try:
            entry = self._handles.find(handle)
            check_same_form(entry.generation.rows, {name: row.form for name, row in rows.items()})
        except Exception:
            self._free(rows)
            raise
        old, entry.generation = entry.generation, Generation(entry.generation.number + 1, rows)
        self._retire(old)
        self._handles.used(entry)
        return self._handles.describe(entry)

    def abandon(self, reservation: Reservation) -> None:
        """Free an unpublished reservation's rows.

        Raises:
            InternalError: the reservation is not open.
        """
        self._free(self._close(reservation, written=False))

    def delete(self, handle: str, now_s: float) -> None:
        """Forget ``handle`` at once. Its rows are freed now, or at the last release.

        Raises:
            TemplateNotFound: or a subclass.
        """
        self.expire(now_s)
        entry = self._handles.find(handle)
        self._handles.remove(entry)
        self._retire(entry.generation)

    def lease(self, handle: str, now_s: float) -> Lease:
        """Hold the template's current generation until :meth:`release`.

        Raises:
            TemplateNotFound: or a subclass.
        """
        self.expire(now_s)
        entry = self._handles.find(handle)
        generation = entry.generation
        lease = Lease(handle, generation.number, generation.rows, entry.origin)
        self._leases[lease] = entry, generation
        entry.leases += 1
        generation.leases += 1
        self._handles.used(entry)
        return lease

    def release(self, lease: Lease, now_s: float) -> None:
        """End a lease.

        Raises:
            InternalError: it has ended already.
        """
        if lease not in self._leases:
            raise InternalError("a lease was released twice")
        self.expire(now_s)
        entry, generation = self._leases.pop(lease)
        entry.leases -= 1
        generation.leases -= 1
        self._free_if_unused(generation)
        if self._handles.is_live(entry):
            self._handles.used(entry)

    def expire(self, now_s: float) -> None:
        """Drop the idle templates whose time to live is over. Every call with a ``now_s`` does so first."""
        if now_s > self._handles.now_s:  # else it was asked at this moment: a call leases many templates
            while (entry := self._handles.advance(now_s)) is not None:
                self._drop(entry, TemplateExpired)

    def info(self, handle: str, now_s: float) -> Template:
        """Describe one template.

        Raises:
            TemplateNotFound: or a subclass.
        """
        self.expire(now_s)
        return self._handles.describe(self._handles.find(handle))

    def list(self, now_s: float, *, after: str = "", limit: int = 100) -> Page:
        """Describe up to ``limit`` templates, from where the page whose ``next`` is ``after`` ended.

        A deletion in between neither repeats nor skips another template.

        Raises:
            InvalidArgument: ``limit`` is not from 1 to 1000, or ``after`` came from no page.
        """
        self.expire(now_s)
        return self._handles.page(after, limit)

    def stats(self) -> BankStats:
        """Count everything, at the moment of the last call."""
        return BankStats(
            templates=len(self._handles),
            leased=self._handles.leased,
            reserved=len(self._reservations),
            bytes_used=self._slabs.bytes_used,
            budget_bytes=self._budget_bytes,
            evicted=self._handles.evicted,
            expired=self._handles.expired,
            slabs=len(self._slabs),
        )

    def check_invariants(self) -> None:
        """Raise InternalError with a list of what is wrong, if anything is."""
        wrong = self._slabs.problems() + self._handles.problems()
        generations = {generation for _, generation in self._leases.values()}
        generations |= {entry.generation for entry in self._handles}
        held = [row for generation in generations for row in generation.rows.values()]
        held += [row for reservation in self._reservations for row in reservation.rows.values()]
        places = {(row.slab, row.index) for row in held if row.index not in row.slab.free}
        if len(places) != len(held) or not all(row.allocated for row in held):
            wrong.append("a row is held twice, or held and free")
        if len(held) != sum(slab.rows - len(slab.free) for slab in self._slabs):
            wrong.append("a row is held by nobody")
        leases = Counter(holder for pair in self._leases.values() for holder in pair)
        if any(holder.leases != leases[holder] for holder in [*generations, *self._handles]):
            wrong.append("a template or generation miscounts its leases")
        if self._slabs.bytes_used > self._budget_bytes:
            wrong.append("more bytes used than the budget has")
        if wrong:
            raise InternalError(f"bank: {'; '.join(wrong)}")

    def _full(self, needed_bytes: int) -> BankFull:
        expiry_s = self._handles.next_expiry_s()
        retry_after_s = _RETRY_AFTER_S if expiry_s is None else expiry_s - self._handles.now_s
        return BankFull(
            f"bank: {self._slabs.bytes_used} of {self._budget_bytes} bytes used, {needed_bytes} needed; "
            f"{self._handles.leased} of {len(self._handles)} templates are leased",
            retry_after_s=max(retry_after_s, _SHORTEST_RETRY_S),
        )

    def _close(self, reservation: Reservation, *, written: bool) -> Mapping[str, Row]:
        if reservation not in self._reservations:
            raise InternalError("a reservation was published or abandoned twice")
        if written and not reservation.written:
            raise InternalError("a reservation was published before it was written")
        self._reservations.remove(reservation)
        return reservation.rows

    def _drop(self, entry: Entry, reason: type[TemplateEvicted | TemplateExpired]) -> None:
        self._handles.remove(entry, reason)
        self._retire(entry.generation)

    def _retire(self, generation: Generation) -> None:
        generation.current = False
        self._free_if_unused(generation)

    def _free_if_unused(self, generation: Generation) -> None:
        if not generation.current and not generation.leases:
            self._free(generation.rows)

    def _free(self, rows: Mapping[str, Row]) -> None:
        for row in rows.values():
            self._slabs.free(row)
