"""What a refusal must look like."""

from __future__ import annotations

import re
from typing import Any

import pytest

from siamcorr.errors import InvalidArgument

__all__ = ["refused"]


def refused(call: Any, *arguments: Any, **options: Any) -> InvalidArgument:
    """Make a call that must be refused, and return how: field, what was found, what was expected."""
    with pytest.raises(InvalidArgument) as caught:
        call(*arguments, **options)
    assert re.match(r"[^:]+: found .+, expected .+", str(caught.value), re.DOTALL)
    assert len(str(caught.value)) < 400, "a message is for people"
    return caught.value
