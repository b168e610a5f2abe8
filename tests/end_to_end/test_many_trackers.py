"""NanoTrack v3 behind a server: a target is followed alike alone, among others, and beside strangers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gates import PATIENCE_S
from servers import ServerProcess, process
from siamcorr_client import Client
from siamcorr_client.trackers import MultiTracker

TARGETS, CLIENTS, FRAMES = 32, 8, 5
RANDOM = np.random.default_rng(4)
BOXES = np.concatenate(
    [RANDOM.uniform((-10, -10), (1200, 660), (TARGETS, 2)), RANDOM.uniform(20, 90, (TARGETS, 2))], 1
)


@pytest.fixture(scope="module")
def files(shared: Path) -> list[bytes]:
    paths = sorted((shared / "sequences/vot15_ball1/img").iterdir())[:FRAMES]
    return [path.read_bytes() for path in paths]


@pytest.fixture(scope="module")
def server(shared: Path) -> Iterator[ServerProcess]:
    weights = shared / "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt"
    with process("--model", f"nanotrackv3={weights}", "--model-threads", "2") as server:
        yield server


def follow(address: str, files: Sequence[bytes], targets: Sequence[int]) -> dict[int, Any]:
    """Return what one client finds of some targets in all frames, to the bit."""
    found: dict[int, list[Any]] = {target: [] for target in targets}
    with Client(address, timeout_s=PATIENCE_S) as client, MultiTracker(client, "nanotrackv3") as tracker:
        tracker.add(files[0], BOXES[list(targets)])
        for file in files[1:]:
            for target, track in zip(targets, tracker.update(file).values(), strict=True):
                found[target].append((track.box.tolist(), track.score, track.map.tobytes()))
    return found


def test_a_target_is_followed_alike_in_any_company(server: ServerProcess, files: list[bytes]) -> None:
    together = follow(server.address, files, range(TARGETS))
    for target in (0, 13, TARGETS - 1):
        assert follow(server.address, files, [target]) == {target: together[target]}
    shares = [range(first, TARGETS, CLIENTS) for first in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        apart = list(pool.map(lambda share: follow(server.address, files, share), shares))
    assert {target: found for share in apart for target, found in share.items()} == together
