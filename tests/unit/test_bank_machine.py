"""The bank under random orders of calls: a state machine that knows what every lease must read."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from siamcorr.bank import Bank
from siamcorr.errors import BankFull, InvalidArgument, TemplateEvicted, TemplateExpired, TemplateNotFound
from siamcorr.resident import Lease, specs_of, write

CPU = torch.device("cpu")
SHAPES = [(4, 2, 2), (3, 5, 5)]


class BankMachine(RuleBasedStateMachine):
    """Whatever the order of calls, the books are right, and a lease reads what its generation was given."""

    templates = Bundle("templates")
    leases = Bundle("leases")
    reservations = Bundle("reservations")
    bank: Bank

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.written = 0.0
        self.current: dict[str, float] = {}
        self.leased: dict[Lease, float] = {}

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(target=reservations, shape=st.sampled_from(SHAPES), tensors=st.integers(1, 3))
    def reserve(self, shape: tuple[int, ...], tensors: int) -> Any:
        self.written += 1.0
        named = {str(n): torch.full(shape, self.written) for n in range(tensors)}
        try:
            reservation = self.bank.reserve(specs_of(named), self.now_s)
        except BankFull:
            return multiple()
        write(reservation, named)
        return reservation, self.written

    @rule(target=templates, reserved=consumes(reservations))
    def publish(self, reserved: Any) -> str:
        handle = self.bank.publish(reserved[0], self.now_s).handle
        assert handle not in self.current
        self.current[handle] = reserved[1]
        return handle

    @rule(reserved=consumes(reservations))
    def abandon(self, reserved: Any) -> None:
        self.bank.abandon(reserved[0])

    @rule(handle=templates, reserved=consumes(reservations))
    def update(self, handle: str, reserved: Any) -> None:
        try:
            self.bank.publish_update(handle, reserved[0], self.now_s)
        except (TemplateNotFound, InvalidArgument):
            return
        self.current[handle] = reserved[1]

    @rule(target=leases, handle=templates)
    def lease(self, handle: str) -> Any:
        try:
            lease = self.bank.lease(handle, self.now_s)
        except TemplateNotFound:
            return multiple()
        self.leased[lease] = self.current[handle]
        return lease

    @rule(lease=consumes(leases))
    def release(self, lease: Lease) -> None:
        del self.leased[lease]
        self.bank.release(lease, self.now_s)

    @rule(handle=consumes(templates))
    def delete(self, handle: str) -> None:
        with contextlib.suppress(TemplateEvicted, TemplateExpired):
            self.bank.delete(handle, self.now_s)
        with pytest.raises(TemplateNotFound):
            self.bank.info(handle, self.now_s)

    @invariant()
    def books_and_memory_agree(self) -> None:
        self.bank.check_invariants()
        slabs = list(self.bank._slabs)
        stored_bytes = sum(slab.tensor.untyped_storage().nbytes() for slab in slabs)
        assert self.bank.stats().bytes_used == stored_bytes
        for lease, value in self.leased.items():
            for name in lease.rows:
                assert set(lease.rows[name].view.flatten().tolist()) == {value}

    def teardown(self) -> None:
        for lease in list(self.leased):
            self.release(lease)
        self.bank.check_invariants()


class RefusingBankMachine(BankMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bank = Bank(CPU, budget_bytes=2048, ttl_s=10.0)


class EvictingBankMachine(BankMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bank = Bank(CPU, budget_bytes=2048, ttl_s=10.0, evict="lru")


RefusingBankMachine.TestCase.settings = EvictingBankMachine.TestCase.settings = settings(
    deadline=None, max_examples=100, stateful_step_count=40
)
TestRefusing = RefusingBankMachine.TestCase
TestEvicting = EvictingBankMachine.TestCase
