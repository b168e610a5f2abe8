"""Regions of shared memory: what is laid out, what is refused, and that a half-written payload is seen."""

from __future__ import annotations

import gc
import mmap
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr.errors import InvalidArgument
from siamcorr.shared_memory import KEY_BYTES, Layout, Region, create_region, open_region

LAYOUT = Layout(slots=3, slot_bytes=4096)


@contextmanager
def made(layout: Layout = LAYOUT) -> Iterator[tuple[int, Region]]:
    descriptor, region = create_region(layout)
    try:
        yield descriptor, region
    finally:
        os.close(descriptor)


def test_what_one_side_writes_the_other_reads() -> None:
    with made() as (descriptor, region):
        opened = open_region(os.getpid(), descriptor, region.key, LAYOUT)
        for number in range(LAYOUT.slots):
            length = opened.slot(number).write([b"map", memoryview(b"s"), bytes([number])], sequence=2)
            assert region.slot(number).read(2, length).tobytes() == b"maps" + bytes([number])
        region.slot(0).write([b"\xff" * LAYOUT.slot_bytes], sequence=4)
        assert opened.slot(1).read(2, 5).tobytes() == b"maps\x01", "the neighbour is left alone"
        assert opened.key == region.key


def test_keys_cannot_be_guessed() -> None:
    keys = set()
    for _ in range(20):
        with made() as (_, region):
            keys.add(region.key)
    assert {len(key) for key in keys} == {KEY_BYTES}
    assert len(keys) == 20


@given(st.integers(1, 1024), st.integers(64, 1 << 20).map(lambda lines: 64 * lines))
def test_slots_neither_overlap_nor_leave_the_region(slots: int, slot_bytes: int) -> None:
    layout = Layout(slots, slot_bytes)
    starts = [layout.start(slot) for slot in range(slots + 1)]
    assert starts[0] >= KEY_BYTES
    assert all(start % 64 == 0 for start in starts)
    assert all(later - start == 64 + slot_bytes for start, later in pairwise(starts))
    assert starts[-1] == layout.size_bytes


@pytest.mark.parametrize(
    ("slots", "slot_bytes", "field"),
    [
        (0, 4096, "slots"),
        (1025, 4096, "slots"),
        (-1, 4096, "slots"),
        (True, 4096, "slots"),
        (1, 0, "slot_bytes"),
        (1, 4032, "slot_bytes"),
        (1, 4100, "slot_bytes"),
        (1, 1 << 31, "slot_bytes"),
        (1, 4096.0, "slot_bytes"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(slots: int, slot_bytes: int, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Layout(slots, slot_bytes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("slot", "sequence", "length"),
    [
        (3, 2, 3),
        (-1, 2, 3),
        (1 << 40, 2, 3),
        (0, 2, -1),
        (0, 2, 4097),
        (0, 2, (1 << 64) - 1),
        (0, 0, 3),
        (0, 1, 3),
        (0, 3, 3),
        (0, 4, 3),
        (0, -2, 3),
        (0, (1 << 64) - 2, 3),
    ],
)
def test_hostile_numbers_are_refused(slot: int, sequence: int, length: int) -> None:
    with made() as (_, region):
        region.slot(0).write([b"abc"], sequence=2)
        with pytest.raises(InvalidArgument) as caught:
            region.slot(slot).read(sequence, length)
        assert caught.value.field == "shared"


def test_a_payload_that_is_being_written_is_not_read() -> None:
    with made() as (_, region):
        slot = region.slot(0)
        slot.write([b"abc"], sequence=2)
        view = slot.read(2, 3)

        def parts() -> Iterator[bytes]:
            yield b"x"
            for sequence in (2, 4):
                with pytest.raises(InvalidArgument, match="written to meanwhile"):
                    slot.read(sequence, 3)
            with pytest.raises(InvalidArgument, match="written to meanwhile"):
                slot.check(2)
            yield b"yz"

        slot.write(parts(), sequence=4)
        with pytest.raises(InvalidArgument, match="written to meanwhile"):
            slot.check(2)
        assert slot.read(4, 3).tobytes() == view.tobytes() == b"xyz"


def test_what_is_read_cannot_be_written_to() -> None:
    with made() as (_, region):
        region.slot(0).write([b"abcd"], sequence=2)
        view = region.slot(0).read(2, 4)
        assert not view.flags.writeable
        assert np.frombuffer(view.data, np.float32).flags.aligned


def test_a_region_is_for_its_owner_and_cannot_be_cut_off() -> None:
    with made() as (descriptor, region):
        assert os.fstat(descriptor).st_mode & 0o777 == 0o600
        path = f"/proc/self/fd/{descriptor}"
        assert "(deleted)" in str(Path(path).readlink()), "it never had a name"
        opened = os.open(path, os.O_RDWR)
        for size in (0, LAYOUT.size_bytes - 1, LAYOUT.size_bytes + 1):
            with pytest.raises(PermissionError):
                os.ftruncate(opened, size)
        os.close(opened)
        region.slot(2).write([b"\0" * LAYOUT.slot_bytes], sequence=2)


def test_a_mapping_lives_as_long_as_its_last_view() -> None:
    with made() as (_, region):
        region.slot(0).write([b"abc"], sequence=2)
        memory, view = weakref.ref(region.memory), region.slot(0).read(2, 3)
    del region
    gc.collect()
    assert memory() is not None
    assert view.tobytes() == b"abc"
    del view
    assert memory() is None


def opening(descriptor: int, key: bytes = bytes(KEY_BYTES), process_id: int | None = None) -> str:
    """Return why a region is not opened."""
    with pytest.raises(InvalidArgument) as caught:
        open_region(os.getpid() if process_id is None else process_id, descriptor, key, LAYOUT)
    assert caught.value.field == "shared_memory"
    return str(caught.value)


def test_a_region_of_another_key_is_not_touched() -> None:
    with made() as (descriptor, region):
        before = region.memory[:]
        assert "memory of another process" in opening(descriptor)
        assert region.memory[:] == before


def test_a_region_that_is_not_there_is_told_as_that() -> None:
    with made() as (descriptor, region):
        assert "No such file" in opening(descriptor, region.key, process_id=2**31 - 1)
    assert "No such file" in opening(descriptor, region.key)


def test_a_file_with_another_mode_is_not_mapped() -> None:
    with made() as (descriptor, region):
        os.fchmod(descriptor, 0o644)
        assert "a file of mode 100644" in opening(descriptor, region.key)


def test_a_region_of_another_size_is_not_mapped() -> None:
    with made(Layout(slots=2, slot_bytes=4096)) as (descriptor, region):
        found = f"{region.layout.size_bytes} bytes where {LAYOUT.size_bytes} were agreed"
        assert found in opening(descriptor, region.key)


def test_memory_that_could_be_cut_off_is_not_mapped() -> None:
    descriptor = os.memfd_create("unsealed")
    os.fchmod(descriptor, 0o600)
    os.ftruncate(descriptor, LAYOUT.size_bytes)
    assert "memory that could be cut off" in opening(descriptor)
    os.close(descriptor)


def test_what_is_no_memory_is_not_mapped(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    assert "a file of mode" in opening(reading)
    os.close(reading)
    os.close(writing)
    path = tmp_path / "file"
    path.write_bytes(bytes(LAYOUT.size_bytes))
    path.chmod(0o600)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as before:
        opening(file.fileno())
        assert not any(before[:])
