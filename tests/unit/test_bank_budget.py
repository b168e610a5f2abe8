"""The bank's two reasons to drop a template on its own: time to live, and the byte budget."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from banks import CPU, ROW_BYTES, create, features, update
from siamcorr import handles
from siamcorr.bank import Bank
from siamcorr.errors import BankFull, InvalidArgument, TemplateEvicted, TemplateExpired, TemplateNotFound


@pytest.fixture
def bank() -> Iterator[Bank]:
    """Room for three templates; idle ones expire after 10 s."""
    bank = Bank(CPU, budget_bytes=3 * ROW_BYTES, ttl_s=10.0)
    yield bank
    bank.check_invariants()


@pytest.fixture
def lru() -> Iterator[Bank]:
    """Room for three templates; the least recently used idle ones are evicted."""
    bank = Bank(CPU, budget_bytes=3 * ROW_BYTES, evict="lru")
    yield bank
    bank.check_invariants()


def test_use_is_creating_updating_leasing_and_releasing_but_not_looking(bank: Bank) -> None:
    looked, updated, leased = (create(bank, now_s=0.0).handle for _ in range(3))
    lease = bank.lease(leased, 1.0)
    bank.delete(looked, 1.0)
    looked = create(bank, now_s=1.0).handle
    bank.release(lease, 8.0)
    bank.list(9.0)
    assert bank.info(looked, 9.0).idle_s == 8.0
    with pytest.raises(BankFull):
        update(bank, updated, 2.0, now_s=9.0)
    assert [template.handle for template in bank.list(11.0).templates] == [leased]
    bank.expire(17.9)
    assert bank.stats().templates == 1
    assert update(bank, leased, 2.0, now_s=17.9).idle_s == 0.0
    assert bank.info(leased, 27.8).generation == 2


def test_an_idle_template_expires_exactly_when_its_time_is_over(bank: Bank) -> None:
    handle = create(bank, now_s=5.0).handle
    assert bank.info(handle, 14.999).idle_s == pytest.approx(9.999)
    for call in (bank.info, bank.lease, bank.delete):
        with pytest.raises(TemplateExpired, match="not used for its whole time to live"):
            call(handle, 15.0)
    assert bank.stats().expired == 1
    assert bank.stats().bytes_used == 0


def test_a_leased_template_does_not_expire(bank: Bank) -> None:
    handle = create(bank).handle
    lease = bank.lease(handle, 0.0)
    bank.expire(1000.0)
    bank.release(lease, 1000.0)
    assert bank.info(handle, 1009.0).idle_s == 9.0


def test_time_never_runs_backwards(bank: Bank) -> None:
    handle = create(bank, now_s=100.0).handle
    assert bank.info(handle, 3.0).idle_s == 0.0
    late = create(bank, now_s=50.0).handle
    assert bank.info(late, 109.0).idle_s == 9.0


def test_at_the_budget_the_expired_go_first(bank: Bank) -> None:
    first = create(bank, now_s=0.0).handle
    others = [create(bank, now_s=5.0).handle for _ in range(2)]
    with pytest.raises(BankFull) as error:
        create(bank, now_s=8.0)
    assert error.value.retry_after_s == 2.0, "the first template expires then"
    create(bank, now_s=10.0)
    with pytest.raises(TemplateExpired):
        bank.info(first, 10.0)
    assert [bank.info(handle, 10.0).generation for handle in others] == [1, 1]


def test_a_full_bank_says_what_it_holds() -> None:
    bank = Bank(CPU, budget_bytes=2 * ROW_BYTES + 1)
    lease = bank.lease(create(bank).handle, 0.0)
    create(bank)
    with pytest.raises(
        BankFull, match="128 of 129 bytes used, 64 needed; 1 of 2 templates are leased"
    ) as error:
        create(bank)
    assert error.value.retry_after_s == 1.0
    assert bank.stats().bytes_used == 128
    bank.delete(lease.handle, 0.0)
    with pytest.raises(BankFull):
        create(bank)
    bank.release(lease, 0.0)
    create(bank)


def test_the_least_recently_used_idle_template_is_evicted(lru: Bank) -> None:
    oldest, leased, used = (create(lru).handle for _ in range(3))
    lease = lru.lease(leased, 1.0)
    lru.release(lru.lease(oldest, 2.0), 2.0)
    create(lru, now_s=3.0)
    for call in (lru.info, lru.lease, lru.delete):
        with pytest.raises(TemplateEvicted, match="evicted to make room"):
            call(used, 3.0)
    create(lru, now_s=4.0)
    with pytest.raises(TemplateEvicted):
        lru.info(oldest, 4.0)
    assert torch.equal(lease.rows["features"].view, features()["features"])
    assert lru.stats().evicted == 2


def test_an_eviction_that_would_not_be_enough_drops_nothing(lru: Bank) -> None:
    leases = [lru.lease(create(lru).handle, 0.0) for _ in range(2)]
    idle = create(lru).handle
    with pytest.raises(BankFull):
        create(lru, features(shape=(8, 2, 2)))
    assert lru.info(idle, 0.0).generation == 1
    assert lru.stats().evicted == 0
    lru.release(leases[0], 0.0)
    create(lru, features(shape=(8, 2, 2)))
    assert lru.stats().evicted == 2


def test_what_is_larger_than_the_whole_budget_is_the_callers_fault(lru: Bank) -> None:
    handle = create(lru).handle
    with pytest.raises(InvalidArgument, match="found 256 bytes, expected at most the bank's budget, 192"):
        create(lru, features(shape=(16, 2, 2)))
    assert lru.info(handle, 0.0).generation == 1


def test_only_so_many_drops_are_remembered(lru: Bank) -> None:
    known = [create(lru).handle for _ in range(handles.REMEMBERED_DROPS + 5)]
    assert len(lru._handles._dropped) == handles.REMEMBERED_DROPS
    with pytest.raises(TemplateNotFound, match="never was") as error:
        lru.info(known[1], 0.0)
    assert type(error.value) is TemplateNotFound
    with pytest.raises(TemplateEvicted):
        lru.info(known[2], 0.0)
