"""Slabs and evictions: bytes accounted against real storage, growth, reuse, and decisions made as a whole."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamcorr.errors import InternalError
from siamcorr.eviction import victims
from siamcorr.handles import Entry, Generation
from siamcorr.slabs import Row, RowForm, Slabs

CPU = torch.device("cpu")
SIAMFC = RowForm((256, 6, 6), torch.float32)
SMALL = RowForm((4, 2, 2), torch.float32)  # 64 bytes
HALF = RowForm((3, 5, 5), torch.float16)  # 150 bytes: rows are not aligned
PLENTY_BYTES = 1 << 40


def take(slabs: Slabs, *forms: RowForm, budget_bytes: int = PLENTY_BYTES) -> list[Row]:
    rows = slabs.allocate(forms, budget_bytes)
    assert rows is not None
    assert slabs.problems() == []
    return rows


def storage_bytes(slabs: Slabs) -> int:
    storages = {
        slab.tensor.untyped_storage().data_ptr(): slab.tensor.untyped_storage().nbytes() for slab in slabs
    }
    assert len(storages) == len(slabs)
    return sum(storages.values())


def test_ten_thousand_siamfc_templates_take_at_most_a_tenth_more_than_their_own_bytes() -> None:
    slabs = Slabs(CPU)
    for _ in range(10_000):
        slabs.allocate([SIAMFC], PLENTY_BYTES)
    assert slabs.bytes_used == storage_bytes(slabs)
    assert slabs.bytes_used <= 1.1 * 10_000 * SIAMFC.row_bytes


@given(count=st.integers(1, 400), form=st.sampled_from([SIAMFC, SMALL, HALF]))
@settings(deadline=None, max_examples=50)
def test_growing_never_leaves_more_than_a_sixteenth_free(count: int, form: RowForm) -> None:
    slabs = Slabs(CPU)
    for taken in range(1, count + 1):
        slabs.allocate([form], PLENTY_BYTES)
        assert slabs.free_rows(form) <= taken / 16
    assert slabs.problems() == []


def test_a_slab_is_capped_but_holds_at_least_one_row() -> None:
    capped = Slabs(CPU, slab_bytes=10 * SMALL.row_bytes)
    take(capped, *[SMALL] * 1000)
    assert max(slab.rows for slab in capped) == 10
    tiny = Slabs(CPU, slab_bytes=1)
    take(tiny, *[SMALL] * 100)
    assert {slab.rows for slab in tiny} == {1}


def test_rows_do_not_overlap_and_do_not_move() -> None:
    slabs = Slabs(CPU)
    rows = take(slabs, *[HALF, SMALL] * 60)
    addresses = [row.view.data_ptr() for row in rows]
    for value, row in enumerate(rows):
        row.view.fill_(value)
    take(slabs, *[HALF, SMALL] * 60)
    assert [row.view.data_ptr() for row in rows] == addresses
    assert all(bool((row.view == value).all()) for value, row in enumerate(rows))
    assert all(row.view.shape == row.form.shape and row.view.dtype == row.form.dtype for row in rows)


def test_allocation_touches_no_device_memory() -> None:
    slabs = Slabs(torch.device("meta"))
    rows = take(slabs, SMALL)
    assert [slab._tensor for slab in slabs] == [None]
    assert rows[0].view.device.type == "meta"


def test_the_budget_is_all_or_nothing_and_slack_never_passes_it() -> None:
    slabs = Slabs(CPU)
    take(slabs, *[SMALL] * 64)
    take(slabs, *[SMALL] * slabs.free_rows(SMALL))
    before_bytes = slabs.bytes_used
    room_bytes = before_bytes + 2 * SMALL.row_bytes
    assert slabs.allocate([SMALL, HALF], room_bytes) is None
    assert slabs.allocate([SMALL, SMALL], room_bytes - 1) is None
    assert slabs.bytes_used == before_bytes
    assert slabs.problems() == []
    take(slabs, SMALL, budget_bytes=room_bytes)
    assert slabs.bytes_used == room_bytes, "growth is four rows, but two are left"
    take(slabs, SMALL, budget_bytes=room_bytes)
    assert slabs.allocate([SMALL], room_bytes) is None


def test_an_empty_slab_is_given_back_at_once() -> None:
    slabs = Slabs(CPU)
    held = take(slabs, *[SMALL] * 64)
    held += take(slabs, *[SMALL] * slabs.free_rows(SMALL))
    while held:
        row = held.pop(len(held) // 2)
        slabs.free(row)
        assert (row.slab in list(slabs)) == any(other.slab is row.slab for other in held)
        assert slabs.problems() == []
    assert (slabs.bytes_used, len(slabs)) == (0, 0)


def test_freed_rows_are_used_again_before_memory_grows() -> None:
    slabs = Slabs(CPU)
    rows = take(slabs, *[SMALL] * 200)
    used_bytes = slabs.bytes_used
    full = {row.slab: row for row in rows if row.slab.rows > 2 and not row.slab.free}
    for row in reversed(full.values()):
        slabs.free(row)
    again = take(slabs, *[SMALL] * len(full))
    assert [row.slab for row in again] == list(full), "the oldest slab first"
    assert slabs.bytes_used == used_bytes


def test_a_freed_row_can_be_neither_freed_again_nor_read() -> None:
    slabs = Slabs(CPU)
    (row,) = take(slabs, SMALL)
    row.view.zero_()
    slabs.free(row)
    with pytest.raises(InternalError, match="freed twice"):
        slabs.free(row)
    with pytest.raises(InternalError, match="used after it was freed"):
        _ = row.view
    assert row.slab._tensor is None, "a forgotten row must not keep the memory"


def test_problems_are_found() -> None:
    slabs = Slabs(CPU)
    (row,) = take(slabs, SMALL)
    row.slab.free.append(row.index)
    slabs.bytes_used += 1
    assert len(slabs.problems()) == 4


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_random_traffic_keeps_the_account_and_the_storage_equal(seed: int) -> None:
    rng = random.Random(seed)
    slabs = Slabs(CPU, slab_bytes=1024)
    held: list[Row] = []
    for _ in range(150):
        if held and rng.random() < 0.45:
            slabs.free(held.pop(rng.randrange(len(held))))
        else:
            rows = slabs.allocate(rng.choices([SMALL, HALF], k=rng.randint(1, 4)), 8192)
            held += rows or []
        assert slabs.problems() == []
        assert slabs.bytes_used <= 8192
        assert len({(row.slab, row.index) for row in held}) == len(held)
    assert slabs.bytes_used == storage_bytes(slabs)


def entries(rows: Iterable[Row]) -> list[Entry]:
    return [Entry(f"tpl_{n}", n, None, Generation(1, {"": row}), 0.0) for n, row in enumerate(rows)]


def test_nothing_is_evicted_where_there_is_room_or_can_be_none() -> None:
    slabs = Slabs(CPU)
    idle = entries(take(slabs, SMALL, SMALL))
    assert victims(slabs, [SMALL], slabs.bytes_used + SMALL.row_bytes, idle) == []
    assert victims(slabs, [SMALL] * 3, slabs.bytes_used, idle) == []


def test_the_least_recently_used_are_evicted_and_no_more_than_needed() -> None:
    slabs = Slabs(CPU)
    idle = entries(take(slabs, *[SMALL] * 5))
    assert victims(slabs, [SMALL] * 2, slabs.bytes_used, idle) == idle[:2]
    assert victims(slabs, [HALF], slabs.bytes_used, idle) == idle[:3], "150 bytes need three slabs of 64"


def test_the_free_rows_of_a_slab_that_runs_empty_go_with_it() -> None:
    slabs = Slabs(CPU)
    rows = take(slabs, *[HALF] * 34)
    assert rows[32].slab is rows[33].slab
    idle = entries([rows[32], rows[33], rows[0], rows[1]])
    assert victims(slabs, [HALF] * 3, slabs.bytes_used, idle) == idle[:3]


def test_whoever_would_not_help_stays() -> None:
    slabs = Slabs(CPU)
    rows = take(slabs, *[HALF] * 32, *[HALF] * 2, SMALL)
    shared, small = rows[32], rows[34]
    assert shared.slab.rows == 2
    idle = entries([shared, small])
    assert victims(slabs, [SMALL], slabs.bytes_used, idle) == [idle[1]]


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_an_eviction_makes_exactly_the_room_that_it_forecast(seed: int) -> None:
    rng = random.Random(seed)
    slabs = Slabs(CPU, slab_bytes=1024)
    held = take(slabs, *rng.choices([SMALL, HALF], k=rng.randint(1, 60)))
    for _ in range(len(held) // 3):
        slabs.free(held.pop(rng.randrange(len(held))))
    leased = [held.pop(rng.randrange(len(held))) for _ in range(rng.randint(0, len(held)))]
    wanted = rng.choices([SMALL, HALF], k=rng.randint(1, 8))
    budget_bytes = slabs.bytes_used
    fitted = slabs._growth_bytes(wanted) == 0
    chosen = victims(slabs, wanted, budget_bytes, entries(held))
    for entry in chosen:
        slabs.free(entry.generation.rows[""])
    if chosen or fitted:
        take(slabs, *wanted, budget_bytes=budget_bytes)
    else:
        for row in held:
            slabs.free(row)
        assert slabs.allocate(wanted, budget_bytes) is None
    assert all(row.allocated for row in leased)
