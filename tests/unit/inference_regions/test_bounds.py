"""The bounds of shared memory that clients name: places, sizes, and files that change behind our back."""

from __future__ import annotations

import os
import sys
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from named_memory import NamedMemory, open_memory_files, path_of
from siamcorr.errors import InvalidArgument
from siamcorr_server.inference.regions import Regions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has named memory in /dev/shm")

LARGEST = (1 << 64) - 1
SIZE = 4096


PLACES = [
    (-1, 1, "shared_memory_offset"),
    (SIZE, 1, "shared_memory_offset"),
    (LARGEST, 1, "shared_memory_offset"),
    (LARGEST, 2, "shared_memory_offset"),  # their sum is 1 where it wraps
    (True, 1, "shared_memory_offset"),
    ("0", 1, "shared_memory_offset"),
    (0, 0, "shared_memory_byte_size"),
    (0, -1, "shared_memory_byte_size"),
    (0, SIZE + 1, "shared_memory_byte_size"),
    (1, SIZE, "shared_memory_byte_size"),
    (1, LARGEST, "shared_memory_byte_size"),  # their sum is 0 where it wraps
    (0, 1.0, "shared_memory_byte_size"),
]


@pytest.mark.parametrize(("offset", "byte_size", "field"), PLACES)
def test_nothing_outside_a_region_is_reached(
    memory: NamedMemory, regions: Regions, offset: int, byte_size: int, field: str
) -> None:
    regions.register("in", memory.make("in", bytes(3 * SIZE)), SIZE, SIZE)
    with pytest.raises(InvalidArgument) as read:
        regions.read("in", offset, byte_size)
    with pytest.raises(InvalidArgument) as written, regions.use("in", offset, byte_size):
        pass
    assert read.value.field == written.value.field == field


@given(offset=st.integers(-3, 20), byte_size=st.integers(-3, 20))
def test_a_place_is_refused_exactly_where_it_is_outside(offset: int, byte_size: int) -> None:
    with NamedMemory() as memory:
        regions = Regions([memory.prefix], max_bytes=1 << 20)
        regions.register("r", memory.make("r", bytes(range(20))), 4, 12)
        try:
            data = regions.read("r", offset, byte_size)
        except InvalidArgument:
            assert offset < 0 or byte_size < 1 or offset + byte_size > 12
        else:
            assert data == bytes(range(20))[4:16][offset : offset + byte_size]
            assert len(data) == byte_size > 0
        regions.close()


@pytest.mark.parametrize(
    ("offset", "byte_size", "field"),
    [
        (-1, 1, "offset"),
        (0, 0, "byte_size"),
        (0, -1, "byte_size"),
        (0, SIZE + 1, "byte_size"),
        (1, SIZE, "byte_size"),
        (SIZE, 1, "byte_size"),
        (LARGEST, 1, "byte_size"),
        (LARGEST, LARGEST, "byte_size"),
        (1, LARGEST, "byte_size"),
    ],
)
def test_no_region_is_larger_than_its_memory(
    memory: NamedMemory, regions: Regions, offset: int, byte_size: int, field: str
) -> None:
    key = memory.make("small", bytes(SIZE))
    with pytest.raises(InvalidArgument) as caught:
        regions.register("small", key, offset, byte_size)
    assert caught.value.field == field
    assert regions.status() == []
    assert open_memory_files(memory.prefix) == []


def test_a_reading_is_bounded(memory: NamedMemory) -> None:
    regions = Regions([memory.prefix], max_bytes=10)
    key = memory.make("hole", b"")
    os.truncate(path_of(key), 1 << 50)  # which takes its client nothing
    regions.register("hole", key, 0, 1 << 50)
    assert regions.read("hole", 1 << 49, 10) == bytes(10)
    with pytest.raises(InvalidArgument, match="shared_memory_byte_size: found 11, expected at most 10"):
        regions.read("hole", 0, 11)
    regions.close()


def test_an_answer_that_does_not_fit_writes_nothing(memory: NamedMemory, regions: Regions) -> None:
    key = memory.make("tight", b"abcdef")
    regions.register("tight", key, 0, 6)
    with regions.use("tight", 1, 3) as use:
        for refused in (partial(use.check, 4), partial(use.write, b"long")):
            with pytest.raises(InvalidArgument) as caught:
                refused()
            assert caught.value.field == "shared_memory_byte_size"
            assert "3 bytes in region 'tight', expected 4 for the answer" in str(caught.value)
    assert path_of(key).read_bytes() == b"abcdef"


def test_memory_that_is_cut_off_is_an_error_and_no_signal(regions: Regions, key: str) -> None:
    os.truncate(path_of(key), SIZE - 1)
    with pytest.raises(InvalidArgument, match="memory that ends before the region does") as read:
        regions.read("r", 0, SIZE)
    with regions.use("r", 0, 1) as use, pytest.raises(InvalidArgument, match="ends before") as written:
        use.write(b"1")
    assert read.value.field == written.value.field == "shared_memory_region"
    assert path_of(key).read_bytes()[0] == 0
    assert regions.read("r", 0, SIZE - 1) == (bytes(range(256)) * (SIZE // 256))[:-1]


def test_writing_goes_on_where_the_system_stopped(
    regions: Regions, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: pwrite(file, data[:3], place))
    with regions.use("r", 5, 20) as use:
        use.write(b"0123456789")
    assert regions.read("r", 4, 12) == b"\x040123456789\x0f"


def test_a_full_dev_shm_is_an_error(regions: Regions, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with regions.use("r", 0, 20) as use, pytest.raises(InvalidArgument, match="No space left") as caught:
        use.write(b"1")
    assert caught.value.field == "shared_memory_region"
