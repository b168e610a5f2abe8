"""What the command runs first: the base install has it, and not what it needs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run siamcorr-load, or say what it lacks; return the exit code."""
    try:
        from siamcorr_load.__main__ import main as run  # noqa: PLC0415 - it may not be there to import
    except ModuleNotFoundError as error:
        print(f"siamcorr-load needs {error.name}: pip install 'siamcorr[load]'", file=sys.stderr)
        return 2
    return run()
