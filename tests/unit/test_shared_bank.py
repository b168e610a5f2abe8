"""The bank behind its lock: all or nothing, whatever fails, with callers beside the device's thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from siamcorr.bank import Bank
from siamcorr.errors import BankFull, InternalError, InvalidArgument, TemplateExpired, TemplateNotFound
from siamcorr.resident import Origin
from siamcorr.shared_bank import SharedBank

PATIENCE_S = 30.0
ROW_BYTES = 64
ONES = {"features": torch.ones(4, 2, 2)}


@pytest.fixture
def now_s() -> list[float]:
    return [0.0]


@pytest.fixture
def bank(now_s: list[float]) -> Iterator[SharedBank]:
    """Room for four templates; idle ones expire after 10 s."""
    bank = SharedBank(Bank(torch.device("cpu"), budget_bytes=4 * ROW_BYTES, ttl_s=10.0), lambda: now_s[0])
    yield bank
    bank.check_invariants()
    assert bank.stats().reserved == 0


def value(bank: SharedBank, handle: str) -> float:
    leases = bank.lease([handle])
    (value,) = set(leases[handle].rows["features"].view.flatten().tolist())
    bank.release(leases.values())
    return float(value)


def test_templates_are_made_all_or_none(bank: SharedBank) -> None:
    templates = bank.create([ONES, {"features": 2 * ONES["features"]}], Origin("hog", (1, 2, 3)))
    assert [value(bank, template.handle) for template in templates] == [1.0, 2.0]
    assert {template.model for template in templates} == {"hog"}
    with pytest.raises(BankFull):
        bank.create([ONES] * 3, None)
    with pytest.raises(InvalidArgument):
        bank.create([ONES, {"features": torch.ones(2, dtype=torch.int32)}], None)
    assert bank.stats().bytes_used == 2 * ROW_BYTES
    assert len(bank.create([ONES] * 2, None)) == 2


def test_leases_are_taken_once_each_all_of_them_or_none(bank: SharedBank) -> None:
    first, second = (template.handle for template in bank.create([ONES] * 2, None))
    leases = bank.lease([first, second, first])
    assert [*leases] == [first, second]
    bank.release(leases.values())
    with pytest.raises(TemplateNotFound):
        bank.lease([first, "tpl_gone"])
    assert bank.stats().leased == 0
    with pytest.raises(InternalError, match="released twice"):
        bank.release(leases.values())


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), SystemExit()])
@pytest.mark.parametrize("call", ["create", "update"])
def test_what_could_not_be_written_leaves_nothing_behind(
    bank: SharedBank, monkeypatch: pytest.MonkeyPatch, error: BaseException, call: str
) -> None:
    (template,) = bank.create([ONES], None)
    written: list[Any] = []

    def write(reservation: Any, tensors: Any) -> None:
        reservation.written = True
        written.append(tensors)
        if call == "update" or len(written) == 2:
            raise error

    monkeypatch.setattr("siamcorr.shared_bank.write", write)
    with pytest.raises(type(error)):
        bank.create([ONES] * 3, None) if call == "create" else bank.update(template.handle, ONES, 0.5)
    stats = bank.stats()
    assert (stats.templates, stats.leased, stats.bytes_used) == (1, 0, ROW_BYTES)
    assert bank.info(template.handle).generation == 1


def test_an_update_of_what_went_away_meanwhile_leaves_nothing_behind(
    bank: SharedBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    (template,) = bank.create([ONES], None)

    def blended(*_: object) -> Any:
        bank.delete(template.handle)  # which another thread may do just then
        return ONES

    monkeypatch.setattr("siamcorr.shared_bank.blend", blended)
    with pytest.raises(TemplateNotFound):
        bank.update(template.handle, ONES, 0.5)
    assert bank.stats().bytes_used == 0


def test_time_passes_by_the_clock_that_is_given(bank: SharedBank, now_s: list[float]) -> None:
    (template,) = bank.create([ONES], None)
    now_s[0] = 9.0
    assert bank.info(template.handle).idle_s == 9.0
    now_s[0] = 10.0
    assert bank.stats().expired == 1
    for call in (bank.info, bank.delete, lambda handle: bank.lease([handle])):
        with pytest.raises(TemplateExpired):
            call(template.handle)


def test_pages_are_those_of_the_bank(bank: SharedBank) -> None:
    handles = [template.handle for template in bank.create([ONES] * 3, None)]
    page = bank.page("", 2)
    rest = bank.page(page.next, 2)
    assert [template.handle for template in (*page.templates, *rest.templates)] == handles
    assert rest.next == ""


def test_nobody_waits_while_a_template_is_written(bank: SharedBank, monkeypatch: pytest.MonkeyPatch) -> None:
    (template,) = bank.create([ONES], None)
    entered, opened = threading.Event(), threading.Event()

    def write(reservation: Any, tensors: Any) -> None:
        entered.set()
        assert opened.wait(PATIENCE_S)
        reservation.written = True

    monkeypatch.setattr("siamcorr.shared_bank.write", write)
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(bank.create, [ONES], None)
        assert entered.wait(PATIENCE_S)
        bank.release(bank.lease([template.handle]).values())
        assert bank.stats().reserved == 1
        bank.delete(template.handle)
        opened.set()
        assert len(making.result(PATIENCE_S)) == 1
