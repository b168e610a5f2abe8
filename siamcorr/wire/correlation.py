"""Messages of the correlation service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame, Response, Timings
from siamcorr.arguments import FEATURE_DTYPES, Array
from siamcorr.calls import (
    NETWORK,
    CorrelateCall,
    CorrelateOptions,
    Features,
    HeadLike,
    MapDtype,
    OutputKind,
    Precision,
)
from siamcorr.checks import correlate_call
from siamcorr.errors import InvalidArgument
from siamcorr.peaks import Peak
from siamcorr.shapes import IntPair
from siamcorr.tensors import PayloadReader, PayloadWriter, dtype_code, dtype_name
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.envelope import Buffer, Parts, seal
from siamcorr.wire.parts import read_frame, write_frame

__all__ = [
    "read_correlate_request",
    "read_correlate_response",
    "seal_correlate_request",
    "seal_correlate_response",
]

_KIND_CODES: dict[str, pb.Kind] = {
    "naive": pb.KIND_NAIVE,
    "depthwise": pb.KIND_DEPTHWISE,
    "upchannel": pb.KIND_UPCHANNEL,
    "groupwise": pb.KIND_GROUPWISE,
    "pixelwise": pb.KIND_PIXELWISE,
    "grouped": pb.KIND_GROUPED,
    NETWORK: pb.KIND_NETWORK,
}
_KINDS = {code: kind for kind, code in _KIND_CODES.items()}

_OUTPUT_CODES: dict[OutputKind, pb.OutputKind] = {
    "map": pb.OUTPUT_KIND_MAP,
    "peaks": pb.OUTPUT_KIND_PEAKS,
    "both": pb.OUTPUT_KIND_BOTH,
}
_PRECISION_CODES: dict[Precision, pb.Precision] = {
    "float32": pb.PRECISION_FLOAT32,
    "bfloat16": pb.PRECISION_BFLOAT16,
}
_PRECISIONS = {code: name for name, code in _PRECISION_CODES.items()}
_OUTPUT_KINDS = {code: kind for kind, code in _OUTPUT_CODES.items()}
_MAP_DTYPES = ("float32", "float16")


def seal_correlate_request(call: CorrelateCall) -> Parts:
    """Return the bytes of the request for a call, to be joined."""
    request, writer = pb.CorrelateRequest(), PayloadWriter()
    request.templates.extend(call.templates)
    if isinstance(call.search, Features):
        writer.add(request.features, call.search.regions)
    else:
        write_frame(request.frame, call.search, writer)
    request.template_index.extend(call.template_index)
    request.search_index.extend(call.search_index)
    request.tensor_name = call.tensor
    _write_correlation(request.correlation, call)
    if call.bias is not None:
        writer.add(request.bias, call.bias)
    if call.head is not None:
        writer.add(request.head.weight, call.head.weight)
        if call.head.bias is not None:
            writer.add(request.head.bias, call.head.bias)
    request.output.kind = _OUTPUT_CODES[call.output.kind]
    request.output.map_dtype = dtype_code(call.output.map_dtype)
    request.output.top_k = call.output.top_k
    request.output.sum_channels = call.output.sum_channels
    return seal(request, writer.parts, padded=True)


def read_correlate_request(request: pb.CorrelateRequest, payload: Buffer) -> CorrelateCall:
    """Return the call that is asked for, of the two that :func:`~siamcorr.wire.envelope.unseal` gives.

    Raises:
        InvalidArgument: names the field.
    """
    reader = PayloadReader(payload)
    options: CorrelateOptions = _read_search(request, reader)
    options |= _read_correlation(request.correlation)
    options |= _read_output(request.output)
    options["tensor"] = request.tensor_name
    if request.template_index or request.search_index:
        options["pairs"] = (list(request.template_index), list(request.search_index))
    if request.HasField("bias"):
        options["bias"] = reader.read(request.bias, "bias", ("float32",))
    if request.HasField("head"):
        options["head"] = _read_head(request.head, reader)
    reader.finish()
    return correlate_call(list(request.templates), **options)


def seal_correlate_response(responses: Sequence[Response]) -> Parts:
    """Return the bytes of the message for one call's responses, to be joined."""
    message, writer = pb.CorrelateResponse(), PayloadWriter()
    for response in responses:
        result = message.results.add(template=response.template, generation=response.generation)
        if response.map is not None:
            writer.add(result.map, response.map)
        for name, named in response.maps.items():
            writer.add(result.maps.add(), named, name)
        for peak in response.peaks:
            result.peaks.add(row=peak.row, col=peak.col, score=peak.score, psr=peak.psr, channel=peak.channel)
        if (place := response.map_to_frame) is not None:
            view = result.map_to_frame
            view.x0, view.y0, view.step_x, view.step_y = place.x0, place.y0, place.step_x, place.step_y
    _write_timings(message.timings, responses[0].timings)
    return seal(message, writer.parts, padded=True)


