"""Models that correlate: one for each kind, and one for each hosted network.

Rules:
- Templates are handles, or features for one call alone. The latter are made, used and forgotten again,
  whatever becomes of the call: when its future is settled nothing keeps them but a launch that still runs.
- Answers have one axis more than siamcorr's own: pair by pair, so all pairs must have maps of one shape.
- Errors speak of the inputs here: what a call names ``features`` is ``search``, or a ``template`` of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from siamcorr import Engine
from siamcorr.answers import Response, Template
from siamcorr.arguments import MAX_PAIRS, Array
from siamcorr.calls import NETWORK
from siamcorr.checks import correlate_call, create_call
from siamcorr.embed.network import Network
from siamcorr.errors import InvalidArgument, TemplateNotFound
from siamcorr_server.inference.asked import Checked, Result
from siamcorr_server.inference.declared import ANY, Declared, Spec
from siamcorr_server.inference.known_calls import KnownCalls
from siamcorr_server.inference.parameters import models_own
from siamcorr_server.inference.renamed import renamed
from siamcorr_server.inference.sources import (
    BOX,
    FEATURE_TYPES,
    FRAME,
    IMAGE,
    TEMPLATE,
    frame_of,
    handles_of,
)
from siamcorr_server.inference.tensors import BYTES, Output, of_array
from siamcorr_server.interceptor import current_call
from siamcorr_server.streams import Pending

__all__ = ["KindModel", "NetworkModel"]

_PARAMETERS = frozenset(
    {
        *("tensor", "model", "padding", "stride", "dilation", "gain", "bias", "precision"),
        *("map_dtype", "top_k", "sum_channels"),
    }
)
_OWN_PARAMETERS = {"upchannel": {"k"}, "groupwise": {"groups"}, "grouped": {"groups"}}
_MAP_TO_FRAME = "map_to_frame"
_PEAK_NUMBERS = 5


class KindModel:
    """A kind of correlation."""

    def __init__(self, kind: str, engine: Engine) -> None:
        """Serve one of :data:`siamcorr.shapes.KINDS`."""
        self._kind, self._engine = kind, engine
        self._known = KnownCalls()
        self._axes = 4 if kind == "grouped" else 3
        features = (ANY,) * 4
        self.declared = Declared(
            kind,
            inputs=(
                Spec("template", (*FEATURE_TYPES, BYTES), features),
                Spec("search", FEATURE_TYPES, features),
            ),
            outputs=(Spec("response", ("FP32", "FP16"), features),),
            more_inputs=FRAME,
            more_outputs=("peaks", _MAP_TO_FRAME),
            parameters=_PARAMETERS | _OWN_PARAMETERS.get(kind, set()),
        )

    def start(self, asked: Checked, deadline_s: float | None) -> _Correlating:
        """Start on a request."""
        template = asked.inputs.get("template")
        if template is None:
            raise _no_template()
        submit = partial(self._submit, self._options(asked), asked.inputs.get("search"), deadline_s)
        if isinstance(template, list):
            return _Correlating(submit(handles_of(template)), asked.outputs)
        features = self._each(template)
        task = _with_templates(self._engine, features, submit, deadline_s)
        return _Correlating(asyncio.ensure_future(task), asked.outputs)

    def told(self, error: Exception) -> Exception:
        """Return an error in the words of the request."""
        return renamed(error, "features", "search")

    def _options(self, asked: Checked) -> dict[str, Any]:
        """Return a call's keywords, without templates and features."""
        options: dict[str, Any] = {"kind": self._kind} | models_own(asked.options)
        if "image" in asked.inputs or "box" in asked.inputs:
            options |= frame_of(asked.inputs, options)
        wants_map, wants_peaks = "response" in asked.outputs, "peaks" in asked.outputs
        options["output"] = "both" if wants_map and wants_peaks else "peaks" if wants_peaks else "map"
        return options

    def _submit(
        self, options: dict[str, Any], search: Any, deadline_s: float | None, handles: list[str]
    ) -> Future[list[Response]]:
        known = current_call()
        known.templates, known.kind = known.templates + len(handles), self._kind
        if "image" in options or "box" in options:
            call = correlate_call(handles, features=search, **options)
        else:
            call = self._known.call(handles, search, options)
        return self._engine.submit_correlate(call, deadline_s)

    def _each(self, features: Array) -> Sequence[Array]:
        """Return the features of each template."""
        if features.ndim not in (self._axes, self._axes + 1):
            expected = f"{self._axes} axes, or {self._axes + 1} for many templates"
            raise InvalidArgument.found("template", f"{features.ndim} axes {features.shape}", expected)
        each = features if features.ndim > self._axes else features[None]
        if len(each) > MAX_PAIRS:
            raise InvalidArgument.found("template", f"{len(each)} templates", f"at most {MAX_PAIRS}")
        return list(each)


