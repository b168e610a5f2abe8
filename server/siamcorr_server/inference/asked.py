"""One inference request: read and checked against what its model declares, and answered.

Rules:
- What is wrong with a request is told with the field, what was found and what was expected.
- Inputs in shared memory are copied out as they are read: what was checked is what is computed. Outputs there
  are held from then on until the answer is written, or the request given up.
- Nothing is written to shared memory before the whole answer is known to fit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from siamcorr.answers import Response, Timings
from siamcorr.wire.envelope import size_bytes, varint
from siamcorr_server.inference.declared import Declared, check_version
from siamcorr_server.inference.inputs import hold_outputs, read_inputs
from siamcorr_server.inference.messages import open_request, seal_response
from siamcorr_server.inference.parameters import (
    EMPTY_FINAL,
    Parameter,
    Place,
    as_options,
    timeout_of,
)
from siamcorr_server.inference.regions import Regions, Use
from siamcorr_server.inference.statistics import VERSION, Statistics
from siamcorr_server.inference.tensors import Output, Value
from siamcorr_server.inference.v2 import open_inference_pb2 as pb
from siamcorr_server.messages import join
from siamcorr_server.streams import Answer, Pending

_STREAMED_TAG = bytes([pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER << 3 | 2])

__all__ = ["Checked", "Finder", "Hosted", "Inference", "Job", "Result"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a model is asked: its inputs, its options, and the names of the outputs to give, in order."""

    inputs: dict[str, Value]
    options: dict[str, Parameter]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a model answers: the outputs that it was asked for by name, and how many pairs that took."""

    outputs: dict[str, Output]
    pairs: int
    timings: Timings
    responses: Sequence[Response] = ()


class Job(Protocol):
    """A request that a model has started on."""

    @property
    def pending(self) -> Pending:
        """What it waits for."""

    def result(self, outcome: Any) -> Result:
        """Return the answer, made of what ``pending`` came to."""


class Hosted(Protocol):
    """A model."""

    @property
    def declared(self) -> Declared:
        """What it takes and gives."""

    def start(self, asked: Checked, deadline_s: float | None) -> Job:
        """Start on a request.

        Raises:
            SiamcorrError: it is refused.
        """

    def told(self, error: Exception) -> Exception:
        """Return an error in the words of the request."""


class Finder(Protocol):
    """Finds models."""

    def find(self, name: str, field: str = "model_name") -> Hosted:
        """Return the model of that name.

        Raises:
            ModelNotFound: names ``field``.
        """


class Inference:
    """A ModelInferRequest on its way; :meth:`close` ends it."""

    def __init__(self, data: bytes, models: Finder, regions: Regions, statistics: Statistics) -> None:
        """Read the message, and check nothing that is in it.

        Raises:
            InvalidArgument: it is none.
        """
        self._began_s = time.monotonic()
        self._head, self._raw = open_request(data)
        self._models, self._regions, self._statistics = models, regions, statistics
        self._held = ExitStack()
        self._uses: dict[str, tuple[Place, Use]] = {}
        self._model: Hosted | None = None
        self._read_s = 0.0
        self._is_counted = False

    @property
    def id(self) -> str:
        """The id that its answer has too."""
        return self._head.id

    @property
    def timeout_s(self) -> float | None:
        """How long it may take, in seconds."""
        return timeout_of(self._head.parameters)

    def start(self, deadline_s: float | None) -> Pending:
        """Check it and start on it.

        Raises:
            SiamcorrError: it is refused.
        """
        head = self._head
        model = self._models.find(head.model_name)
        self._model = model
        check_version(head.model_version, "model_version")
        declared = model.declared
        self._outputs, self._uses = hold_outputs(head, declared, self._regions, self._held)
        options = as_options(head.parameters, declared.parameters)
        inputs = read_inputs(head, self._raw, declared, self._regions)
        self._raw = []
        self._read_s = time.monotonic() - self._began_s
        self._job = model.start(Checked(inputs, options, self._outputs), deadline_s)
        return self._job.pending

    def answer(self, outcome: Any, max_bytes: int, *, wrapped: bool = False) -> Answer:
        """Return the answer, made of what the pending came to; ``wrapped``: as a stream's message.

        Raises:
            SiamcorrError: there is none. It is not written to shared memory either.
        """
        since_s = time.monotonic()
        result = self._job.result(outcome)
        for name, (_, use) in self._uses.items():
            use.check(size_bytes(result.outputs[name].parts))
        raw = [() if name in self._uses else result.outputs[name].parts for name in self._outputs]
        parts = seal_response(self._message(result), raw)
        if wrapped:
            parts = [_STREAMED_TAG, varint(size_bytes(parts)), *parts]
        data = join(parts, max_bytes)
        for name, (_, use) in self._uses.items():
            use.write(b"".join(result.outputs[name].parts))
        self._count(result, since_s)
        return Answer(data, result.responses)

    def told(self, error: Exception) -> Exception:
        """Return an error in the words of the request."""
        return error if self._model is None else self._model.told(error)

    def close(self) -> None:
        """Let go of shared memory; count a request that has no answer."""
        self._held.close()
        if self._model is not None and not self._is_counted:
            self._statistics.failed(self._head.model_name, time.monotonic() - self._began_s)
            self._is_counted = True

    def _count(self, result: Result, since_s: float) -> None:
        now_s, name = time.monotonic(), self._head.model_name
        total_s, write_s = now_s - self._began_s, now_s - since_s
        self._statistics.answered(
            name,
            result.timings,
            pairs=result.pairs,
            total_s=total_s,
            read_s=self._read_s,
            write_s=write_s,
        )
        self._is_counted = True

    def _message(self, result: Result) -> pb.ModelInferResponse:
        head = self._head
        message = pb.ModelInferResponse(model_name=head.model_name, model_version=VERSION, id=head.id)
        if EMPTY_FINAL in head.parameters:  # there is one answer, which is the last
            message.parameters["triton_final_response"].bool_param = True
        for name in self._outputs:
            output = result.outputs[name]
            told = message.outputs.add(name=name, datatype=output.datatype, shape=output.shape)
            if name in self._uses:
                place, _ = self._uses[name]
                told.parameters["shared_memory_region"].string_param = place.region
                told.parameters["shared_memory_offset"].int64_param = place.offset
                told.parameters["shared_memory_byte_size"].int64_param = size_bytes(output.parts)
        return message
