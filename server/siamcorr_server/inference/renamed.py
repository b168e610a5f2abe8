"""Errors in the words of those who asked: a call's argument has another name than the input that it was."""

from __future__ import annotations

import re

from siamcorr.errors import InvalidArgument

__all__ = ["renamed"]


def renamed(error: Exception, old: str, new: str) -> Exception:
    """Return the error with ``old`` called ``new``, if it is about what was asked.

    >>> found = InvalidArgument.found("features", "3 axes", "4 axes")
    >>> print(renamed(found, "features", "search"))
    search: found 3 axes, expected 4 axes
    """
    if not isinstance(error, InvalidArgument):
        return error
    message = re.sub(rf"\b{old}\b", new, error.message)
    return InvalidArgument(message, field=new if error.field == old else error.field)
