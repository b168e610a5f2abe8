"""The calls of Triton's perf_analyzer in its order: it must be able to measure the server.

It builds its requests of what metadata tell, sends random numbers, reads the statistics before and after, and
names its shared memory after the tensors. Its first line says what it would be started with.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException, triton_to_np_dtype  # type: ignore[import-untyped]

from gates import PATIENCE_S
from named_memory import NamedMemory, open_memory_files, path_of
from servers import serving
from siamcorr.shapes import KINDS

OUTPUT_BYTES = 102_400  # what it takes for an output of unknown size: --output-shared-memory-size
REQUESTS = 3

TEMPLATES = {"upchannel": (1, 16, 3, 3), "grouped": (4, 4, 3, 3)}
SHAPE = (1, 8, 3, 3)
SEARCH = (1, 8, 9, 9)
PARAMETERS: dict[str, dict[str, int]] = {
    "upchannel": {"k": 2},
    "groupwise": {"groups": 2},
    "grouped": {"groups": 2},
}


class Analyzer:
    """``perf_analyzer -m MODEL -i grpc --shape template:... --shape search:...``, and a prefix of its own.

    Its own names begin with the tensors' alone, which is no beginning that a test may take.
    """

    def __init__(self, client: Any, model: str, *, streaming: bool, memory: NamedMemory | None) -> None:
        self.client = client
        self.model = model
        self.streaming = streaming
        self.memory = memory
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.data: dict[str, npt.NDArray[np.float32]] = {}

    def run(self) -> list[Any]:
        """Measure; return the answers."""
        shapes = self.model_told()
        self.statistics()
        self.unregister_all()
        for output in self.declared_outputs:
            self.outputs.append(triton.InferRequestedOutput(output))
            if self.memory is not None:
                self.register(output, bytes(OUTPUT_BYTES))
                self.outputs[-1].set_shared_memory(output, OUTPUT_BYTES)
        for name, (shape, datatype) in shapes.items():
            self.add_input(name, shape, datatype)
        before = self.statistics()
        answers = self.stream() if self.streaming else [self.infer() for _ in range(REQUESTS)]
        grown = {name: count - before[name] for name, count in self.statistics().items()}
        assert grown == dict.fromkeys(grown, REQUESTS)
        self.unregister_all()
        return answers

    def model_told(self) -> dict[str, tuple[Sequence[int], str]]:
        """Ask for the model; return shape and datatype of each input."""
        metadata = self.client.get_model_metadata(self.model)
        config = self.client.get_model_config(self.model).config
        extensions = self.client.get_server_metadata().extensions
        assert "statistics" in extensions
        assert ("system_shared_memory" in extensions) == (self.memory is not None)
        assert metadata.versions == ["1"]
        assert config.max_batch_size == 0, "or it takes the first axis off the shapes"
        assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
        assert not config.model_transaction_policy.decoupled
        assert [one.name for one in metadata.inputs] == [one.name for one in config.input]
        assert [one.name for one in metadata.outputs] == [one.name for one in config.output]
        self.declared_outputs = [one.name for one in metadata.outputs]
        given = {"template": TEMPLATES.get(self.model, SHAPE), "search": SEARCH}
        for one in metadata.inputs:
            assert list(one.shape) == [-1] * len(given[one.name]), "as many axes as --shape gives"
        return {one.name: (given[one.name], one.datatype) for one in metadata.inputs}

    def add_input(self, name: str, shape: Sequence[int], datatype: str) -> None:
        """Make an input of random numbers."""
        array = np.random.default_rng(len(self.inputs)).random(shape).astype(triton_to_np_dtype(datatype))
        asked = triton.InferInput(name, shape, datatype)
        self.data[name] = array
        self.inputs.append(asked)
        if self.memory is None:
            asked.set_data_from_numpy(array)
        else:
            self.register(f"{name}_0_0", array.tobytes())
            asked.set_shared_memory(f"{name}_0_0", array.nbytes)

    def register(self, region: str, content: bytes) -> None:
        """Share memory that is called as its region is."""
        assert self.memory is not None
        self.client.register_system_shared_memory(region, self.memory.make(region, content), len(content))

    def unregister_all(self) -> None:
        """Make sure that no region is there; how that goes is nothing to it."""
        self.client.unregister_system_shared_memory()
        self.client.unregister_cuda_shared_memory()

    def statistics(self) -> dict[str, int]:
        """Return the counters that have to grow."""
        (told,) = self.client.get_inference_statistics(self.model).model_stats
        assert told.name == self.model
        assert int(told.version) == 1
        steps = told.inference_stats
        return {
            "inference": told.inference_count,
            "execution": told.execution_count,
            "success": steps.success.count,
            "queue": steps.queue.count,
            "input": steps.compute_input.count,
            "infer": steps.compute_infer.count,
            "output": steps.compute_output.count,
        }

    def infer(self) -> Any:
        """Ask once."""
        return self.client.infer(
            self.model,
            self.inputs,
            outputs=self.outputs,
            request_id="7",
            parameters=PARAMETERS.get(self.model),
            client_timeout=PATIENCE_S,
        )

    def stream(self) -> list[Any]:
        """Ask on a stream, one request at a time."""
        told: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.client.start_stream(lambda result, error: told.put((result, error)))
        answers = []
        for _ in range(REQUESTS):
            self.client.async_stream_infer(
                self.model,
                self.inputs,
                outputs=self.outputs,
                request_id="7",
                enable_empty_final_response=True,
                parameters=PARAMETERS.get(self.model),
            )
            result, error = told.get(timeout=PATIENCE_S)
            assert error is None
            assert result.get_response().parameters["triton_final_response"].bool_param
            answers.append(result)
        self.client.stop_stream()
        return answers


@contextmanager
def connected(memory: NamedMemory | None) -> Iterator[Any]:
    """Start a server, and Triton's client."""
    prefixes = () if memory is None else (memory.prefix,)
    with serving(system_memory_prefixes=prefixes) as server:
        with triton.InferenceServerClient(server.address) as client:
            yield client
        if memory is not None:
            assert open_memory_files(memory.prefix) == []


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("sharing", [False, True])
@pytest.mark.parametrize("model", KINDS)
def test_every_kind_can_be_measured(model: str, *, sharing: bool, streaming: bool) -> None:
    if sharing and sys.platform != "linux":
        pytest.skip("only Linux has named memory in /dev/shm")
    with ExitStack() as stack:
        memory = stack.enter_context(NamedMemory()) if sharing else None
        client = stack.enter_context(connected(memory))
        analyzer = Analyzer(client, model, streaming=streaming, memory=memory)
        answers = analyzer.run()
        plain = Analyzer(client, model, streaming=False, memory=None)
        plain.outputs = [triton.InferRequestedOutput("response")]
        for name, array in analyzer.data.items():
            plain.add_input(name, array.shape, "FP32")
        expected = plain.infer().as_numpy("response")
        assert expected.std() > 0
        for answer in answers:
            message = answer.get_response()
            assert message.id == "7"
            assert len(message.raw_output_contents) == len(message.outputs) == 1, "or it ends with a crash"
            if memory is None:
                assert np.array_equal(answer.as_numpy("response"), expected)
            else:
                assert message.raw_output_contents[0] == b""
                written = path_of(memory.key("response")).read_bytes()[: expected.nbytes]
                assert written == expected.tobytes()


def test_an_output_region_that_is_too_small_is_an_error_that_it_can_tell() -> None:
    with NamedMemory() as memory, connected(memory) as client:
        analyzer = Analyzer(client, "naive", streaming=False, memory=memory)
        analyzer.run()
        analyzer.register("tight", bytes(195))
        for name, array in analyzer.data.items():
            analyzer.register(f"{name}_0_0", array.tobytes())
        analyzer.outputs[0].set_shared_memory("tight", 195)
        with pytest.raises(InferenceServerException, match="found 195 bytes in region 'tight'"):
            analyzer.infer()
        analyzer.unregister_all()
        (told,) = client.get_inference_statistics("naive").model_stats
        assert told.inference_stats.fail.count == 1
