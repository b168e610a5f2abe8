"""The resident templates, as the page lists them: those that match a filter, the last used first."""

from __future__ import annotations

import heapq
from typing import Any

from siamcorr import Engine
from siamcorr.answers import Template

__all__ = ["LOOKED_AT", "ROWS", "list_templates"]

ROWS = 50
"""How many templates a list has at most."""

LOOKED_AT = 10_000
"""How many templates are looked at for it: the oldest ones, by creation."""

_STEP_S = 5.0  # those used within it are as good as each other: else a list would never hold still
_PAGE = 500  # the bank is locked for as long as it describes so many


def list_templates(engine: Engine, text: str, skipped: int) -> dict[str, Any]:
    """Return up to :data:`ROWS` templates, the last used first, without the first ``skipped`` ones.

    Only those whose handle or model has ``text`` in it count. It takes time that grows with the number of
    templates, so it runs in a thread.
    """
    wanted, matching, looked_at, after = text.casefold(), [], 0, ""
    while looked_at < LOOKED_AT:
        page = engine.page(after, _PAGE)
        looked_at += len(page.templates)
        matching += [template for template in page.templates if _matches(template, wanted)]
        after = page.next
        if not after:
            break
    last_used = heapq.nsmallest(skipped + ROWS, matching, key=lambda one: one.idle_s // _STEP_S)
    return {
        "templates": [_row(template) for template in last_used[skipped:]],
        "matching": len(matching),
        "looked_at": looked_at,
        "is_all": not after,
    }


def _matches(template: Template, wanted: str) -> bool:
    return wanted in template.handle.casefold() or wanted in (template.model or "features").casefold()


def _row(template: Template) -> dict[str, Any]:
    return {
        "handle": template.handle,
        "generation": template.generation,
        "model": template.model,
        "tensors": [
            {"name": tensor.name, "dtype": tensor.dtype, "shape": tensor.shape} for tensor in template.tensors
        ],
        "bytes": template.size_bytes,
        "idle_s": round(template.idle_s, 1),
    }
