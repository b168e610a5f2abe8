"""Numbers as people read them: three digits and a unit."""

from __future__ import annotations

__all__ = ["bytes_text", "change_text", "count_text", "share_text", "time_text", "value_text"]


def time_text(seconds: float) -> str:
    """Write a time.

    >>> [time_text(seconds) for seconds in (0, 0.00085, 0.0032, 0.09996, 0.25, 1.5)]
    ['0 ms', '850 µs', '3.20 ms', '100 ms', '250 ms', '1.50 s']
    """
    if seconds >= 0.9995:
        return f"{_three(seconds)} s"
    if 0 < seconds < 0.0009995:
        return f"{_three(seconds * 1e6)} µs"
    return f"{_three(seconds * 1e3)} ms" if seconds else "0 ms"


def count_text(count: float) -> str:
    """Write a count or a rate.

    >>> [count_text(count) for count in (7, 12.34, 999.6, 12345)]
    ['7', '12.3', '1,000', '12,345']
    """
    if count < 999.5 and count != int(count):
        return _three(count)
    return f"{count:,.0f}"


def share_text(share: float) -> str:
    """Write a share as percent, with more digits where it is all but whole. It is never rounded up to whole.

    >>> [share_text(share) for share in (0, 0.5, 0.9712, 0.99951, 0.9999999, 1)]
    ['0 %', '50.0 %', '97.1 %', '99.951 %', '99.999 %', '100 %']
    """
    if share in {0, 1}:
        return f"{share:.0%}".replace("%", " %")
    percent = 100 * share
    return f"{min(percent, 99.999):.3f} %" if percent > 99 else f"{percent:.1f} %"


def change_text(change: float) -> str:
    """Write a change.

    >>> change_text(0.2), change_text(-0.004), change_text(0)
    ('+20.0 %', '-0.4 %', '0.0 %')
    """
    return f"{100 * change:+.1f} %" if change else "0.0 %"


def value_text(name: str, value: float) -> str:
    """Write the value of a comparison's measure by its name.

    >>> value_text("latency p50", 0.002), value_text("on time", 0.5), value_text("answers a second", 1200)
    ('2.00 ms', '50.0 %', '1,200')
    """
    if "latency" in name:
        return time_text(value)
    return share_text(value) if name in {"on time", "answered"} else count_text(value)


def bytes_text(size: int | None) -> str:
    """Write a number of bytes, or that it is not known.

    >>> bytes_text(None), bytes_text(512), bytes_text(3 << 20)
    ('not known', '512 B', '3.00 MiB')
    """
    if size is None:
        return "not known"
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{_three(value)} {units[0]}"


def _three(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"
