"""The base install is the client: in a process where nothing else can be imported, it works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripted import PATIENCE_S, scripted

ALONE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED or name in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

BLOCKED = {"torch", "cv2", "PIL", "ml_dtypes", "onnxruntime", "grpc_status", "google.rpc", "siamcorr_server"}
sys.meta_path.insert(0, Blocker())
"""

SYNC = """
import numpy as np
from siamcorr_client import Client, TemplateNotFound

with Client(sys.argv[1]) as client:
    client.wait_ready()
    template = client.create_template(features=np.ones((1, 1, 1), np.float32))
    response = client.correlate(template, features=np.full((1, 1, 1), 3, np.float16))
    with client.stream() as stream:
        streamed = stream.correlate(template, features=np.full((1, 1, 1), 3, np.float32)).result()
    image = np.zeros((4, 4, 3), np.uint8)
    templates = client.create_templates(image=image, boxes=[(0, 0, 2, 2), (1, 1, 2, 2)])
    print(template.handle, response.peak.score, streamed.peak.score, len(templates))
"""

ASYNC = """
import asyncio
import numpy as np
from siamcorr_client import AsyncClient

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        template = await client.create_template(image=b"a file", box=(0, 0, 2, 2))
        response = await client.correlate(template, features=np.full((1, 1, 1), 3, np.float32))
        async with client.stream() as stream:
            streamed = await stream.correlate(template, features=np.full((1, 1, 1), 3, np.float32))
        print(template.handle, response.peak.score, streamed.peak.score)

asyncio.run(main())
"""

TRACKERS = "import siamcorr_client.trackers; print('imported')"

BFLOAT16 = """
import numpy as np
from siamcorr.tensors import PayloadReader
from siamcorr.v1.tensor_pb2 import DATA_TYPE_BFLOAT16, Tensor

message = Tensor(dtype=DATA_TYPE_BFLOAT16, shape=[1], length_bytes=2)
PayloadReader(bytes(2)).read(message, "features", ("bfloat16",))
"""


def run_alone(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", ALONE + program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize(("program", "output"), [(SYNC, "tpl_0 3.0 3.0 2"), (ASYNC, "tpl_0 3.0 3.0")])
def test_the_client_needs_nothing_but_numpy_grpc_and_protobuf(program: str, output: str) -> None:
    with scripted() as server:
        done = run_alone(program, server.address)
    assert (done.stdout.strip(), done.stderr) == (output, "")


def test_the_trackers_need_no_more() -> None:
    done = run_alone(TRACKERS)
    assert (done.stdout.strip(), done.stderr) == ("imported", "")


@pytest.mark.parametrize("name", ["torch", "cv2", "ml_dtypes", "google.rpc.status_pb2"])
def test_what_is_blocked_is_really_missing(name: str) -> None:
    assert "is not installed here" in run_alone(f"import {name}").stderr


def test_only_who_reads_a_bfloat16_needs_the_package_for_it() -> None:
    assert "ml_dtypes is not installed here" in run_alone(BFLOAT16).stderr
