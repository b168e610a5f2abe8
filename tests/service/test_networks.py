"""Whole networks across the network: the engine's own maps, by every way that a request can take."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S
from networks import small_network
from refusals import refused
from servers import RunningServer, serving
from siamcorr.checks import correlate_call
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.correlation import read_correlate_request, seal_correlate_request
from siamcorr.wire.envelope import unseal
from siamcorr_client import AsyncClient, Client, Response, Template

BOXES = np.array([(10.0, 10.0, 20.0, 20.0), (40.0, 30.0, 9.0, 12.0)])
FRAME: dict[str, Any] = {"image": IMAGE, "box": BOXES, "kind": "network"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(models={"small": small_network(2)}, shared_memory_bytes=1 << 26) as server:
        yield server


@pytest.fixture(params=[False, True], ids=["messages", "shared memory"])
def client(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Client]:
    if request.param and sys.platform != "linux":
        pytest.skip("shared memory is for Linux")
    shared_memory = 1 << 20 if request.param else False
    with Client(server.address, timeout_s=PATIENCE_S, shared_memory=shared_memory) as client:
        yield client


@pytest.fixture
def templates(client: Client) -> Iterator[list[Template]]:
    made = client.create_templates(image=IMAGE, boxes=BOXES, model="small")
    yield made
    for template in made:
        client.delete_template(template)


def maps(responses: list[Response]) -> list[Any]:
    return [
        {name: (map_.dtype.name, map_.shape, map_.tobytes()) for name, map_ in one.maps.items()}
        for one in responses
    ]


@pytest.mark.parametrize("map_dtype", ["float32", "float16"])
@pytest.mark.parametrize("suffix", [None, ".png"])
def test_the_client_gives_what_the_engine_gives(
    server: RunningServer, client: Client, templates: list[Template], suffix: str | None, map_dtype: str
) -> None:
    image: Any = IMAGE if suffix is None else cv2.imencode(suffix, IMAGE)[1].tobytes()
    options: dict[str, Any] = {**FRAME, "image": image, "map_dtype": map_dtype}
    found, expected = client.correlate(templates, **options), server.engine.correlate(templates, **options)
    assert maps(found) == maps(expected)
    assert list(found[0].maps) == ["sum", "each"]
    assert [one.map_to_frame for one in found] == [one.map_to_frame for one in expected]
    assert found[0].map is None


def test_streams_and_asyncio_give_the_same(
    server: RunningServer, client: Client, templates: list[Template]
) -> None:
    expected = maps(client.correlate(templates, **FRAME))
    with client.stream() as stream:
        futures = [stream.correlate(templates, **FRAME) for _ in range(3)]
        assert [maps(future.result(PATIENCE_S)) for future in futures] == [expected] * 3

    async def ask() -> list[Response]:
        async with AsyncClient(server.address, timeout_s=PATIENCE_S) as asynchronous:
            return await asynchronous.correlate(templates, **FRAME)

    assert maps(asyncio.run(ask())) == expected


def test_a_refusal_names_the_field(client: Client, templates: list[Template]) -> None:
    plain = client.create_template(image=IMAGE, box=BOXES[0], model="gate")
    assert refused(client.correlate, plain, image=IMAGE, box=BOXES[0], kind="network").field == "kind"
    assert refused(client.correlate, templates[0], **FRAME | {"box": BOXES[0]}, gain=2.0).field == "gain"
    client.delete_template(plain)


def test_what_another_client_sets_beside_it_is_refused_as_here() -> None:
    call = correlate_call("tpl", image=IMAGE, box=BOXES[0], kind="network")
    request, payload = unseal(pb.CorrelateRequest, b"".join(seal_correlate_request(call)))
    assert read_correlate_request(request, payload).is_network
    request.correlation.groups = 2
    assert refused(read_correlate_request, request, payload).field == "groups"
