"""Fixtures: the shared data, found through SIAMCORR_SHARED (without it tests skip), and torch's threads.

No property test has a time limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import golden

settings.register_profile("untimed", deadline=None)  # how long an example takes depends on the machine's load
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of the shared data."""
    if not (folder := os.environ.get("SIAMCORR_SHARED")):
        pytest.skip("SIAMCORR_SHARED does not name the shared data")
    return Path(folder)


@pytest.fixture(params=golden.OPERATORS)
def golden_operator(request: pytest.FixtureRequest, shared: Path) -> golden.GoldenOperator:
    """Return one golden operator: a test that asks for it runs once for each."""
    return golden.load_operator(shared, request.param)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: small operators take longer to wake a second one than to compute."""
    import torch  # noqa: PLC0415 - most tests need no torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