class NetworkModel:
    """A whole hosted network: templates that it has made, on boxes of an image."""

    def __init__(self, name: str, network: Network, engine: Engine) -> None:
        """Serve a model of the engine that has a network."""
        self._name, self._engine = name, engine
        maps = (Spec(map_, ("FP32", "FP16"), (ANY, *shape)) for map_, shape in network.maps.items())
        self.declared = Declared(
            name,
            inputs=(TEMPLATE, IMAGE, BOX),
            outputs=(*maps, Spec(_MAP_TO_FRAME, ("FP32",), (ANY, 4))),
            parameters=frozenset({"map_dtype"}),
        )

    def start(self, asked: Checked, deadline_s: float | None) -> _Correlating:
        """Start on a request."""
        template = asked.inputs.get("template")
        if template is None:
            raise _no_template()
        options: dict[str, Any] = models_own(asked.options)
        options |= frame_of(asked.inputs, {"model": self._name})
        if options["image"] is None:
            raise InvalidArgument.found("image", "none", "UINT8 (H, W, 3) in BGR, or a JPEG or PNG file")
        call = correlate_call(handles_of(template), kind=NETWORK, **options)
        known = current_call()
        known.templates, known.kind = known.templates + len(call.templates), NETWORK
        return _Correlating(self._engine.submit_correlate(call, deadline_s), asked.outputs)

    def told(self, error: Exception) -> Exception:
        """Return an error as it is."""
        return error


@dataclass(frozen=True, slots=True)
class _Correlating:
    """A correlation that was started on."""

    pending: Pending
    wanted: Sequence[str]

    def result(self, responses: list[Response]) -> Result:
        """Return the outputs, pair by pair."""
        outputs = {name: _output(name, responses) for name in self.wanted}
        return Result(outputs, len(responses), responses[0].timings, responses)


def _output(name: str, responses: Sequence[Response]) -> Output:
    if name == "peaks":
        return _peaks(responses)
    if name == _MAP_TO_FRAME:
        return _places(responses)
    maps = [response.maps[name] if response.maps else response.map for response in responses]
    found = [one for one in maps if one is not None]
    shapes = {one.shape for one in found}
    if len(shapes) != 1:
        reason = f"response maps of {len(shapes)} shapes"
        raise InvalidArgument.found("template", reason, "templates that make maps of one shape")
    return of_array(found, (len(found), *found[0].shape))


def _peaks(responses: Sequence[Response]) -> Output:
    """Return (P, K, 5): row, col, score, psr and channel; NaN where a map has fewer peaks than another."""
    most = max(len(response.peaks) for response in responses)
    peaks = np.full((len(responses), most, _PEAK_NUMBERS), np.nan, np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        for mine, response in zip(peaks, responses, strict=True):
            for row, peak in zip(mine, response.peaks, strict=False):
                row[:] = peak.row, peak.col, peak.score, peak.psr, peak.channel
    return of_array([peaks], peaks.shape)


def _places(responses: Sequence[Response]) -> Output:
    """Return (P, 4): x0, y0, step_x and step_y."""
    places = [response.map_to_frame for response in responses]
    rows = [(place.x0, place.y0, place.step_x, place.step_y) for place in places if place is not None]
    if not rows:
        raise InvalidArgument.found("outputs", "map_to_frame without a frame", "it beside image and box")
    table = np.array(rows, np.float32)
    return of_array([table], table.shape)


async def _with_templates(
    engine: Engine,
    features: Sequence[Array],
    correlate: Callable[[list[str]], Future[list[Response]]],
    deadline_s: float | None,
) -> list[Response]:
    """Correlate with templates that are there for this call alone."""
    made: list[Future[list[Template]]] = []
    try:
        try:
            for one in features:
                made.append(engine.submit_create(create_call(one), deadline_s))  # noqa: PERF401 - kept so far
            handles = [(await asyncio.wrap_future(future))[0].handle for future in made]
        except InvalidArgument as error:
            raise renamed(error, "features", "template") from None
        return await asyncio.wrap_future(correlate(handles))
    finally:
        for future in made:
            future.cancel()
            future.add_done_callback(partial(_forget, engine))  # one may be about to be made, and too late


def _forget(engine: Engine, made: Future[list[Template]]) -> None:
    if made.cancelled() or made.exception() is not None:
        return
    for template in made.result():
        with suppress(TemplateNotFound):
            engine.delete_template(template)


def _no_template() -> InvalidArgument:
    return InvalidArgument.found("template", "none", "handles, or numbers")
