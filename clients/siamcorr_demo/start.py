"""What ``siamcorr-demo`` runs first: the base install has the command, and not what the demo needs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the demo, or say what it lacks; return the exit code."""
    try:
        from siamcorr_demo.__main__ import main as run  # noqa: PLC0415 - it may not be there to import
    except ModuleNotFoundError as error:
        print(f"siamcorr-demo needs {error.name}: pip install 'siamcorr[demo]'", file=sys.stderr)
        return 2
    return run()
