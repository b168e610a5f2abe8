"""Requests that break the protocol's rules: each is told where, what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb  # type: ignore[import-untyped]

from servers import RunningServer

Z = np.ones((1, 2, 1, 1), np.float32)
X = np.ones((1, 2, 3, 3), np.float32)

Change = Callable[[Any], None]


def request(model: str = "naive") -> Any:
    """Return a request that is fine."""
    made = pb.ModelInferRequest(model_name=model, id="7")
    for name, array in (("template", Z), ("search", X)):
        made.inputs.add(name=name, datatype="FP32", shape=array.shape)
        made.raw_input_contents.append(array.tobytes())
    return made


def typed() -> Any:
    """Return the same with its elements listed."""
    made = request()
    del made.raw_input_contents[:]
    for tensor, array in zip(made.inputs, (Z, X), strict=True):
        tensor.contents.fp32_contents.extend(array.reshape(-1))
    return made


def refused(stub: Any, asked: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(asked)
    error: Any = caught.value
    return error.code(), error.details()


def shape(*sizes: int, tensor: int = 1) -> Change:
    def change(asked: Any) -> None:
        asked.inputs[tensor].shape[:] = sizes

    return change


def datatype(name: str, tensor: int = 1) -> Change:
    return lambda asked: setattr(asked.inputs[tensor], "datatype", name)


def parameter(name: str, **value: Any) -> Change:
    return lambda asked: asked.parameters[name].CopyFrom(pb.InferParameter(**value))


def raw(*contents: bytes) -> Change:
    def change(asked: Any) -> None:
        asked.raw_input_contents[:] = contents

    return change


def added(name: str) -> Change:
    def change(asked: Any) -> None:
        asked.inputs.add(name=name, datatype="FP32", shape=[1])
        asked.raw_input_contents.append(bytes(4))

    return change


def wanted(*names: str, **parameters: Any) -> Change:
    def change(asked: Any) -> None:
        for name in names:
            output = asked.outputs.add(name=name)
            for key, value in parameters.items():
                output.parameters[key].CopyFrom(pb.InferParameter(**value))

    return change


def without(tensor: int) -> Change:
    def change(asked: Any) -> None:
        del asked.inputs[tensor]
        del asked.raw_input_contents[tensor]

    return change


def in_memory(asked: Any) -> None:
    asked.inputs[1].parameters["shared_memory_region"].string_param = "nowhere"
    asked.inputs[1].parameters["shared_memory_byte_size"].int64_param = X.nbytes
    del asked.raw_input_contents[1]


def typed_beside_raw(asked: Any) -> None:
    asked.inputs[1].contents.fp32_contents.extend([1.0])


def half_a_region(asked: Any) -> None:
    asked.inputs[1].parameters["shared_memory_region"].string_param = "nowhere"


REFUSALS: dict[str, tuple[Change, str]] = {
    "zero size": (shape(1, 2, 0, 3), "search.shape: found (1, 2, 0, 3), expected 1 to 8 axes"),
    "negative size": (shape(1, 2, -3, -3), "search.shape: found (1, 2, -3, -3), expected"),
    "no axes": (shape(), "search.shape: found (), expected"),
    "too many axes": (shape(*[1] * 9), "search.shape: found"),
    "bytes overflow": (
        shape(1 << 31, 1 << 31, 1 << 31, 1 << 31),
        f"search: found {X.nbytes} bytes, expected {4 << 124}: shape",
    ),
    "wrapped to nothing": (
        shape(1 << 30, 1 << 30, 1, 1),
        f"search: found {X.nbytes} bytes, expected {4 << 60}",
    ),
    "one too few": (shape(1, 2, 3, 2), "search: found 72 bytes, expected 48: shape (1, 2, 3, 2) of FP32"),
    "other datatype": (datatype("FP16"), "search: found 72 bytes, expected 36: shape (1, 2, 3, 3) of FP16"),
    "unknown datatype": (datatype("INT32"), "search.datatype: found 'INT32', expected FP32 or FP16 or BF16"),
    "no handle there": (datatype("BYTES"), "search.datatype: found 'BYTES'"),
    "missing contents": (raw(Z.tobytes()), "raw_input_contents: found 1 entries, expected more, the next"),
    "too many contents": (
        raw(Z.tobytes(), X.tobytes(), b""),
        "raw_input_contents: found 3 entries, expected 2: one for each input that is not in shared memory",
    ),
    "raw and typed": (typed_beside_raw, "search.contents: found elements beside raw_input_contents"),
    "twice": (added("search"), "inputs: found 'search' twice, expected each once"),
    "unknown input": (added("x"), "inputs: found 'x', expected one of template, search, image, box"),
    "no template": (without(0), "template: found none, expected handles, or numbers"),
    "no search": (without(1), "search: found neither search nor image, expected one of them"),
    "unknown output": (wanted("map"), "outputs: found 'map', expected one of response, peaks, map_to_frame"),
    "same output": (wanted("response", "response"), "outputs: found 'response' twice, expected each once"),
    "classification": (
        wanted("response", classification={"int64_param": 3}),
        "response.parameters: found 'classification', expected one of shared_memory_byte_size,",
    ),
    "no frame": (wanted("map_to_frame"), "outputs: found map_to_frame without a frame, expected"),
    "unknown parameter": (
        parameter("stripe", int64_param=1),
        "parameters: found 'stripe', expected one of bias,",
    ),
    "groups of naive": (
        parameter("groups", int64_param=1),
        "parameters: found 'groups', expected one of bias,",
    ),
    "no value": (parameter("gain"), "parameters.gain: found none, expected a value"),
    "gain of text": (parameter("gain", string_param="1"), "gain: found '1', expected a finite number"),
    "stride of nothing": (parameter("stride", int64_param=0), "stride: found 0, expected an integer from 1"),
    "padding of text": (parameter("padding", string_param="1x2"), "padding: found '1x2', expected"),
    "negative timeout": (parameter("timeout", int64_param=-1), "timeout: found -1, expected microseconds"),
    "timeout of text": (parameter("timeout", string_param="1"), "timeout: found '1', expected microseconds"),
    "another version": (
        lambda asked: setattr(asked, "model_version", "2"),
        "model_version: found '2', expected '1'",
    ),
    "unknown model": (
        lambda asked: setattr(asked, "model_name", "x"),
        "model_name: found 'x', expected one of",
    ),
    "unknown region": (in_memory, "shared_memory_region: found 'nowhere', expected a registered region"),
    "region of no size": (half_a_region, "shared_memory_byte_size: found None, expected a number of bytes"),
    "unknown map": (parameter("map_dtype", string_param="FP8"), "map_dtype: found 'FP8', expected"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_request_that_breaks_a_rule_is_told_which(case: str, stub: Any, server: RunningServer) -> None:
    change, begins = REFUSALS[case]
    asked = request()
    change(asked)
    code, said = refused(stub, asked)
    is_missing = "version" in case or case == "unknown model"
    assert code is (grpc.StatusCode.NOT_FOUND if is_missing else grpc.StatusCode.INVALID_ARGUMENT)
    assert said.startswith(begins), said
    server.until(lambda: server.engine.stats().bank.templates == 0)


BYTES_REFUSALS = {
    "cut in a length": (b"\x05\0\0", "template: found 3 bytes that end in element 0"),
    "cut in an element": (b"\x05\0\0\0abc", "template: found 7 bytes that end in element 0"),
    "a length past the end": (b"\xff\xff\xff\xffabc", "template: found 7 bytes that end in element 0"),
    "too long": (b"\x01\0\0\0ab", "template: found 1 bytes too many, expected 1 elements"),
    "no text": (b"\x02\0\0\0\xff\xfe", "template: found b'\\xff\\xfe', expected a handle, in UTF-8"),
    "an empty name": (b"\0\0\0\0", "template: found '', expected 1 to 64 printable characters"),
}


@pytest.mark.parametrize("case", BYTES_REFUSALS)
def test_malformed_handles_are_told(case: str, stub: Any) -> None:
    contents, begins = BYTES_REFUSALS[case]
    asked = request()
    datatype("BYTES", 0)(asked)
    shape(1, tensor=0)(asked)
    raw(contents, X.tobytes())(asked)
    code, said = refused(stub, asked)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said.startswith(begins), said


def test_a_request_without_fault_is_answered_with_its_id(stub: Any) -> None:
    for asked in (request(), typed()):
        asked.parameters["sequence_id"].int64_param = 3
        asked.parameters["priority"].uint64_param = 1
        answer = stub.ModelInfer(asked)
        assert (answer.model_name, answer.model_version, answer.id) == ("naive", "1", "7")
        (output,) = answer.outputs
        assert (output.name, output.datatype, list(output.shape)) == ("response", "FP32", [1, 1, 3, 3])
        assert answer.raw_output_contents == [np.full(9, 2, "<f4").tobytes()]


@pytest.mark.parametrize(
    ("name", "elements", "begins"),
    [
        ("fp32_contents", 5, "search: found 5 elements, expected 18: shape (1, 2, 3, 3)"),
        ("fp64_contents", 18, "search: found fp64_contents for FP32, expected fp32_contents alone"),
    ],
)
def test_listed_elements_are_held_to_datatype_and_shape(
    name: str, elements: int, begins: str, stub: Any
) -> None:
    asked = typed()
    asked.inputs[1].ClearField("contents")
    getattr(asked.inputs[1].contents, name).extend([1.0] * elements)
    assert refused(stub, asked)[1].startswith(begins)


def test_half_precision_comes_raw_only(stub: Any) -> None:
    asked = typed()
    asked.inputs[1].datatype = "FP16"
    assert refused(stub, asked)[1] == "search: found FP16 in contents, expected FP16 in raw_input_contents"


def test_bytes_that_are_no_request_are_refused(server: RunningServer) -> None:
    whole = request().SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for data in (whole[:-1], b"\x0b", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x0a\x01\xff"):
            with pytest.raises(grpc.RpcError) as caught:
                call(data)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert error.details().startswith("message: found ")


def test_raw_contents_may_stand_anywhere_in_a_message(server: RunningServer) -> None:
    asked = request()
    contents = pb.ModelInferRequest(raw_input_contents=asked.raw_input_contents)
    del asked.raw_input_contents[:]
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = call(contents.SerializeToString() + asked.SerializeToString())
    assert pb.ModelInferResponse.FromString(answer).id == "7"
