"""Triton's client and our own, on one server with a small network, for each module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc  # type: ignore[import-untyped]

from gates import PATIENCE_S
from networks import small_network
from servers import RunningServer, serving
from siamcorr_client import Client
from triton_client import connected


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Serve ``small``, which has a network, and the gate, which has none."""
    with serving(models={"small": small_network()}) as server:
        yield server


@pytest.fixture
def triton(server: RunningServer) -> Iterator[Any]:
    """Return Triton's client."""
    with connected(server.address) as client:
        yield client


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """Return our own, for the same templates."""
    with Client(server.address, timeout_s=PATIENCE_S) as client:
        yield client


@pytest.fixture
def stub(server: RunningServer) -> Iterator[Any]:
    """Return the stub that Triton's client stands on: it sends whatever it is told."""
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)
