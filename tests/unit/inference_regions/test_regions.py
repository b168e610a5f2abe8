"""Shared memory that clients name: what is opened, read and written, and when it is let go."""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from named_memory import NamedMemory, open_memory_files, path_of
from siamcorr.errors import InvalidArgument, QueueFull
from siamcorr_server.inference.regions import Region, Regions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has named memory in /dev/shm")

SIZE = 4096


def unregister(regions: Regions, name: str = "") -> None:
    asyncio.run(regions.unregister(name))


def test_what_a_client_writes_is_read_and_the_other_way_round(memory: NamedMemory, regions: Regions) -> None:
    key = memory.make("io", bytes(100))
    regions.register("io", key, 10, 80)
    with path_of(key).open("r+b") as file, mmap.mmap(file.fileno(), 100) as mapped:
        mapped[15:18] = b"abc"
        assert regions.read("io", 5, 3) == b"abc"
        with regions.use("io", 77, 3) as use:
            use.check(3)
            use.write(memoryview(b"xyz"))
        assert mapped[:] == bytes(15) + b"abc" + bytes(69) + b"xyz" + bytes(10)
        with regions.use("io", 0, 80) as use:
            use.write(b"")
            use.write(b"1")
        assert mapped[10:18] == b"1" + bytes(4) + b"abc", "room that is not needed is left alone"


def test_what_was_read_is_not_changed_by_its_client_any_more(regions: Regions, key: str) -> None:
    with regions.use("r", 0, SIZE) as use:
        data = regions.read("r", 0, 4)
        use.write(b"\xff" * 4)
    assert data == bytes(range(4))
    assert regions.read("r", 0, 4) == b"\xff" * 4


def test_one_file_may_hold_many_regions(memory: NamedMemory, regions: Regions) -> None:
    key = memory.make("many", b"aabb")
    regions.register("a", key, 0, 2)
    regions.register("b", key, 2, 2)
    assert regions.read("a", 0, 2) + regions.read("b", 0, 2) == b"aabb"
    assert regions.status() == [Region("a", key, 0, 2), Region("b", key, 2, 2)]
    assert regions.status("b") == [Region("b", key, 2, 2)]


def test_the_status_of_an_unknown_region_is_an_error(regions: Regions, key: str) -> None:
    with pytest.raises(InvalidArgument, match="name: found 'q', expected a registered region") as caught:
        regions.status("q")
    assert caught.value.field == "name"
    assert key not in str(caught.value)


def test_a_name_is_registered_once(memory: NamedMemory, regions: Regions, key: str) -> None:
    other = memory.make("other", bytes(SIZE))
    for again in (key, other):
        with pytest.raises(InvalidArgument, match="name: found 'r', which is registered already") as caught:
            regions.register("r", again, 0, SIZE)
        assert key not in str(caught.value), "whose it is need not be the asker's"
    assert regions.status() == [Region("r", key, 0, SIZE)]
    unregister(regions, "r")
    regions.register("r", other, 0, SIZE)
    assert regions.read("r", 1, 1) == bytes(1)


@pytest.mark.parametrize("name", ["", "n" * 257])
def test_bad_names_are_refused(regions: Regions, key: str, name: str) -> None:
    with pytest.raises(InvalidArgument, match="expected 1 to 256 characters"):
        regions.register(name, key, 0, SIZE)


def test_unregistering_what_is_not_there_is_fine(regions: Regions) -> None:
    unregister(regions, "q")
    unregister(regions)


def test_all_regions_are_unregistered_at_once(memory: NamedMemory, regions: Regions, key: str) -> None:
    regions.register("s", key, 0, 1)
    unregister(regions)
    assert regions.status() == []
    assert open_memory_files(memory.prefix) == []
    with pytest.raises(InvalidArgument, match="shared_memory_region: found 'r', expected a registered reg"):
        regions.read("r", 0, 1)


def test_memory_that_its_client_has_unlinked_is_still_there(memory: NamedMemory, regions: Regions) -> None:
    regions.register("u", memory.make("u", b"abc"), 0, 3)
    memory.path("u").unlink()
    assert regions.read("u", 0, 3) == b"abc"


def test_unregistering_waits_for_the_requests_that_use_a_region(
    memory: NamedMemory, regions: Regions
) -> None:
    key = memory.make("w", b"abc")
    regions.register("w", key, 0, 3)

    async def scenario() -> None:
        with ExitStack() as requests:
            first = requests.enter_context(regions.use("w", 0, 3))
            second = requests.enter_context(regions.use("w", 0, 3))
            waiting = asyncio.create_task(regions.unregister("w"))
            await asyncio.sleep(0)
            assert regions.status() == [], "the name is gone at once"
            regions.register("w", memory.make("w2", b"def"), 0, 3)
            first.write(b"xyz")
            with regions.use("w", 0, 3) as new:
                new.write(b"new")
            await asyncio.sleep(0)
            assert not waiting.done()
            second.write(b"XYZ")
        await waiting
        assert path_of(key).read_bytes() == b"XYZ"
        assert regions.read("w", 0, 3) == b"new"
        with (
            path_of(key).open("r+b"),  # which takes the descriptor's number
            pytest.raises(OSError, match="Bad file descriptor"),
        ):
            second.write(b"end")

    asyncio.run(scenario())


def test_whoever_gives_up_waiting_leaves_nothing_behind(memory: NamedMemory, regions: Regions) -> None:
    regions.register("w", memory.make("w", b"abc"), 0, 3)

    async def scenario() -> None:
        with regions.use("w", 0, 3):
            waiting = asyncio.create_task(regions.unregister())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            regions.close()
            assert len(open_memory_files(memory.prefix)) == 1, "the request still has it"
        assert open_memory_files(memory.prefix) == []

    asyncio.run(scenario())


def test_a_request_that_fails_lets_go_of_its_region(memory: NamedMemory, regions: Regions, key: str) -> None:
    with pytest.raises(KeyError), regions.use("r", 0, 1):
        raise KeyError
    unregister(regions)
    assert open_memory_files(memory.prefix) == []


def test_there_are_only_so_many_regions(regions: Regions, key: str) -> None:
    for number in range(255):
        regions.register(f"r{number}", key, 0, 1)
    with pytest.raises(QueueFull, match="name: 256 regions are registered"):
        regions.register("one more", key, 0, 1)
    unregister(regions, "r7")
    regions.register("one more", key, 0, 1)


def test_no_descriptor_left_is_no_fault_of_the_key(
    memory: NamedMemory, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    key = memory.make("full", b"1")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(QueueFull):
        regions.register("full", key, 0, 1)


def test_descriptors_are_not_inherited_nor_used_up(memory: NamedMemory, regions: Regions, key: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        regions.register("s", key, 0, SIZE)
        unregister(regions, "s")
        with pytest.raises(InvalidArgument):
            regions.register("s", key, 0, SIZE + 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    (descriptor,) = open_memory_files(memory.prefix)
    assert not os.get_inheritable(descriptor)
