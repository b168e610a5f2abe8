"""Keys that a client must not reach, tried one by one: other people's names, files, links, devices."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from named_memory import NamedMemory, open_memory_files, path_of
from siamcorr.errors import InvalidArgument
from siamcorr.shared_memory import Layout, create_region
from siamcorr_server.config import ServerConfig
from siamcorr_server.inference.regions import Regions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has named memory in /dev/shm")

NOT_OURS = "key: found no such shared memory, expected a plain file in /dev/shm of the server's own user"


@pytest.fixture
def regions(memory: NamedMemory) -> Iterator[Regions]:
    """Return regions that are to have opened nothing in the end."""
    regions = Regions([memory.prefix], max_bytes=1 << 20)
    yield regions
    assert regions.status() == []
    assert open_memory_files(memory.prefix) == []


def refused(regions: Regions, key: str) -> str:
    """Register a key that must be refused; return why."""
    with pytest.raises(InvalidArgument) as caught:
        regions.register("r", key, 0, 1)
    assert caught.value.field == "key"
    return str(caught.value)


def test_nothing_is_opened_unless_the_operator_says_so(memory: NamedMemory) -> None:
    off = Regions(ServerConfig().system_memory_prefixes, max_bytes=1)
    why = refused(off, memory.make("r", b"1"))
    assert why.endswith("expected one that was started with --system-shared-memory")


@pytest.mark.parametrize("end", ["", "_", "x", "private"])
def test_only_names_with_the_prefix_are_opened(end: str) -> None:
    with NamedMemory() as mine, NamedMemory() as others:
        regions = Regions([mine.prefix], max_bytes=1)
        key = others.make(end or "r", b"1")
        assert refused(regions, key).endswith("expected one that --system-shared-memory allows")
        assert refused(regions, mine.prefix[:-1]).endswith("expected one that --system-shared-memory allows")


def test_each_of_many_prefixes_is_allowed() -> None:
    with NamedMemory() as first, NamedMemory() as second:
        regions = Regions([first.prefix, second.prefix], max_bytes=1)
        regions.register("a", first.make("a", b"1"), 0, 1)
        regions.register("b", second.make("", b"2"), 0, 1)
        assert regions.read("a", 0, 1) + regions.read("b", 0, 1) == b"12"
        regions.close()


@pytest.mark.parametrize(
    "tail",
    [
        "/../{outside}",
        "/../../etc/passwd",
        "/r",
        "/",
        "r/../{name}",
        "r\0",
        "r\n",
        "r ",
        "r%2e%2e",
        "\u017f",  # a letter to a pattern that knows more than ASCII
        "\u0661",  # a digit
        "\ud800",  # half a character
        "r" * 256,
    ],
)
def test_a_key_is_one_plain_name(memory: NamedMemory, regions: Regions, tail: str) -> None:
    memory.make("r", b"1")
    key = memory.prefix + tail.format(name=memory.prefix[1:], outside="null")
    assert "expected '/' and up to 255 of A-Z a-z 0-9 _ . -" in refused(regions, key)


@pytest.mark.parametrize("slashes", ["", "//", "/./", "/../shm/"])
def test_a_key_begins_with_one_slash(memory: NamedMemory, regions: Regions, slashes: str) -> None:
    key = memory.make("r", b"1")
    assert "expected '/' and up to 255 of A-Z a-z 0-9 _ . -" in refused(regions, slashes + key[1:])


@given(key=st.text(max_size=300))
def test_no_text_reaches_anything_that_is_not_there(key: str) -> None:
    with NamedMemory() as memory:
        regions = Regions(["/", memory.prefix], max_bytes=1)  # a prefix that settings refuse: all there is
        with pytest.raises(InvalidArgument) as caught:
            regions.register("r", key, 0, 1)
        assert caught.value.field == "key"


@pytest.mark.parametrize("key", ["/.", "/..", "/..."])
def test_folders_are_not_opened(key: str) -> None:
    assert refused(Regions(["/."], max_bytes=1), key) == NOT_OURS


def symbolic_link(memory: NamedMemory, path: Path) -> None:
    path.symlink_to(path_of(memory.make("target", b"1")))


def link_to_a_file_elsewhere(memory: NamedMemory, path: Path) -> None:
    del memory
    path.symlink_to("/etc/passwd")


def link_to_itself(memory: NamedMemory, path: Path) -> None:
    del memory
    path.symlink_to(path)


def link_to_an_open_file(memory: NamedMemory, path: Path) -> None:
    del memory
    path.symlink_to("/proc/self/fd/0")


def hard_link(memory: NamedMemory, path: Path) -> None:
    with NamedMemory() as others:  # which take the other name away, so that the test can end
        others_path = path_of(others.make("secret", b"1"))
        path.hardlink_to(others_path)
        second = path_of(memory.key("second"))
        second.hardlink_to(others_path)


def pipe(memory: NamedMemory, path: Path) -> None:
    del memory
    os.mkfifo(path)


def bound_socket(memory: NamedMemory, path: Path) -> None:
    del memory
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def nothing(memory: NamedMemory, path: Path) -> None:
    del memory, path


@pytest.mark.parametrize(
    "plant",
    [
        symbolic_link,
        link_to_a_file_elsewhere,
        link_to_itself,
        link_to_an_open_file,
        hard_link,
        pipe,
        bound_socket,
        nothing,
    ],
)
def test_what_is_no_plain_file_is_refused_as_if_it_were_not_there(
    memory: NamedMemory, regions: Regions, plant: Callable[[NamedMemory, Path], None]
) -> None:
    plant(memory, memory.path("r"))
    assert refused(regions, memory.key("r")) == NOT_OURS


def test_a_lease_on_memory_holds_nobody_up(memory: NamedMemory, regions: Regions) -> None:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # which tells the holder that somebody asks
    try:
        with path_of(memory.make("r", b"1")).open("r+b") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            assert refused(regions, memory.key("r")) == NOT_OURS
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    finally:
        signal.signal(signal.SIGIO, before)


def test_a_folder_of_an_allowed_name_is_refused(memory: NamedMemory, regions: Regions) -> None:
    memory.path("r").mkdir()
    try:
        assert refused(regions, memory.key("r")) == NOT_OURS
    finally:
        memory.path("r").rmdir()


def test_memory_of_another_user_is_refused_as_if_it_were_not_there(
    memory: NamedMemory, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = memory.make("r", b"1")
    monkeypatch.setattr(os, "geteuid", lambda: path_of(key).stat().st_uid + 1)
    assert refused(regions, key) == NOT_OURS


def test_memory_that_may_not_be_opened_is_refused_as_if_it_were_not_there(
    memory: NamedMemory, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    key = memory.make("r", b"1")
    monkeypatch.setattr(os, "open", refuse)
    assert refused(regions, key) == NOT_OURS


def test_a_name_that_changes_hands_keeps_its_memory(memory: NamedMemory) -> None:
    regions = Regions([memory.prefix], max_bytes=10)
    regions.register("r", memory.make("r", b"mine"), 0, 4)
    memory.path("r").unlink()
    memory.path("r").symlink_to("/etc/passwd")
    assert regions.read("r", 0, 4) == b"mine"
    regions.close()


def test_the_servers_own_memory_has_no_name_to_be_registered_by() -> None:
    """CVE-2025-23319, 23320 and 23334: a private key that an error told was registered as a client's."""
    descriptor, region = create_region(Layout(slots=1, slot_bytes=4096))
    try:
        assert os.fstat(descriptor).st_nlink == 0
        regions = Regions(["/"], max_bytes=1)
        for name in (f"/proc/{os.getpid()}/fd/{descriptor}", region.key.hex(), "siamcorr"):
            refused(regions, f"/{name}")
            refused(regions, name)
    finally:
        os.close(descriptor)
