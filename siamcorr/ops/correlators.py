"""Correlators that were set up lately, so that a call with known shapes plans nothing anew."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from siamcorr.ops.correlator import CPU, Correlator
from siamcorr.ops.planner import forced_plan
from siamcorr.shapes import Correlation, Shape

__all__ = ["correlator_of"]


def correlator_of(
    correlation: Correlation,
    template_shape: Shape,
    search_shape: Shape,
    *,
    template_dtype: torch.dtype = torch.float32,
    search_dtype: torch.dtype = torch.float32,
    precision: str = "float32",
    one_search: bool = False,
    device: torch.device = CPU,
) -> Correlator:
    """Return the :class:`Correlator` without a head: the one that was made before, if it was lately.

    Raises:
        InvalidArgument: see :class:`Correlator`.
    """
    return _correlator(
        correlation,
        template_shape,
        search_shape,
        template_dtype=template_dtype,
        search_dtype=search_dtype,
        precision=precision,
        one_search=one_search,
        device=device,
        forced=forced_plan(),
    )


@lru_cache(maxsize=1024)
def _correlator(
    correlation: Correlation, template_shape: Shape, search_shape: Shape, *, forced: str, **settings: Any
) -> Correlator:
    """Make one: anew for each plan that is ``forced``."""
    return Correlator(correlation, template_shape, search_shape, **settings)
