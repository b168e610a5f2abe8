"""A running server for each test, and stubs that call it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers import RunningServer, Stubs, serving


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """Return a server on the CPU whose only model is the gate."""
    with serving() as running:
        yield running


@pytest.fixture
def stubs(server: RunningServer) -> Iterator[Stubs]:
    """Return the generated stubs, connected to ``server``."""
    stubs = Stubs(server.address)
    with stubs.channel:
        yield stubs
