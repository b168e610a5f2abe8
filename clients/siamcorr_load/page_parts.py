"""What the parts of a page are made of: cards, figures, tables and axes."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from siamcorr_load.page_chart import Axis, log_axis
from siamcorr_load.results import Distribution, Json

__all__ = ["by_nines", "facts", "legend", "ms_axis", "nines_axis", "section", "table", "tiles"]

_NINES = ((0.0, "0"), (50.0, "50 %"), (90.0, "90 %"), (99.0, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"))


def section(title: str, caption: str, *content: str) -> str:
    """Return a card with a title, a line that says what it shows, and content."""
    return "\n".join(
        [
            f"<section><h2>{html.escape(title)}</h2><p class='soft'>{html.escape(caption)}</p>",
            *content,
            "</section>",
        ]
    )


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Return the most important figures, (value, name) each, in large type."""
    each = (
        f'<div class="tile"><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>'
        for value, name in figures
    )
    return f'<div class="tiles">{"".join(each)}</div>'


def legend(*names: str) -> str:
    """Return what the colours s1, s2 and so on stand for."""
    each = (
        f'<span><i class="s{number}"></i>{html.escape(name)}</span>'
        for number, name in enumerate(names, start=1)
    )
    return f'<div class="legend">{"".join(each)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: frozenset[int] = frozenset()) -> str:
    """Return a table; the columns in ``words`` are aligned to the left, as the first always is."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="word"' if place in words else "" for place in range(len(cells)))
        return (
            "<tr>"
            + "".join(
                f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True)
            )
            + "</tr>"
        )

    body = "\n".join([line(head, "th") if head else "", *(line(row, "td") for row in rows)])
    return f'<div class="scroll"><table>{body}</table></div>'


def facts(title: str, caption: str, known: Mapping[str, Json]) -> str:
    """Return a card of what is known, by name."""
    rows = [(name.replace("_", " "), "-" if value is None else str(value)) for name, value in known.items()]
    return section(title, caption, table((), rows, words=frozenset({1})))


def ms_axis(label: str, seconds: Iterable[float]) -> Axis:
    """Return a log axis of times, ticked in milliseconds."""
    return log_axis(label, seconds, 1e-3, " ms")


def nines_axis(places: Sequence[float]) -> Axis:
    """Return an axis of percentiles by their number of nines, as far as the last of ``places``."""
    most = max(places, default=_nines(99.9))
    shown = [(_nines(percentile), text) for percentile, text in _NINES if _nines(percentile) <= most]
    return Axis("percentile of answers", 0, most, shown)


def _nines(percentile: float) -> float:
    return -math.log10(1 - percentile / 100)


def by_nines(times: Distribution) -> list[tuple[float, float]]:
    """Return a distribution's points, with the percentile as its number of nines, and the max at the end."""
    last = math.log10(max(times.count, 10))
    inside = [(_nines(percentile), seconds) for percentile, seconds in times.points if percentile < 100]
    return [*(point for point in inside if point[0] < last), (last, times.max_s)] if times.count else []
