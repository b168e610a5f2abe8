"""What is counted of requests, and what is told of them to whoever looks on."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import numpy as np
import pytest

from servers import serving
from siamcorr_server.observers import Finished
from triton_client import connected, infer, refusal, response

Z = np.ones((2, 4, 3, 3), np.float32)
X = np.ones((1, 4, 6, 6), np.float32)


class Seen:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.requests: list[Finished] = []

    def finished(self, request: Finished) -> None:
        self.requests.append(request)

    def launched(self, tasks: Any, outcomes: Any) -> None:
        """Look away."""


def counted(triton: Any, model: str) -> Any:
    (told,) = triton.get_inference_statistics(model, "1").model_stats
    return told


def test_answers_and_failures_are_counted_apart(triton: Any) -> None:
    before = counted(triton, "naive")
    response(triton, "naive", Z, X)
    refusal(response, triton, "naive", Z, X[:, :2])
    after = counted(triton, "naive")
    assert after.inference_count == before.inference_count + len(Z)
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.fail.count == before.inference_stats.fail.count + 1


def test_models_of_templates_are_counted_too(triton: Any) -> None:
    made = infer(triton, "create_template", {"features": Z[0]}).as_numpy("template")
    infer(triton, "delete_template", {"template": made})
    for model in ("create_template", "delete_template"):
        told = counted(triton, model)
        assert told.inference_count == told.execution_count == told.inference_stats.success.count > 0


def test_statistics_of_all_models_come_without_a_name(triton: Any) -> None:
    told = triton.get_inference_statistics().model_stats
    models = triton.get_model_repository_index().models
    assert [one.name for one in told] == [model.name for model in models]


def test_observers_and_the_log_are_told_of_requests(caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen()
    with (
        caplog.at_level(logging.INFO, "siamcorr_server"),
        serving(observers=[seen]) as server,
        connected(server.address) as triton,
    ):
        response(triton, "naive", Z, X)
        refusal(response, triton, "naive", Z, X[:, :2])
    good, bad = seen.requests
    assert good.method == "inference.GRPCInferenceService/ModelInfer"
    assert (good.code, good.pairs) == (grpc.StatusCode.OK, len(Z))
    assert good.timings is not None
    assert (bad.code, bad.pairs) == (grpc.StatusCode.INVALID_ARGUMENT, 0)
    lines: list[Any] = [record for record in caplog.records if record.getMessage() == "call"]
    assert [line.fields["templates"] for line in lines] == [len(Z), len(Z)]
