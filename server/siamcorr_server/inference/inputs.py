"""The inputs of a request, and the outputs that it asks for, checked against what its model declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from siamcorr.errors import InvalidArgument
from siamcorr_server.inference.declared import Declared
from siamcorr_server.inference.parameters import Place, place_of
from siamcorr_server.inference.regions import Regions, Use
from siamcorr_server.inference.tensors import Value, read_raw, read_typed, shape_of
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

__all__ = ["hold_outputs", "read_inputs"]


def read_inputs(
    head: pb.ModelInferRequest, raw: Sequence[memoryview], declared: Declared, regions: Regions
) -> dict[str, Value]:
    """Return the inputs by name: views of ``raw``, copies of shared memory, or what is listed in ``head``.

    Raises:
        InvalidArgument: names the input, or ``raw_input_contents``.
    """
    inputs: dict[str, Value] = {}
    left = iter(raw)
    for message in head.inputs:
        if message.name in inputs:
            raise InvalidArgument.found("inputs", f"{message.name!r} twice", "each once")
        inputs[message.name] = _read(message, declared, regions, left if raw else None, len(raw))
    if surplus := len(list(left)):
        raise _other_count(len(raw), len(raw) - surplus)
    return inputs


def hold_outputs(
    head: pb.ModelInferRequest, declared: Declared, regions: Regions, held: ExitStack
) -> tuple[tuple[str, ...], dict[str, tuple[Place, Use]]]:
    """Return the names of the outputs to give, and the shared memory for some of them; ``held`` holds it.

    Raises:
        InvalidArgument: names ``outputs``, or the parameter of one.
    """
    names: dict[str, None] = {}
    uses: dict[str, tuple[Place, Use]] = {}
    for output in head.outputs:
        declared.check_output(output.name)
        if output.name in names:
            raise InvalidArgument.found("outputs", f"{output.name!r} twice", "each once")
        names[output.name] = None
        if (place := place_of(output.parameters, output.name)) is not None:
            use = regions.use(place.region, place.offset, place.byte_size)
            uses[output.name] = place, held.enter_context(use)
    return tuple(names) or tuple(spec.name for spec in declared.outputs), uses


def _read(
    message: pb.ModelInferRequest.InferInputTensor,
    declared: Declared,
    regions: Regions,
    raw: Iterator[memoryview] | None,
    raws: int,
) -> Value:
    name, datatype = message.name, message.datatype
    spec = declared.input(name)
    if datatype not in spec.datatypes:
        raise InvalidArgument.found(f"{name}.datatype", repr(datatype)[:80], " or ".join(spec.datatypes))
    shape, place = shape_of(message), place_of(message.parameters, name)
    is_typed = message.HasField("contents") and message.contents.ByteSize() > 0
    if is_typed and (raw is not None or place is not None):
        beside = "raw_input_contents" if place is None else "shared memory"
        raise InvalidArgument.found(f"{name}.contents", f"elements beside {beside}", "one of both")
    if place is not None:
        data = regions.read(place.region, place.offset, place.byte_size)
        return read_raw(name, datatype, shape, data)
    if raw is None:
        return read_typed(name, datatype, shape, message.contents)
    content = next(raw, None)
    if content is None:
        raise _other_count(raws, f"more, the next for {name}")
    return read_raw(name, datatype, shape, content)


def _other_count(found: int, expected: object) -> InvalidArgument:
    reason = f"{expected}: one for each input that is not in shared memory"
    return InvalidArgument.found("raw_input_contents", f"{found} entries", reason)
