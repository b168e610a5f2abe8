"""Observers: told of everything once, and of no harm to an answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pytest

from servers import Refusal, Stubs, serving
from siamcorr import Engine, EngineSettings
from siamcorr.calls import CorrelateCall
from siamcorr.checks import correlate_call
from siamcorr.errors import TemplateNotFound
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr_server.observers import Finished, Observers
from whole_messages import correlate_request

Z = np.ones((4, 3, 3), np.float32)
X = np.ones((4, 8, 8), np.float32)


class Notes:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.requests: list[Finished] = []
        self.launches: list[tuple[int, int]] = []

    def finished(self, request: Finished) -> None:
        self.requests.append(request)

    def launched(self, tasks: Sequence[object], outcomes: Sequence[object]) -> None:
        self.launches.append((len(tasks), len(outcomes)))


class Broken:
    """Fails whatever it is told."""

    def finished(self, _: Finished) -> None:
        raise ZeroDivisionError

    def launched(self, *_: object) -> None:
        raise ZeroDivisionError


def call_of(template: str) -> CorrelateCall:
    return correlate_call(template, features=X)


def test_a_call_that_is_answered_and_one_that_is_refused_are_told_once() -> None:
    notes = Notes()
    with serving(observers=[notes]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            template = stubs.create(Z)[0]
            stubs.correlate(template, features=X)
            Refusal.of(stubs.correlation.Correlate, correlate_request(call_of("t-unknown")))
    created, answered, refused = notes.requests
    assert created.method == "siamcorr.v1.TemplateService/CreateTemplate"
    assert created.timings is None
    assert answered.method == "siamcorr.v1.CorrelationService/Correlate"
    assert (answered.code, answered.pairs, answered.error) == (grpc.StatusCode.OK, 1, None)
    assert answered.timings is not None
    assert answered.timings.batch_pairs == 1
    assert answered.ended_s - answered.began_s >= answered.timings.compute_s
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert isinstance(refused.error, TemplateNotFound)
    assert refused.timings is None


def test_of_a_stream_each_request_is_told_and_the_stream_is_not() -> None:
    notes = Notes()
    with serving(observers=[notes]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            template = stubs.create(Z)[0]
            asked = [
                pb.CorrelateStreamRequest(id=id_, request=correlate_request(call_of(handle)))
                for id_, handle in enumerate([template.handle, "t-unknown", template.handle])
            ]
            metadata = (("x-request-id", "of-the-stream"),)
            answers = list(stubs.correlation.CorrelateStream(iter(asked), metadata=metadata))
    assert len(answers) == 3
    told = notes.requests[1:]
    assert sorted(request.code.name for request in told) == ["NOT_FOUND", "OK", "OK"]
    assert {request.request_id for request in told} == {"of-the-stream"}
    assert all(request.metadata["x-request-id"] == "of-the-stream" for request in told)


def test_a_stream_that_breaks_the_rules_is_told_of_as_a_whole() -> None:
    notes = Notes()
    with serving(observers=[notes]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            call: Any = stubs.channel.stream_stream("/siamcorr.v1.CorrelationService/CorrelateStream")
            with pytest.raises(grpc.RpcError):
                list(call(iter([b"\xff\xff"])))
    assert [request.code for request in notes.requests] == [grpc.StatusCode.INVALID_ARGUMENT]


def test_a_broken_observer_costs_no_answer_and_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    with caplog.at_level(logging.ERROR), serving(observers=[Broken(), notes]) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            stubs.create(Z)
    assert len(notes.requests) == 1
    assert "an observer of requests failed" in caplog.text


def test_every_launch_is_told_and_a_broken_observer_costs_no_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes = Notes()
    settings = EngineSettings(device="cpu", models={})
    with Engine(settings, on_launch=Observers([Broken(), notes]).launched) as engine:
        engine.correlate(engine.create_template(Z), features=X)
    with Engine(settings, on_launch=Broken().launched) as engine:
        engine.correlate(engine.create_template(Z), features=X)
    assert notes.launches == [(1, 1), (1, 1)]
    assert caplog.text.count("an observer of launches failed") == 4
