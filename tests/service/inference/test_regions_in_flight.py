"""Regions that clients let go of while the server is about to write to them."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb  # type: ignore[import-untyped]

from gates import PATIENCE_S, held
from named_memory import NamedMemory, open_memory_files, path_of
from servers import RunningServer, serving
from triton_client import connected, given, outputs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has named memory in /dev/shm")

RNG = np.random.default_rng(6)
INPUTS = [
    given("template", RNG.standard_normal((1, 8, 3, 3)).astype(np.float32)),
    given("search", RNG.standard_normal((1, 8, 9, 9)).astype(np.float32)),
]
ROOM = 4096


@pytest.fixture(scope="module")
def memory() -> Iterator[NamedMemory]:
    """Return names that the server may open."""
    with NamedMemory() as memory:
        yield memory


@pytest.fixture(scope="module")
def server(memory: NamedMemory) -> Iterator[RunningServer]:
    """Serve with names that it may open."""
    with serving(system_memory_prefixes=[memory.prefix]) as server:
        yield server


@pytest.fixture
def key(memory: NamedMemory, triton: Any) -> Iterator[str]:
    """Return the key of the region ``out``; in the end no region is left."""
    key = memory.make("out", bytes(ROOM))
    triton.register_system_shared_memory("out", key, ROOM)
    yield key
    triton.unregister_system_shared_memory(client_timeout=PATIENCE_S)
    assert open_memory_files(memory.prefix) == []


def wanted() -> list[Any]:
    """Ask for the response map in ``out``."""
    asked = outputs("response")
    asked[0].set_shared_memory("out", ROOM)
    return asked


def expected(triton: Any) -> bytes:
    """Return the response map as a message brings it."""
    found: bytes = triton.infer("naive", INPUTS).as_numpy("response").tobytes()
    assert found.strip(bytes(1))
    return found


def wait_until_gone(name: str, triton: Any) -> None:
    """Ask until a region is told no more."""
    for _ in range(10_000):
        if name not in triton.get_system_shared_memory_status().regions:
            return
    raise TimeoutError(name)


def in_flight(server: RunningServer) -> bool:
    """Tell whether a request waits beside the one that holds the device."""
    return server.engine.stats().requests == 2


def test_who_unregisters_hears_back_when_the_requests_in_flight_have_ended(
    server: RunningServer, triton: Any, stub: Any, memory: NamedMemory, key: str
) -> None:
    whole = expected(triton)
    triton.register_system_shared_memory("unused", key, 1)
    with held(server.engine, server.gate):
        triton.async_infer("naive", INPUTS, lambda result, error: None, outputs=wanted())
        server.until(lambda: in_flight(server))
        request = pb.SystemSharedMemoryUnregisterRequest(name="out")
        unregistering = stub.SystemSharedMemoryUnregister.future(request, timeout=PATIENCE_S)
        wait_until_gone("out", triton)
        triton.unregister_system_shared_memory("unused", client_timeout=PATIENCE_S)  # nobody waits for others
        triton.register_system_shared_memory("out", memory.make("again", bytes(ROOM)), ROOM)
        assert not unregistering.done()
        assert path_of(key).read_bytes() == bytes(ROOM)
    unregistering.result(PATIENCE_S)
    assert path_of(key).read_bytes().startswith(whole), "it was written before the call came back"
    assert path_of(memory.key("again")).read_bytes() == bytes(ROOM), "what has the name now is another"
    triton.infer("naive", INPUTS, outputs=wanted())
    assert path_of(memory.key("again")).read_bytes().startswith(whole)


def test_what_is_asked_on_a_stream_is_waited_for_too(
    server: RunningServer, triton: Any, stub: Any, key: str
) -> None:
    whole = expected(triton)
    told: queue.Queue[tuple[Any, Any]] = queue.Queue()
    triton.start_stream(lambda result, error: told.put((result, error)))
    with held(server.engine, server.gate):
        triton.async_stream_infer("naive", INPUTS, outputs=wanted())
        server.until(lambda: in_flight(server))
        request = pb.SystemSharedMemoryUnregisterRequest()
        unregistering = stub.SystemSharedMemoryUnregister.future(request, timeout=PATIENCE_S)
        wait_until_gone("out", triton)
        assert not unregistering.done()
    unregistering.result(PATIENCE_S)
    assert path_of(key).read_bytes().startswith(whole)
    result, error = told.get(timeout=PATIENCE_S)
    assert error is None
    assert list(result.get_response().raw_output_contents) == [b""]
    triton.async_stream_infer("naive", INPUTS, outputs=wanted())
    result, error = told.get(timeout=PATIENCE_S)
    assert "shared_memory_region: found 'out', expected a registered region" in str(error)
    triton.stop_stream()


def test_a_request_that_is_given_up_lets_go_of_its_region(
    server: RunningServer, triton: Any, key: str
) -> None:
    with held(server.engine, server.gate):
        asked = triton.async_infer("naive", INPUTS, lambda result, error: None, outputs=wanted())
        server.until(lambda: in_flight(server))
        asked.cancel()
        triton.unregister_system_shared_memory("out", client_timeout=PATIENCE_S)  # the device is held still
    assert path_of(key).read_bytes() == bytes(ROOM)


def test_memory_that_is_cut_off_in_flight_is_an_error(server: RunningServer, triton: Any, key: str) -> None:
    told: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with held(server.engine, server.gate):
        triton.async_infer("naive", INPUTS, lambda result, error: told.put((result, error)), outputs=wanted())
        server.until(lambda: in_flight(server))
        with path_of(key).open("r+b") as file:
            file.truncate(10)
    _, error = told.get(timeout=PATIENCE_S)
    assert "shared_memory_region: found shared memory that ends before the region does" in str(error)
    assert path_of(key).read_bytes() == bytes(10)


def test_a_server_that_stops_lets_go_of_what_clients_left_registered() -> None:
    with NamedMemory() as memory:
        with serving(system_memory_prefixes=[memory.prefix]) as server:
            with connected(server.address) as client:
                client.register_system_shared_memory("left", memory.make("left", b"1"), 1)
            assert len(open_memory_files(memory.prefix)) == 1
        assert open_memory_files(memory.prefix) == []
