"""The settings of an engine. They import nothing heavy, so a command line can check them first."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from siamcorr.arguments import as_count, as_name
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, Shape, resolve

__all__ = ["DEFAULT_MODEL", "EngineSettings", "WarmShape"]

DEFAULT_MODEL = "hog"
"""The embedder of frames whose caller names none. It needs no weights."""

_MOST = 1 << 50
_SIZES = r"[1-9]\d{0,6}(?:x[1-9]\d{0,6}){2,3}"
_WARM = re.compile(rf"(?P<kind>\w+)(?:/(?P<groups>\d{{1,7}}))?:(?P<template>{_SIZES}):(?P<search>{_SIZES})")
_COUNTS = ("budget_bytes", "max_jobs", "max_bytes", "max_batch", "max_image_pixels", "max_multiply_adds")


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class WarmShape:
    """A correlation to do once before callers come: what its shapes need is set up then.

    Raises:
        InvalidArgument: names the setting, or the shape that does not fit.

    >>> WarmShape.parse("depthwise:256x7x7:256x31x31").template
    (256, 7, 7)
    >>> WarmShape.parse("groupwise/8:256x7x7:256x31x31").correlation.groups
    8
    """

    correlation: Correlation
    template: Shape
    search: Shape

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        resolve(self.correlation, self.template, self.search)

    @classmethod
    def parse(cls, text: str) -> WarmShape:
        """Read KIND:TEMPLATE:SEARCH, KIND being KIND/GROUPS for those that take groups."""
        found = _WARM.fullmatch(text)
        if found is None:
            expected = "KIND:CxHxW:CxHxW, as in depthwise:256x7x7:256x31x31"
            raise InvalidArgument.found("warm_shapes", repr(text)[:80], expected)
        groups = None if found["groups"] is None else int(found["groups"])
        template, search = (tuple(map(int, found[name].split("x"))) for name in ("template", "search"))
        return cls(Correlation(found["kind"], groups=groups), template, search)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What an engine may use, and what it refuses.

    Attributes:
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        models: models by name, each with its weights' file, or None if it needs none. Behind a name there may
            be a template transform, as in ``hog+ridge``.
        budget_bytes: what all templates may take on the device.
        prepared_bytes: what templates may take beside that, in the forms that they are computed in. They are
            made again when they are needed and not there; 0 keeps none.
        ttl_s: seconds after its last use when an idle template expires; None is never.
        evict: at the budget, ``refuse`` new templates, or drop the least recently used idle ones (``lru``).
        max_jobs: bound of the jobs that wait or run, for the device and for decoding each.
        max_bytes: bound of the bytes that they hold.
        max_batch: the most pairs in one launch, unless one call alone has more.
        max_image_pixels: bound of an image's width times height.
        max_multiply_adds: bound of one call's work, with that of networks on its crops. One CPU core does
            some ten thousand million a second, and what is launched cannot be stopped.
        check_finite: refuse features with NaN or infinity. It costs one reading pass over the response.
        decode_threads: threads that decode images and cut out crops.
        model_threads: threads that share the crops of a launch where a network runs on the CPU: all cores if
            nothing is said.
        warm_shapes: what :meth:`~siamcorr.Engine.warm_up` does beside using each model.

    Raises:
        InvalidArgument: names the setting.

    >>> EngineSettings(max_batch=0)
    Traceback (most recent call last):
        ...
    siamcorr.errors.InvalidArgument: max_batch: found 0, expected an integer from 1 to 1125899906842624
    """

    device: str = "auto"
    models: Mapping[str, str | None] = field(default_factory=lambda: {DEFAULT_MODEL: None})
    budget_bytes: int = 1 << 30
    prepared_bytes: int = 256 << 20
    ttl_s: float | None = 600.0
    evict: Literal["refuse", "lru"] = "refuse"
    max_jobs: int = 1024
    max_bytes: int = 256 << 20
    max_batch: int = 64
    max_image_pixels: int = 64_000_000
    max_multiply_adds: int = 200_000_000_000
    check_finite: bool = True
    decode_threads: int = 2
    model_threads: int = field(default_factory=_cores)
    warm_shapes: Sequence[WarmShape] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in _COUNTS:
            as_count(getattr(self, name), name, most=_MOST)
        if self.prepared_bytes != 0:
            as_count(self.prepared_bytes, "prepared_bytes", most=_MOST)
        for name in ("decode_threads", "model_threads"):
            as_count(getattr(self, name), name, most=256)
        if self.evict not in {"refuse", "lru"}:
            raise InvalidArgument.found("evict", repr(self.evict)[:80], "'refuse' or 'lru'")
        ttl_s = self.ttl_s
        if ttl_s is not None and (isinstance(ttl_s, bool) or not 0 < ttl_s < math.inf):
            raise InvalidArgument.found("ttl_s", repr(ttl_s)[:80], "seconds above 0, or None")
        for name in self.models:
            as_name(name, "models")
