"""What the commands run first: the base install has them, and not what they need."""

from __future__ import annotations

import sys

__all__ = ["main", "trax_main"]


def main() -> int:
    """Run siamcorr-eval, or say what it lacks; return the exit code."""
    try:
        from siamcorr_eval.__main__ import main as run  # noqa: PLC0415 - it may not be there to import
    except ModuleNotFoundError as error:
        print(f"siamcorr-eval needs {error.name}: pip install 'siamcorr[eval]'", file=sys.stderr)
        return 2
    return run()


def trax_main() -> int:
    """Run siamcorr-trax, or say what it lacks; return the exit code."""
    try:
        from siamcorr_eval.trax_entry import main as run  # noqa: PLC0415 - it may not be there to import
    except ModuleNotFoundError as error:
        needed = "vot-trax" if error.name in {"trax", "six"} else "'siamcorr[eval]'"
        print(f"siamcorr-trax needs {error.name}: pip install {needed}", file=sys.stderr)
        return 2
    return run()
