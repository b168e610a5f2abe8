"""Models that make, renew and forget resident templates, so that a client needs no other protocol."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from siamcorr import Engine
from siamcorr.answers import Template, Timings
from siamcorr.calls import TemplateSource
from siamcorr.checks import create_call, handle_of, update_rate
from siamcorr.errors import InvalidArgument
from siamcorr_server.inference.asked import Checked, Result
from siamcorr_server.inference.declared import ANY, Declared, Spec
from siamcorr_server.inference.parameters import models_own
from siamcorr_server.inference.sources import (
    FEATURE_TYPES,
    FRAME,
    TEMPLATE,
    frame_of,
    handles_of,
)
from siamcorr_server.inference.tensors import Output, of_array, of_bytes
from siamcorr_server.interceptor import current_call
from siamcorr_server.streams import Pending

__all__ = ["TEMPLATE_MODELS", "CreateModel", "DeleteModel", "UpdateModel"]

_FEATURES = Spec("features", FEATURE_TYPES, (ANY, ANY, ANY))


class _TemplateModel:
    """What the models here have in common."""

    def __init__(self, engine: Engine) -> None:
        """Serve ``engine``."""
        self._engine = engine

    def told(self, error: Exception) -> Exception:
        """Return an error as it is."""
        return error


class CreateModel(_TemplateModel):
    """Makes a template of features, or one for each box of an image."""

    declared = Declared(
        "create_template", (_FEATURES,), (TEMPLATE,), more_inputs=FRAME, parameters=frozenset({"model"})
    )

    def start(self, asked: Checked, deadline_s: float | None) -> _Job:
        """Start on a request."""
        return _Job(self._engine.submit_create(_source(asked), deadline_s), _handles)


class UpdateModel(_TemplateModel):
    """Gives a template its next generation."""

    declared = Declared(
        "update_template",
        (TEMPLATE, _FEATURES),
        (Spec("generation", ("INT64",), (1,)),),
        more_inputs=FRAME,
        parameters=frozenset({"model", "rate"}),
    )

    def start(self, asked: Checked, deadline_s: float | None) -> _Job:
        """Start on a request."""
        (handle,) = _named(asked, most=1)
        rate: Any = asked.options.get("rate", 1.0)
        future = self._engine.submit_update(handle, _source(asked), update_rate(rate), deadline_s)
        return _Job(future, _generation)


class DeleteModel(_TemplateModel):
    """Forgets templates, and answers with their handles."""

    declared = Declared("delete_template", (TEMPLATE,), (TEMPLATE,))

    def start(self, asked: Checked, _: float | None) -> _Job:
        """Do it: nothing is computed."""
        templates = [self._engine.get_template(handle) for handle in dict.fromkeys(_named(asked))]
        for template in templates:  # each once: a handle that is there twice would fail half-way
            self._engine.delete_template(template)
        done: Future[list[Template]] = Future()
        done.set_result(templates)
        return _Job(done, _handles)


TEMPLATE_MODELS = (CreateModel, UpdateModel, DeleteModel)


@dataclass(frozen=True, slots=True)
class _Job:
    """Templates on their way."""

    pending: Pending
    write: Callable[[list[Template]], dict[str, Output]]

    def result(self, templates: list[Template]) -> Result:
        """Return the output."""
        count = len(templates)
        current_call().templates += count
        return Result(self.write(templates), count, Timings(batch_pairs=count))


def _handles(templates: list[Template]) -> dict[str, Output]:
    return {"template": of_bytes([template.handle.encode() for template in templates])}


def _generation(templates: list[Template]) -> dict[str, Output]:
    generations = np.array([template.generation for template in templates], np.int64)
    return {"generation": of_array([generations], generations.shape)}


def _source(asked: Checked) -> TemplateSource:
    features = cast("np.ndarray[Any, Any] | None", asked.inputs.get("features"))
    frame = frame_of(asked.inputs, models_own(asked.options))
    return create_call(features, image=frame["image"], boxes=frame["box"], model=frame["model"])


def _named(asked: Checked, most: int | None = None) -> list[str]:
    template = asked.inputs.get("template")
    handles = [] if template is None else handles_of(template)
    if not handles or len(handles) > (most or len(handles)):
        expected = "the handle of one template" if most == 1 else "the handles of templates"
        raise InvalidArgument.found("template", f"{len(handles)} handles", expected)
    return [handle_of(handle) for handle in handles]
