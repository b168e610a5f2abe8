"""What is asked and answered on a stream of the protocol."""

from __future__ import annotations

from typing import Any

from siamcorr_server.inference.asked import Inference
from siamcorr_server.inference.v2 import open_inference_pb2 as pb
from siamcorr_server.status import status_of
from siamcorr_server.streams import Answer, Pending

__all__ = ["InferenceAsked"]


class InferenceAsked:
    """A request of a ModelStreamInfer call. Its id is its client's affair: many may have the same."""

    def __init__(self, inference: Inference, max_message_bytes: int) -> None:
        """Stand for ``inference``."""
        self._inference = inference
        self._max_message_bytes = max_message_bytes

    @property
    def id(self) -> int:
        """What no other in flight has."""
        return id(self)

    @property
    def timeout_s(self) -> float | None:
        """The request's timeout."""
        return self._inference.timeout_s

    def submit(self, deadline_s: float | None) -> Pending:
        """Start on it."""
        return self._inference.start(deadline_s)

    def answer(self, result: Any) -> Answer:
        """Return its ModelStreamInferResponse."""
        return self._inference.answer(result, self._max_message_bytes, wrapped=True)

    def refusal(self, error: Exception, request_id: str) -> bytes:
        """Return that with an error, and the id of its request."""
        text = status_of(self._inference.told(error), request_id).message
        response = pb.ModelInferResponse(id=self._inference.id)
        return pb.ModelStreamInferResponse(error_message=text, infer_response=response).SerializeToString()

    def close(self) -> None:
        """End the request."""
        self._inference.close()
