"""Calls of which the like was checked and planned before: only handles and search features are new.

A tracker asks for the same from frame to frame. To check and plan all of it again took half of what reading a
request costs. So the calls that differ in nothing else are one :class:`~siamcorr.calls.Family`, as they are
in :mod:`siamcorr.wire.families`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from siamcorr.arguments import Array, as_name
from siamcorr.calls import CorrelateCall, Family, Features
from siamcorr.checks import correlate_call

__all__ = ["KnownCalls"]

_MAX_KNOWN = 1024  # at so many all are forgotten
_MAX_KEY_LENGTH = 1024


class KnownCalls:
    """Checks calls. For one thread.

    >>> import numpy as np
    >>> known, features = KnownCalls(), np.zeros((1, 4, 2, 2), np.float32)
    >>> first, second = (known.call([name], features, {"kind": "naive"}) for name in "ab")
    >>> first.templates, second.templates, first.family is second.family
    (('a',), ('b',), True)
    """

    def __init__(self) -> None:
        """Start without knowing any."""
        self._known: dict[tuple[object, ...], CorrelateCall] = {}

    def call(
        self, handles: Sequence[str], features: Array | None, options: Mapping[str, Any]
    ) -> CorrelateCall:
        """Return what :func:`~siamcorr.checks.correlate_call` makes of these.

        Raises:
            InvalidArgument: names the argument.
        """
        if features is None:
            return correlate_call(handles, **options)
        told = repr(options)  # 1, 1.0, True and -0.0 are not the same
        key = len(handles), features.shape, features.dtype, told
        known = self._known.get(key)
        if known is not None:
            templates = tuple(as_name(handle, "template") for handle in handles)
            regions = features if features.ndim == 4 else features[None]
            return replace(known, templates=templates, search=Features(regions))
        call = replace(correlate_call(handles, features=features, **options), family=Family())
        if len(told) <= _MAX_KEY_LENGTH:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = replace(call, search=Features(features[:0].copy()))
        return call
