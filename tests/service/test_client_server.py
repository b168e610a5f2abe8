"""Both clients against the real server: every call, every kind of array, and the engine's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import ml_dtypes
import numpy as np
import pytest

from gates import PATIENCE_S, held
from random_calls import ARRAY_DTYPES, LAYOUTS, bits, in_layout
from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr.calls import HeadWeights
from siamcorr_client import (
    AsyncClient,
    BankFull,
    Client,
    InvalidArgument,
    ModelNotFound,
    QueueFull,
    Response,
    TemplateNotFound,
)

RANDOM = np.random.default_rng(0)
Z = RANDOM.standard_normal((4, 3, 3), np.float32)
X = RANDOM.standard_normal((2, 4, 9, 9), np.float32)
FRAME = cv2.GaussianBlur(RANDOM.integers(0, 256, (60, 80, 3), np.uint8), (5, 5), 0).astype(np.uint8)
BOX = (30.0, 20.0, 16.0, 12.0)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(EngineSettings(device="cpu")) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.address, timeout_s=PATIENCE_S) as client:
        yield client
        for template in list(client.list_templates()):
            client.delete_template(template)


def told(response: Response) -> Any:
    """Return all that a response says, but for the times."""
    return bits(response)[1][:-1]


OPTIONS: list[dict[str, Any]] = [
    {"features": X[0]},
    {"features": X[0], "kind": "depthwise", "padding": (1, 2), "stride": 2, "dilation": (1, 2)},
    {"features": X[0], "kind": "groupwise", "groups": 2, "gain": 0.25, "bias": 1.5},
    {"features": X[0], "kind": "pixelwise", "sum_channels": True, "output": "both", "top_k": 3},
    {"features": X[0], "kind": "upchannel", "k": 1, "map_dtype": "float16"},
    {"features": X[0], "kind": "depthwise", "head": HeadWeights(np.ones((2, 4), np.float32))},
    {"features": X[0], "output": "peaks", "tensor": "features"},
    {"features": X[0].astype(np.float16)},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_client_gives_what_the_engine_gives(
    server: RunningServer, client: Client, options: dict[str, Any]
) -> None:
    features = Z.astype(options["features"].dtype)
    template = client.create_template(features)
    assert told(client.correlate(template, **options)) == told(server.engine.correlate(template, **options))
    listed = client.correlate([template, template.handle], **options)
    assert [told(one) for one in listed] == [told(server.engine.correlate(template, **options))] * 2


def test_pairs_say_which_meets_which(server: RunningServer, client: Client) -> None:
    templates = [client.create_template(Z), client.create_template(-Z)]
    pairs = ([1, 0, 1], [0, 1, 1])
    responses = client.correlate(templates, features=X, pairs=pairs)
    expected = server.engine.correlate(templates, features=X, pairs=pairs)
    assert [told(one) for one in responses] == [told(one) for one in expected]
    assert [one.template for one in responses] == [templates[index].handle for index in pairs[0]]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*ARRAY_DTYPES])
def test_arrays_of_every_dtype_and_layout_arrive_as_they_are(
    server: RunningServer, client: Client, dtype: str, layout: str
) -> None:
    z, x = (in_layout(array.astype(ARRAY_DTYPES[dtype]), layout) for array in (Z, X[0]))
    assert not z.flags.c_contiguous or layout == "C"
    template = client.create_template(z)
    assert template.tensors[0].dtype == z.dtype.name
    native = [np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))) for array in (z, x)]
    expected = server.engine.correlate(server.engine.create_template(native[0]), features=native[1])
    found = client.correlate(template, features=x)
    assert found.map is not None
    assert expected.map is not None
    assert found.map.tobytes() == expected.map.tobytes()


def test_a_bfloat16_map_is_close_to_the_float32_one(client: Client) -> None:
    z, x = (array.astype(ml_dtypes.bfloat16) for array in (Z, X[0]))
    rough = client.correlate(client.create_template(z), features=x).map
    exact = client.correlate(client.create_template(z.astype(np.float32)), features=x.astype(np.float32)).map
    assert rough is not None
    assert exact is not None
    assert np.abs(rough - exact).max() < 0.1


def test_templates_are_created_described_updated_and_deleted(client: Client) -> None:
    template = client.create_template({"cls": Z, "loc": Z[:2]})
    assert [(one.name, one.shape) for one in template.tensors] == [("cls", (4, 3, 3)), ("loc", (2, 3, 3))]
    assert (template.generation, template.model, template.size_bytes) == (1, None, 4 * (36 + 18))
    assert client.get_template(template).handle == template.handle
    updated = client.update_template(template, {"cls": -Z, "loc": Z[:2]}, rate=0.5)
    assert (updated.handle, updated.generation) == (template.handle, 2)
    silent = client.correlate(template, features=X[0], tensor="cls")
    assert silent.generation == 2
    assert silent.map is not None
    assert not silent.map.any(), "half of Z and half of -Z"
    client.delete_template(template)
    for call in (client.get_template, client.delete_template):
        with pytest.raises(TemplateNotFound, match="template: "):
            call(template)


def test_all_templates_are_listed_over_all_pages(client: Client) -> None:
    made = [client.create_template(Z[:1, :1, :1]).handle for _ in range(205)]
    assert [template.handle for template in client.list_templates()] == made


@pytest.mark.parametrize("suffix", [".png", ".jpg", None])
def test_frames_are_pixels_or_files(server: RunningServer, client: Client, suffix: str | None) -> None:
    image: Any = FRAME if suffix is None else cv2.imencode(suffix, FRAME)[1].tobytes()
    template = client.create_template(image=image, box=BOX)
    assert template.model == "hog"
    response = client.correlate(template, image=image, box=BOX, output="both")
    assert told(response) == told(server.engine.correlate(template, image=image, box=BOX, output="both"))
    assert response.map_to_frame is not None
    x, y = response.map_to_frame.point(response.peak.row, response.peak.col)
    assert abs(x - (BOX[0] + (BOX[2] - 1) / 2)) < 2
    assert abs(y - (BOX[1] + (BOX[3] - 1) / 2)) < 2
    assert client.update_template(template, image=image, box=BOX).generation == 2


def test_many_boxes_of_one_frame_make_many_templates(client: Client) -> None:
    boxes = np.array([BOX, (10, 10, 8, 8), (40, 30, 20, 10)])
    templates = client.create_templates(image=FRAME, boxes=boxes)
    assert len({template.handle for template in templates}) == 3
    responses = client.correlate(templates, image=FRAME, box=boxes)
    assert [response.template for response in responses] == [template.handle for template in templates]


def test_errors_of_the_server_are_raised_as_they_are(client: Client) -> None:
    template = client.create_template(Z)
    with pytest.raises(InvalidArgument, match="template: found 4 channels, expected 3") as caught:
        client.correlate(template, features=X[0, :3])
    assert caught.value.field == "template"
    assert any(note.startswith("x-request-id ") for note in caught.value.__notes__)
    with pytest.raises(InvalidArgument, match="NaN"):
        client.correlate(template, features=np.full_like(X[0], np.nan))
    with pytest.raises(ModelNotFound):
        client.create_template(image=FRAME, box=BOX, model="other")
    with pytest.raises(TemplateNotFound):
        client.correlate("tpl_unknown", features=X[0])


def test_a_full_queue_and_a_full_bank_are_told_apart() -> None:
    small = EngineSettings(device="cpu", models={}, budget_bytes=4096, max_jobs=1)
    with serving(small) as server, Client(server.address, attempts=1) as client:
        with held(server.engine, server.gate), pytest.raises(QueueFull) as caught:
            client.create_template(Z)
        assert caught.value.retry_after_s is not None
        boxes = [BOX] * 9
        with pytest.raises(BankFull):
            client.create_templates(image=FRAME, boxes=boxes, model="gate")


def test_threads_may_share_a_client(server: RunningServer, client: Client) -> None:
    templates = [client.create_template(Z * scale) for scale in range(1, 5)]
    expected = [told(server.engine.correlate(template, features=X[0])) for template in templates]

    def work(number: int) -> Any:
        return told(client.correlate(templates[number % 4], features=X[0]))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(40)))
    assert found == expected * 10


def test_a_stream_gives_what_the_engine_gives(server: RunningServer, client: Client) -> None:
    templates = [client.create_template(Z), client.create_template(-Z)]
    with client.stream() as stream:
        one = [stream.correlate(template, features=X[0]) for template in templates * 20]
        lost = stream.correlate("tpl_unknown", features=X[0])
        many = stream.correlate(templates, features=X)
        assert type(lost.exception(PATIENCE_S)) is TemplateNotFound
    expected = [told(server.engine.correlate(template, features=X[0])) for template in templates]
    assert [told(future.result()) for future in one] == expected * 20
    assert [told(response) for response in many.result()] == [
        told(response) for response in server.engine.correlate(templates, features=X)
    ]


def test_the_asyncio_client_has_every_call(server: RunningServer, client: Client) -> None:
    async def work() -> None:
        async with AsyncClient(server.address, timeout_s=PATIENCE_S) as there:
            await there.wait_ready()
            template = await there.create_template(Z)
            boxes = await there.create_templates(image=FRAME, boxes=[BOX, BOX])
            assert [one.handle async for one in there.list_templates()] == [
                one.handle for one in (template, *boxes)
            ]
            assert (await there.get_template(template)).generation == 1
            assert (await there.update_template(template, Z, rate=0.5)).generation == 2
            response = await there.correlate(template, features=X[0])
            assert told(response) == told(server.engine.correlate(template, features=X[0]))
            (listed,) = await there.correlate([template], features=X[0])
            assert told(listed) == told(response)
            async with there.stream() as stream:
                assert told(await stream.correlate(template, features=X[0])) == told(response)
            await there.delete_template(template)
            with pytest.raises(TemplateNotFound):
                await there.correlate(template, features=X[0])

    server.start(work()).result(PATIENCE_S)


def test_after_a_restart_the_client_goes_on_and_its_templates_are_gone() -> None:
    with serving() as first, Client(first.address, timeout_s=PATIENCE_S) as client:
        template = client.create_template(Z)
        address = first.address
        with Client(address) as other:
            other.get_template(template)
    with Client(address, timeout_s=PATIENCE_S) as client:
        for _ in range(2):
            with serving(listen=address):
                client.wait_ready()
                with pytest.raises(TemplateNotFound):
                    client.correlate(template, features=X[0])
                assert client.correlate(client.create_template(Z), features=X[0]).map is not None
