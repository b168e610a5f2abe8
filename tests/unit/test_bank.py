"""The bank: handles, leases, generations, pages, and every refusal."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import torch

from banks import CPU, ROW_BYTES, create, features, update
from siamcorr.answers import Template, TensorInfo
from siamcorr.bank import Bank
from siamcorr.errors import InternalError, InvalidArgument, SiamcorrError, TemplateEvicted, TemplateNotFound
from siamcorr.resident import Lease, blend, specs_of, write


def value_of(lease: Lease) -> float:
    (value,) = set(lease.rows["features"].view.flatten().tolist())
    return float(value)


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


def test_a_template_is_described_as_it_was_created(bank: Bank) -> None:
    template = create(bank, {"cls": torch.zeros(4, 2, 2), "loc": torch.zeros(3, 5, dtype=torch.bfloat16)})
    assert re.fullmatch(r"tpl_[\w-]{22}", template.handle)
    assert template == Template(
        handle=template.handle,
        generation=1,
        tensors=(TensorInfo("cls", "float32", (4, 2, 2)), TensorInfo("loc", "bfloat16", (3, 5))),
        model="hog",
        size_bytes=64 + 30,
        idle_s=0.0,
    )
    assert bank.info(template.handle, 4.0).idle_s == 4.0


def test_a_handle_in_use_or_remembered_is_not_given_out_again(
    lru: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["a", "a", "b", "b", "c", "a", "d"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: next(tokens))
    assert [create(lru).handle for _ in range(4)] == ["tpl_a", "tpl_b", "tpl_c", "tpl_d"]
    with pytest.raises(TemplateEvicted):
        lru.info("tpl_a", 0.0)


@pytest.mark.parametrize(
    "tensors",
    [
        {"cls": torch.zeros(4, 2, 2)},
        {"features": torch.zeros(4, 2, 3)},
        {"features": torch.zeros(4, 2, 2, dtype=torch.float16)},
        features() | {"cls": torch.zeros(1)},
    ],
)
def test_an_update_keeps_names_shapes_and_dtypes(tensors: dict[str, torch.Tensor]) -> None:
    bank = Bank(CPU, budget_bytes=4096)
    handle = create(bank).handle
    used_bytes = bank.stats().bytes_used
    lease = bank.lease(handle, 0.0)
    reservation = bank.reserve(specs_of(tensors), 0.0)
    write(reservation, tensors)
    for refused in (
        lambda: lease.check_same_form(specs_of(tensors)),
        lambda: blend(lease, tensors, 0.5),
        lambda: bank.publish_update(handle, reservation, 0.0),
    ):
        with pytest.raises(InvalidArgument) as error:
            refused()
        assert error.value.field == "features"
    assert bank.stats().reserved == 0, "a failed update abandons its reservation"
    assert bank.stats().bytes_used == used_bytes
    assert bank.info(handle, 0.0).generation == 1


def test_an_update_leaves_leased_generations_as_they_were(bank: Bank) -> None:
    handle = create(bank, features(1.0)).handle
    first = bank.lease(handle, 0.0)
    assert update(bank, handle, 2.0).generation == 2
    second = bank.lease(handle, 0.0)
    assert (first.generation, second.generation) == (1, 2)
    assert bank.info(handle, 3.0).idle_s == 0.0, "it is in use"
    assert (value_of(first), value_of(second)) == (1.0, 2.0)
    assert bank.stats().bytes_used == 2 * ROW_BYTES
    bank.release(first, 0.0)
    assert bank.stats().bytes_used == ROW_BYTES
    bank.release(second, 0.0)
    assert bank.stats().bytes_used == ROW_BYTES, "the current generation stays"
    assert update(bank, handle, 3.0).generation == 3


def test_an_update_of_a_handle_that_went_away_is_abandoned(bank: Bank) -> None:
    handle = create(bank).handle
    reservation = bank.reserve(specs_of(features()), 0.0)
    write(reservation, features())
    bank.delete(handle, 0.0)
    with pytest.raises(TemplateNotFound):
        bank.publish_update(handle, reservation, 0.0)
    assert bank.stats().bytes_used == 0


def test_deletion_takes_the_name_at_once_and_the_memory_at_the_last_release(bank: Bank) -> None:
    handle = create(bank, features(7.0)).handle
    leases = [bank.lease(handle, 0.0), bank.lease(handle, 0.0)]
    bank.delete(handle, 0.0)
    for call in (bank.info, bank.lease, bank.delete):
        with pytest.raises(TemplateNotFound, match="was deleted") as error:
            call(handle, 0.0)
        assert type(error.value) is TemplateNotFound
        assert error.value.field == "template"
    bank.release(leases[0], 0.0)
    assert value_of(leases[1]) == 7.0
    assert bank.stats().bytes_used == ROW_BYTES
    bank.release(leases[1], 0.0)
    assert bank.stats().bytes_used == 0


def test_pages_are_in_order_of_creation_and_stable_under_deletes() -> None:
    bank = Bank(CPU, budget_bytes=1 << 20)
    known = [create(bank).handle for _ in range(7)]
    bank.release(bank.lease(known[0], 1.0), 1.0)
    first = bank.list(1.0, limit=3)
    assert [template.handle for template in first.templates] == known[:3]
    bank.delete(known[2], 1.0)
    bank.delete(known[3], 1.0)
    create(bank, now_s=1.0)
    second = bank.list(1.0, after=first.next, limit=3)
    assert [template.handle for template in second.templates] == known[4:]
    third = bank.list(1.0, after=second.next, limit=1)
    assert (len(third.templates), third.next) == (1, "")
    assert bank.list(1.0, after=str(10**19)).templates == ()


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("budget_bytes", {"budget_bytes": 0}),
    ("budget_bytes", {"budget_bytes": 1.5}),
    ("budget_bytes", {"budget_bytes": True}),
    ("ttl_s", {"ttl_s": 0.0}),
    ("ttl_s", {"ttl_s": float("nan")}),
    ("ttl_s", {"ttl_s": float("inf")}),
    ("evict", {"evict": "LRU"}),
]


@pytest.mark.parametrize(("field", "wrong"), SETTINGS)
def test_a_wrong_setting_is_named(field: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as error:
        Bank(CPU, **({"budget_bytes": 1} | wrong))
    assert error.value.field == field


CALLS: list[tuple[str, Callable[[Bank], object]]] = [
    ("limit", lambda bank: bank.list(0.0, limit=0)),
    ("limit", lambda bank: bank.list(0.0, limit=1001)),
    ("limit", lambda bank: bank.list(0.0, limit=True)),
    ("after", lambda bank: bank.list(0.0, after="-1")),
    ("after", lambda bank: bank.list(0.0, after="9" * 5000)),
    ("after", lambda bank: bank.list(0.0, after="\u0663")),
    ("features", lambda bank: bank.reserve({}, 0.0)),
    ("features['z']", lambda bank: bank.reserve({"z": ((4, 0, 2), torch.float32)}, 0.0)),
    ("features['z']", lambda bank: bank.reserve({"z": ((4, 2, 2), torch.int32)}, 0.0)),
    ("template", lambda bank: bank.info("tpl_" + "x" * 5000, 0.0)),
]


@pytest.mark.parametrize(("field", "call"), CALLS)
def test_a_wrong_argument_is_named(bank: Bank, field: str, call: Callable[[Bank], object]) -> None:
    with pytest.raises(SiamcorrError) as error:
        call(bank)
    assert error.value.field == field
    assert len(error.value.message) < 250


def test_a_lease_ends_once(bank: Bank) -> None:
    lease = bank.lease(create(bank).handle, 0.0)
    bank.release(lease, 0.0)
    with pytest.raises(InternalError, match="released twice"):
        bank.release(lease, 0.0)


def test_a_reservation_ends_once_and_is_written_before(bank: Bank) -> None:
    handle = create(bank).handle
    unwritten = bank.reserve(specs_of(features()), 0.0)
    with pytest.raises(InternalError, match="before it was written"):
        bank.publish(unwritten, 0.0)
    with pytest.raises(InternalError, match="before it was written"):
        bank.publish_update(handle, unwritten, 0.0)
    with pytest.raises(InternalError, match="not those reserved"):
        write(unwritten, features(shape=(1, 4, 4)))
    bank.abandon(unwritten)
    with pytest.raises(InternalError, match="twice"):
        bank.abandon(unwritten)
    assert bank.stats().bytes_used == ROW_BYTES


def lines_run(call: Callable[[], object]) -> int:
    """Count the lines of Python that a call runs: work, whatever the machine's speed."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def test_a_lookup_does_not_slow_with_the_number_of_templates() -> None:
    bank = Bank(CPU, budget_bytes=1 << 20, ttl_s=10.0, evict="lru")

    def work() -> list[int]:
        handle = create(bank).handle
        lease = bank.lease(handle, 0.0)
        return [
            lines_run(lambda: bank.lease(handle, 0.0)),
            lines_run(lambda: bank.info(handle, 0.0)),
            lines_run(lambda: bank.release(lease, 0.0)),
            lines_run(lambda: bank.delete(handle, 0.0)),
        ]

    few = work()
    for _ in range(2000):
        create(bank)
    assert work() == few


def test_broken_books_are_found(bank: Bank) -> None:
    handle = create(bank).handle
    entry = bank._handles.find(handle)
    entry.leases = 1
    with pytest.raises(InternalError, match=r"idle is not.*miscounts its leases"):
        bank.check_invariants()
    entry.leases = 0
    kept, entry.generation.rows = entry.generation.rows, {}
    with pytest.raises(InternalError, match="held by nobody"):
        bank.check_invariants()
    entry.generation.rows = kept
