"""What is slow the first time, done before callers come: models are used once, and so are declared shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from siamcorr.blocking import BlockingCalls
from siamcorr.settings import WarmShape

__all__ = ["warm_up"]

_IMAGE = np.zeros((64, 64, 3), np.uint8)
_BOX = (16.0, 16.0, 32.0, 32.0)

_COMPUTED_TOGETHER = {"naive", "upchannel"}
"""Kinds of which many templates on one search region may be computed in a way of their own."""

_MANY = 32


def warm_up(calls: BlockingCalls, models: Mapping[str, str], shapes: Iterable[WarmShape]) -> None:
    """Make a template of each of ``models`` and ``shapes``, correlate it, and forget it.

    Kinds that may be computed together are correlated once more, as many templates in one call. ``models``
    tells the kind that each model is used with.
    """
    for model, kind in models.items():
        template = calls.create_template(image=_IMAGE, box=_BOX, model=model)
        try:
            calls.correlate(template, image=_IMAGE, box=_BOX, kind=kind)
        finally:
            calls.delete_template(template)
    for shape in shapes:
        template = calls.create_template(np.zeros(shape.template, np.float32))
        kind, groups = shape.correlation.kind, shape.correlation.groups
        features = np.zeros(shape.search, np.float32)
        try:
            calls.correlate(template, features=features, kind=kind, groups=groups)
            if kind in _COMPUTED_TOGETHER:
                calls.correlate([template] * _MANY, features=features, kind=kind, groups=groups)
        finally:
            calls.delete_template(template)
