"""A client that shares memory with the module's server, and a template of the module's features."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gates import PATIENCE_S
from servers import RunningServer
from siamcorr_client import Client, Template


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """Return a client that shares memory."""
    with Client(server.address, timeout_s=PATIENCE_S, shared_memory=True) as client:
        yield client


@pytest.fixture
def template(client: Client, request: pytest.FixtureRequest) -> Template:
    """Return a template of the module's ``Z``."""
    return client.create_template(request.module.Z)