def read_correlate_response(message: pb.CorrelateResponse, payload: Buffer) -> list[Response]:
    """Return one call's responses, of the two that :func:`~siamcorr.wire.envelope.unseal` gives.

    Raises:
        InvalidArgument: the message is malformed.
    """
    reader = PayloadReader(payload)
    timings = _read_timings(message.timings)
    responses = [_read_result(result, reader, timings) for result in message.results]
    reader.finish()
    return responses


def _write_correlation(message: pb.Correlation, call: CorrelateCall) -> None:
    if call.is_network:
        message.kind = pb.KIND_NETWORK
        return
    correlation = call.correlation
    message.kind = _KIND_CODES[correlation.kind]
    if correlation.groups is not None:
        message.groups = correlation.groups
    if correlation.k is not None:
        message.k = correlation.k
    message.padding.rows, message.padding.cols = correlation.padding
    message.stride.rows, message.stride.cols = correlation.stride
    message.dilation.rows, message.dilation.cols = correlation.dilation
    message.gain = call.gain
    message.precision = _PRECISION_CODES[call.precision]


def _read_correlation(message: pb.Correlation) -> CorrelateOptions:
    options = CorrelateOptions(
        kind=_KINDS.get(message.kind, f"code {message.kind}"),
        padding=_cells(message.padding) if message.HasField("padding") else 0,
        stride=_cells(message.stride) if message.HasField("stride") else 1,
        dilation=_cells(message.dilation) if message.HasField("dilation") else 1,
    )
    if message.HasField("groups"):
        options["groups"] = message.groups
    if message.HasField("k"):
        options["k"] = message.k
    if message.HasField("gain"):
        options["gain"] = message.gain
    if message.precision:
        if message.precision not in _PRECISIONS:
            expected = f"one of {', '.join(_PRECISION_CODES)}"
            raise InvalidArgument.found("precision", f"code {message.precision}", expected)
        options["precision"] = _PRECISIONS[message.precision]
    return options


def _cells(message: pb.Cells) -> IntPair:
    return message.rows, message.cols


def _read_search(request: pb.CorrelateRequest, reader: PayloadReader) -> CorrelateOptions:
    which = request.WhichOneof("search")
    if which == "features":
        features = reader.read(request.features, "features", FEATURE_DTYPES, aligned=False)
        return CorrelateOptions(features=features)
    if which == "frame":
        image, boxes, model = read_frame(request.frame, reader)
        return CorrelateOptions(image=image, box=boxes, model=model)
    return CorrelateOptions()


def _read_head(message: pb.Head, reader: PayloadReader) -> HeadLike:
    weight: Array = reader.read(message.weight, "head", ("float32",))
    if not message.HasField("bias"):
        return weight
    return weight, reader.read(message.bias, "head", ("float32",))


def _read_output(message: pb.Output) -> CorrelateOptions:
    options = CorrelateOptions(top_k=message.top_k or 1, sum_channels=message.sum_channels)
    if message.kind:
        if message.kind not in _OUTPUT_KINDS:
            raise InvalidArgument.found(
                "output", f"code {message.kind}", f"one of {', '.join(_OUTPUT_CODES)}"
            )
        options["output"] = _OUTPUT_KINDS[message.kind]
    if message.map_dtype:
        options["map_dtype"] = cast(MapDtype, dtype_name(message.map_dtype, "map_dtype", _MAP_DTYPES))
    return options


def _read_result(result: pb.Result, reader: PayloadReader, timings: Timings) -> Response:
    response_map: npt.NDArray[np.floating] | None = None
    if result.HasField("map"):
        response_map = reader.read(result.map, "map", _MAP_DTYPES)
    view = None
    if result.HasField("map_to_frame"):
        place = result.map_to_frame
        view = MapToFrame(place.x0, place.y0, place.step_x, place.step_y)
    return Response(
        template=result.template,
        generation=result.generation,
        map=response_map,
        peaks=_peaks(result) if result.peaks else (),
        map_to_frame=view,
        timings=timings,
        maps={tensor.name: reader.read(tensor, "maps", _MAP_DTYPES) for tensor in result.maps},
    )


def _peaks(result: pb.Result) -> tuple[Peak, ...]:
    return tuple(Peak(peak.row, peak.col, peak.score, peak.psr, peak.channel) for peak in result.peaks)


def _write_timings(message: pb.Timings, timings: Timings) -> None:
    message.prepare_s = timings.prepare_s
    message.queue_s = timings.queue_s
    message.embed_s = timings.embed_s
    message.compute_s = timings.compute_s
    message.copy_s = timings.copy_s
    message.batch_pairs = timings.batch_pairs
    message.plan = timings.plan
    message.compile_s = timings.compile_s


def _read_timings(message: pb.Timings) -> Timings:
    return Timings(
        prepare_s=message.prepare_s,
        queue_s=message.queue_s,
        embed_s=message.embed_s,
        compute_s=message.compute_s,
        copy_s=message.copy_s,
        batch_pairs=message.batch_pairs,
        plan=message.plan,
        compile_s=message.compile_s,
    )
