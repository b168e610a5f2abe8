"""Shared memory that clients name, through Triton's own client: equal answers, and errors that say why."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]
from tritonclient.utils import shared_memory as triton_memory

from gates import PATIENCE_S
from named_memory import NamedMemory, open_memory_files, path_of
from servers import RunningServer, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has named memory in /dev/shm")

RNG = np.random.default_rng(6)
Z = RNG.standard_normal((1, 8, 3, 3)).astype(np.float32)
X = RNG.standard_normal((1, 8, 9, 9)).astype(np.float32)
SIZES = {"template": Z.nbytes, "search": X.nbytes, "response": 4 * 7 * 7}
ROOM = 4096


@pytest.fixture(scope="module")
def memory() -> Iterator[NamedMemory]:
    """Return names that the server may open."""
    with NamedMemory() as memory:
        yield memory


@pytest.fixture(scope="module")
def server(memory: NamedMemory) -> Iterator[RunningServer]:
    """Serve with names that it may open; in the end it is to have let go of all memory."""
    with serving(system_memory_prefixes=[memory.prefix]) as server:
        yield server
    assert open_memory_files(memory.prefix) == []


@pytest.fixture
def client(server: RunningServer, memory: NamedMemory) -> Iterator[Any]:
    """Return Triton's client; in the end no region is left."""
    with triton.InferenceServerClient(server.address) as client:
        yield client
        client.unregister_system_shared_memory()
    assert open_memory_files(memory.prefix) == []


@pytest.fixture
def key(memory: NamedMemory, client: Any) -> str:
    """Return the key of memory, registered as ``all``, that holds template and search, and 8 KiB of room."""
    content = Z.tobytes() + X.tobytes() + b"\xab" * (2 * ROOM)
    key = memory.make("all", content)
    client.register_system_shared_memory("all", key, len(content))
    return key


OFFSETS = {"template": 0, "search": Z.nbytes, "response": Z.nbytes + X.nbytes}


def inputs(*, shared: bool, region: str = "all") -> list[Any]:
    """Return template and search, in a message or where ``key`` put them."""
    asked = []
    for name, array in (("template", Z), ("search", X)):
        asked.append(triton.InferInput(name, array.shape, "FP32"))
        if shared:
            asked[-1].set_shared_memory(region, array.nbytes, OFFSETS[name])
        else:
            asked[-1].set_data_from_numpy(array)
    return asked


def output(region: str, byte_size: int, offset: int = 0) -> list[Any]:
    """Ask for the response map in a region."""
    asked = triton.InferRequestedOutput("response")
    asked.set_shared_memory(region, byte_size, offset)
    return [asked]


def infer(client: Any, asked: list[Any], outputs: list[Any] | None = None) -> Any:
    return client.infer("naive", asked, outputs=outputs, client_timeout=PATIENCE_S)


def refused(*arguments: Any) -> str:
    """Infer what must be refused as the caller's fault; return why."""
    with pytest.raises(InferenceServerException) as caught:
        infer(*arguments)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    return str(caught.value.message())


def bits(client: Any) -> npt.NDArray[np.float32]:
    """Return the response map as messages bring it."""
    found: npt.NDArray[np.float32] = infer(client, inputs(shared=False)).as_numpy("response")
    return found


def test_shared_memory_brings_the_same_bits_as_messages(client: Any, key: str) -> None:
    expected = bits(client)
    assert expected.shape == (1, 1, 7, 7)
    assert expected.std() > 0
    from_memory = infer(client, inputs(shared=True))
    assert np.array_equal(from_memory.as_numpy("response"), expected)
    size = expected.nbytes
    for asked in (inputs(shared=True), inputs(shared=False)):
        answer = infer(client, asked, output("all", ROOM, OFFSETS["response"])).get_response()
        assert list(answer.raw_output_contents) == [b""], "one for each output, wherever it is"
        (told,) = answer.outputs
        assert told.parameters["shared_memory_region"].string_param == "all"
        assert told.parameters["shared_memory_offset"].int64_param == OFFSETS["response"]
        assert told.parameters["shared_memory_byte_size"].int64_param == size
        content = path_of(key).read_bytes()[OFFSETS["response"] :]
        assert content[:size] == expected.tobytes()
        assert content[size:] == b"\xab" * (2 * ROOM - size), "only the answer was written"
        path_of(key).write_bytes(Z.tobytes() + X.tobytes() + b"\xab" * (2 * ROOM))


def test_tritons_own_regions_work(client: Any, memory: NamedMemory) -> None:
    keys = {name: memory.key(name) for name in SIZES}
    handles = {
        name: triton_memory.create_shared_memory_region(name, keys[name], SIZES[name]) for name in keys
    }
    try:
        for name, array in (("template", Z), ("search", X)):
            triton_memory.set_shared_memory_region(handles[name], [array])
        for name, size in SIZES.items():
            client.register_system_shared_memory(name, keys[name], size)
        asked = [triton.InferInput(name, a.shape, "FP32") for name, a in (("template", Z), ("search", X))]
        for one in asked:
            one.set_shared_memory(one.name(), SIZES[one.name()])
        infer(client, asked, output("response", SIZES["response"]))
        found = triton_memory.get_contents_as_numpy(handles["response"], np.float32, (1, 1, 7, 7))
        assert np.array_equal(found, bits(client))
        del found
        client.unregister_system_shared_memory("template")
        assert set(client.get_system_shared_memory_status().regions) == {"search", "response"}
        (told,) = client.get_system_shared_memory_status("search").regions.values()
        assert (told.name, told.key, told.offset, told.byte_size) == ("search", keys["search"], 0, X.nbytes)
    finally:
        for handle in handles.values():
            triton_memory.destroy_shared_memory_region(handle)


