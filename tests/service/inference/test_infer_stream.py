"""Many requests on one stream: each answer, and each error, finds its request."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb  # type: ignore[import-untyped]
from tritonclient.grpc import service_pb2_grpc

from gates import PATIENCE_S, held
from servers import RunningServer, serving
from siamcorr_client import Client
from triton_client import given, handles

RNG = np.random.default_rng(4)
Z = RNG.standard_normal((4, 3, 3)).astype(np.float32)
X = RNG.standard_normal((8, 4, 6, 6)).astype(np.float32)


def message(id_: str, search: Any = X[0], template: Any = Z, model: str = "naive", **extra: Any) -> Any:
    """Return a request as Triton's client writes it."""
    request = pb.ModelInferRequest(model_name=model, id=id_, **extra)
    for tensor in (given("template", template), given("search", search)):
        request.inputs.append(tensor._get_tensor())
        request.raw_input_contents.append(tensor._get_content())
    return request


class Sent:
    """Requests that are sent one by one, while the stream stays open."""

    def __init__(self, stub: Any) -> None:
        self._queue: Queue[Any] = Queue()
        self.call = stub.ModelStreamInfer(iter(self._queue.get, None), timeout=PATIENCE_S)

    def send(self, *requests: Any) -> None:
        for request in requests:
            self._queue.put(request)

    def end(self) -> list[Any]:
        self._queue.put(None)
        return list(self.call)


@pytest.fixture
def sent(stub: Any) -> Iterator[Sent]:
    stream = Sent(stub)
    yield stream
    stream.end()


def test_answers_on_a_stream_are_those_of_calls(triton: Any, client: Client) -> None:
    template = client.create_template(Z)
    answers: Queue[Any] = Queue()
    triton.start_stream(lambda result, error: answers.put((result, error)))
    for n, search in enumerate(X):
        named = handles(template) if n % 2 else Z
        inputs = [given("template", named), given("search", search)]
        triton.async_stream_infer("naive", inputs, request_id=str(n))
    found = {}
    for _ in X:
        result, error = answers.get(timeout=PATIENCE_S)
        assert error is None
        found[int(result.get_response().id)] = result.as_numpy("response")[0]
    triton.stop_stream()
    for n, search in enumerate(X):
        ours = client.correlate(template, features=search, kind="naive").map
        np.testing.assert_array_equal(found[n], ours)


def test_an_error_has_its_requests_id_and_the_stream_goes_on(sent: Sent) -> None:
    sent.send(message("bad", X[0, :2]), message("worse", model="no_such"), message("", X[0]))
    sent.send(message("good"))
    answers = {answer.infer_response.id: answer for answer in sent.end()}
    assert answers["bad"].error_message == "template: found 4 channels, expected 2, as in search"
    assert answers["worse"].error_message.startswith("model_name: found 'no_such', expected one of naive,")
    assert answers[""].error_message == ""
    assert answers["good"].infer_response.outputs[0].shape == [1, 1, 4, 4]


def test_requests_in_flight_may_have_the_same_id(sent: Sent, server: RunningServer) -> None:
    with held(server.engine, server.gate):
        sent.send(*(message("same", search) for search in X))
        server.until(lambda: server.engine.stats().requests == 1 + len(X))
    answers = sent.end()
    assert [answer.infer_response.id for answer in answers] == ["same"] * len(X)
    assert len({answer.infer_response.raw_output_contents[0] for answer in answers}) == len(X)


def test_a_last_answer_is_told_to_those_who_ask(sent: Sent) -> None:
    asked = message("1")
    asked.parameters["triton_enable_empty_final_response"].bool_param = True
    sent.send(asked, message("2"))
    told = {answer.infer_response.id: answer.infer_response.parameters for answer in sent.end()}
    assert told["1"]["triton_final_response"].bool_param
    assert not told["2"]


@pytest.mark.parametrize("resident", [True, False], ids=["handle", "features"])
def test_a_request_is_answered_when_its_timeout_is_over(
    resident: bool, sent: Sent, server: RunningServer, client: Client
) -> None:
    asked = message("late", template=handles(client.create_template(Z)) if resident else Z)
    asked.parameters["timeout"].int64_param = 1
    before = server.engine.stats().bank.templates
    with held(server.engine, server.gate):
        sent.send(asked)
        answer = next(sent.call)
    assert answer.infer_response.id == "late"
    assert "timeout passed" in answer.error_message or "deadline passed" in answer.error_message
    server.until(lambda: server.engine.stats().requests == 0)
    assert server.engine.stats().bank.templates == before


def test_bytes_that_are_no_request_end_the_stream(server: RunningServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError, match="message: found 2 bytes"):
            list(call(iter([b"\x0a\x7f"])))


def test_a_stream_that_is_cancelled_leaves_nothing(stub: Any, server: RunningServer) -> None:
    before = server.engine.stats().bank.templates
    sent = Sent(stub)
    with held(server.engine, server.gate):
        sent.send(*(message(str(n)) for n in range(4)))
        server.until(lambda: server.engine.stats().requests == 5)
        sent.call.cancel()
        server.until(lambda: server.engine.stats().requests == 1)
    server.until(lambda: server.engine.stats().requests == 0)
    assert server.engine.stats().bank.templates == before
    sent.send(None)


def test_a_server_that_stops_ends_the_stream_after_its_answers() -> None:
    with serving() as server, grpc.insecure_channel(server.address) as channel:
        sent = Sent(service_pb2_grpc.GRPCInferenceServiceStub(channel))
        sent.send(message("1"))
        assert next(sent.call).infer_response.id == "1"
        stopping = server.start(server.server.drain(1.0))
        with pytest.raises(grpc.RpcError, match="shutting down"):
            next(sent.call)
        sent.send(None)
        stopping.result(PATIENCE_S)
