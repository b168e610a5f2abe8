"""Values on the command line: readers that say what they found and what they expected."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

__all__ = ["address", "count", "number", "shape"]

_MOST_PORT = 65_535


def address(text: str) -> str:
    """Read a server's address; the client's own refusal of a wrong one calls it a target.

    >>> [address(text) for text in ("camera7:50051", "[::1]:1", "dns:///camera7:1", "unix:/run/siamcorr")]
    ['camera7:50051', '[::1]:1', 'dns:///camera7:1', 'unix:/run/siamcorr']
    """
    if text.startswith("unix"):
        return text
    host, _, port = text.rpartition(":")
    is_port = port.isdecimal() and len(port) <= len(str(_MOST_PORT)) and 1 <= int(port) <= _MOST_PORT
    if not (host and is_port) or host.startswith(("http:", "https:")):
        raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected HOST:PORT")
    return text


def count(least: int = 1, most: int = 1 << 20) -> Callable[[str], int]:
    """Return a reader of whole numbers in a range."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected a number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """Return a reader of numbers in a range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected {least:g} to {most:g}")
        return value

    return read


def shape(axes: int, least: int = 1) -> Callable[[str], tuple[int, ...]]:
    """Return a reader of so many lengths, with commas between them."""

    def read(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if len(parts) != axes or not all(part.isdecimal() and int(part) >= least for part in parts):
            raise argparse.ArgumentTypeError(
                f"found {text!r:.80}, expected {axes} numbers from {least}, with commas"
            )
        return tuple(int(part) for part in parts)

    return read
