"""A TraX session as the VOT toolkit has it: the client of vot-trax starts our program and drives it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drawn import BOX, write_sequence

trax = pytest.importorskip("trax", reason="vot-trax is not installed")
trax_client = pytest.importorskip("trax.client", reason="vot-trax is not installed")

PROGRAM = [sys.executable, "-m", "siamcorr_eval.trax_entry"]


@contextmanager
def client_of(*arguments: str) -> Iterator[tuple[Any, subprocess.Popen[bytes]]]:
    """Start our program with pipes, as the toolkit does, and yield the client at their other ends."""
    process = subprocess.Popen([*PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        pipes = process.stdin.fileno(), process.stdout.fileno()
        yield trax_client.Client(pipes, timeout=60, log=lambda _: None), process  # it cannot do without a log
    finally:
        process.kill()
        process.communicate()


def frames_of(sequence: Path) -> list[dict[str, Any]]:
    paths = sorted((sequence / "img").iterdir())
    return [{"color": trax.FileImage.create(str(path))} for path in paths]


def test_the_packages_client_drives_our_tracker_over_a_sequence(tmp_path: Path) -> None:
    first, *others = frames_of(write_sequence(tmp_path / "square", 4))
    with client_of("--model", "hog") as (client, process):
        assert client.tracker_name == "siamcorr-hog"
        ((region, _),), _ = client.initialize(first, [(trax.Rectangle.create(*BOX), {})], {})
        assert region.bounds() == BOX
        for index, image in enumerate(others, start=1):
            ((region, said),), _ = client.frame(image, {}, [])
            assert region.bounds() == pytest.approx((BOX[0] + index, *BOX[1:]), abs=2.5)
            assert 0 < float(said["confidence"]) <= 1.1
        client.quit()
        assert process.wait(timeout=60) == 0


def test_a_frame_that_is_not_there_ends_the_session_with_its_name(tmp_path: Path) -> None:
    first, *_ = frames_of(write_sequence(tmp_path / "square", 1))
    with client_of("--model", "hog") as (client, process):
        client.initialize(first, [(trax.Rectangle.create(*BOX), {})], {})
        with pytest.raises(trax.TraxException, match=r"none\.png"):
            client.frame({"color": trax.FileImage.create(str(tmp_path / "none.png"))}, {}, [])
        assert process.wait(timeout=60) == 1
