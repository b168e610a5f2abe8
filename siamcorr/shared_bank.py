"""The bank behind its lock: what the engine's threads and its callers' threads do with templates.

The lock is held for bookkeeping only, never while the device works. Whoever computes holds a lease or a
reservation meanwhile. Templates are written by one thread, the device's, so two blends of one template follow
one another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from siamcorr.answers import Template
from siamcorr.bank import Bank, BankStats, Page
from siamcorr.resident import Lease, Origin, Reservation, blend, specs_of, write

__all__ = ["SharedBank"]


class SharedBank:
    """A :class:`~siamcorr.bank.Bank`, its lock and its clock (monotonic seconds)."""

    def __init__(self, bank: Bank, clock: Callable[[], float]) -> None:
        """Take ``bank`` over."""
        self._bank = bank
        self._clock = clock
        self._lock = threading.Lock()

    def lease(self, handles: Iterable[str]) -> dict[str, Lease]:
        """Lease each of ``handles`` once, all of them or none.

        Raises:
            TemplateNotFound: or a subclass, for the first that is not there.
        """
        leases: dict[str, Lease] = {}
        with self._lock:
            now_s = self._clock()
            try:
                for handle in handles:
                    if handle not in leases:
                        leases[handle] = self._bank.lease(handle, now_s)
            except BaseException:
                self._release(leases.values(), now_s)
                raise
        return leases

    def release(self, leases: Iterable[Lease]) -> None:
        """End leases."""
        with self._lock:
            self._release(leases, self._clock())

    def create(
        self, named: Sequence[Mapping[str, torch.Tensor]], origin: Origin | None = None
    ) -> list[Template]:
        """Make a template of each of ``named`` tensors, all of them or none. For the device's thread.

        Raises:
            InvalidArgument: they are larger than the whole budget, or cannot be stored.
            BankFull: no room, and nothing may be dropped.
        """
        reservations = self._written(named)
        with self._lock:
            now_s = self._clock()
            return [self._bank.publish(reservation, now_s, origin=origin) for reservation in reservations]

    def update(self, handle: str, tensors: Mapping[str, torch.Tensor], rate: float) -> Template:
        """Give ``handle`` the generation ``(1 - rate) * current + rate * tensors``. For the device's thread.

        Raises:
            TemplateNotFound: or a subclass.
            InvalidArgument: names, shapes or dtypes are not the template's.
            BankFull: no room for both generations, and nothing may be dropped.
        """
        leases = self.lease([handle])
        try:
            (reservation,) = self._written([blend(leases[handle], tensors, rate)])
            with self._lock:
                return self._bank.publish_update(handle, reservation, self._clock())
        finally:
            self.release(leases.values())

    def delete(self, handle: str) -> None:
        """Forget ``handle``.

        Raises:
            TemplateNotFound: or a subclass.
        """
        with self._lock:
            self._bank.delete(handle, self._clock())

    def info(self, handle: str) -> Template:
        """Describe one template.

        Raises:
            TemplateNotFound: or a subclass.
        """
        with self._lock:
            return self._bank.info(handle, self._clock())

    def page(self, after: str, limit: int) -> Page:
        """Describe up to ``limit`` templates after the page whose ``next`` is ``after``.

        Raises:
            InvalidArgument: names ``limit`` or ``after``.
        """
        with self._lock:
            return self._bank.list(self._clock(), after=after, limit=limit)

    def stats(self) -> BankStats:
        """Count everything, at this moment."""
        with self._lock:
            self._bank.expire(self._clock())
            return self._bank.stats()

    def check_invariants(self) -> None:
        """Raise InternalError if the books are wrong."""
        with self._lock:
            self._bank.check_invariants()

    def _written(self, named: Sequence[Mapping[str, torch.Tensor]]) -> list[Reservation]:
        reservations: list[Reservation] = []
        try:
            with self._lock:
                now_s = self._clock()
                for tensors in named:
                    reservation = self._bank.reserve(specs_of(tensors), now_s)
                    reservations.append(reservation)
            for reservation, tensors in zip(reservations, named, strict=True):
                write(reservation, tensors)
        except BaseException:
            with self._lock:
                for reservation in reservations:
                    self._bank.abandon(reservation)
            raise
        return reservations

    def _release(self, leases: Iterable[Lease], now_s: float) -> None:
        for lease in leases:
            self._bank.release(lease, now_s)