def test_an_answer_may_take_the_place_of_its_question(client: Any, key: str) -> None:
    expected = bits(client)
    infer(client, inputs(shared=True), output("all", X.nbytes, OFFSETS["search"]))
    content = path_of(key).read_bytes()[OFFSETS["search"] :]
    assert content[: expected.nbytes] == expected.tobytes()
    assert content[expected.nbytes : X.nbytes] == X.tobytes()[expected.nbytes :]


def test_a_place_too_small_for_the_answer_is_named_and_left_alone(client: Any, key: str) -> None:
    before = path_of(key).read_bytes()
    why = refused(client, inputs(shared=True), output("all", 195, OFFSETS["response"]))
    assert "shared_memory_byte_size: found 195 bytes in region 'all', expected 196" in why
    assert key not in why
    assert path_of(key).read_bytes() == before
    infer(client, inputs(shared=True), output("all", 196, OFFSETS["response"]))


def test_of_many_outputs_none_is_written_when_one_does_not_fit(client: Any, key: str) -> None:
    before = path_of(key).read_bytes()
    peaks = triton.InferRequestedOutput("peaks")
    peaks.set_shared_memory("all", 19, OFFSETS["response"] + ROOM)
    wanted = [*output("all", ROOM, OFFSETS["response"]), peaks]
    assert "found 19 bytes in region 'all', expected 20" in refused(client, inputs(shared=True), wanted)
    assert path_of(key).read_bytes() == before
    peaks.set_shared_memory("all", 20, OFFSETS["response"] + ROOM)
    answer = infer(client, inputs(shared=True), wanted).get_response()
    assert list(answer.raw_output_contents) == [b"", b""]
    answer = infer(client, inputs(shared=True), [wanted[0], triton.InferRequestedOutput("peaks")])
    assert [len(raw) for raw in answer.get_response().raw_output_contents] == [0, 20]
    places = path_of(key).read_bytes()[OFFSETS["response"] + ROOM :]
    assert answer.as_numpy("peaks").tobytes() == places[:20]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("other", 1, 0), "shared_memory_region: found 'other'"),
        (("all", -1, 0), "shared_memory_byte_size: found -1"),
        (("all", 0, 0), "shared_memory_byte_size: found 0"),
        (("all", 1, -1), "shared_memory_offset: found -1"),
        (("all", 1, 1 << 40), "shared_memory_offset: found 1099511627776"),
        (("all", (1 << 63) - 1, 8), "shared_memory_byte_size: found 9223372036854775807"),
        (("all", (1 << 63) - 1, (1 << 63) - 1), "shared_memory_offset: found 9223372036854775807"),
    ],
)
def test_no_place_outside_a_region_is_read_or_written(
    client: Any, key: str, place: tuple[str, int, int], expected: str
) -> None:
    before = path_of(key).read_bytes()
    asked = inputs(shared=False)
    asked[1].set_shared_memory(*place)
    assert expected in refused(client, asked)
    assert expected in refused(client, inputs(shared=False), output(*place))
    assert path_of(key).read_bytes() == before


def test_a_tensor_that_fills_its_place_only_in_part_is_refused(client: Any, key: str) -> None:
    for size in (X.nbytes - 4, X.nbytes + 4):
        asked = inputs(shared=True)
        asked[1].set_shared_memory("all", size, OFFSETS["search"])
        assert "search" in refused(client, asked)
    assert key


def test_memory_that_its_client_cuts_off_kills_no_server(client: Any, key: str) -> None:
    os.truncate(path_of(key), 100)
    cut_off = "shared_memory_region: found shared memory that ends before the region does"
    assert cut_off in refused(client, inputs(shared=True))
    assert cut_off in refused(client, inputs(shared=False), output("all", ROOM, OFFSETS["response"]))
    assert path_of(key).stat().st_size == 100
    assert client.is_server_live()


def test_a_key_that_is_not_allowed_is_refused(client: Any, memory: NamedMemory) -> None:
    for key in (memory.prefix[:-1], "/etc/passwd", f"{memory.prefix}/../x", f"{memory.prefix}missing"):
        with pytest.raises(InferenceServerException, match="key: found") as caught:
            client.register_system_shared_memory("r", key, 1)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_shared_memory_is_off_unless_it_is_asked_for() -> None:
    with NamedMemory() as memory, serving() as off, triton.InferenceServerClient(off.address) as client:
        assert "system_shared_memory" not in client.get_server_metadata().extensions
        with pytest.raises(InferenceServerException, match="started with --system-shared-memory"):
            client.register_system_shared_memory("r", memory.make("r", b"1"), 1)
        assert not client.get_system_shared_memory_status().regions
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()
