"""Named memory, and regions that are to have let go of it in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from named_memory import NamedMemory, open_memory_files
from siamcorr_server.inference.regions import Regions

SIZE = 4096


@pytest.fixture
def memory() -> Iterator[NamedMemory]:
    """Return names in /dev/shm that begin as is allowed."""
    with NamedMemory() as memory:
        yield memory


@pytest.fixture
def regions(memory: NamedMemory) -> Iterator[Regions]:
    """Return regions without any, which are to have let go of everything in the end."""
    regions = Regions([memory.prefix], max_bytes=1 << 20)
    yield regions
    regions.close()
    assert open_memory_files(memory.prefix) == []


@pytest.fixture
def key(memory: NamedMemory, regions: Regions) -> str:
    """Return the key of the region ``r``: bytes 0 to 255, over and over, in all of its memory."""
    key = memory.make("r", bytes(range(256)) * (SIZE // 256))
    regions.register("r", key, 0, SIZE)
    return key
