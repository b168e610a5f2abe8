"""Charts as SVG, plain enough to be read in the page's source.

A chart has a left and a bottom axis, rules across, and lines or bars. Colours are classes, ``s1`` to ``s5``,
which the page's style gives; each mark has its numbers as a tooltip.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["Axis", "Chart", "Line", "log_axis", "share_bar", "zero_axis"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 18, 26, 44


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows: from ``low`` to ``high``, with texts at ``ticks``, on a log scale or not."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, 0 to 1; what is outside lies at the end."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return min(max((value - low) / (high - low), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Line:
    """A line through (x, y) points. ``tips`` are the points' tooltips; ``hollow`` are drawn empty."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    tips: Sequence[str] = ()
    hollow: frozenset[int] = frozenset()
    is_joined: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over two axes; ``rules`` are (y, text) levels, ``marks`` (x, text) places, ``bands`` (x, x)."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    rules: Sequence[tuple[float, str]] = field(default=())
    marks: Sequence[tuple[float, str]] = field(default=())
    bands: Sequence[tuple[float, float]] = field(default=())
    width: int = 760
    height: int = 320

    def svg(self) -> str:
        """Return the chart."""
        parts = [*self._spans(), *self._axes()]
        for line in self.lines:
            parts.extend(self._line(line))
        return _svg(self.title, self.width, self.height, [*parts, *self._levels()])

    def bars_svg(self, values: Sequence[tuple[str, float, str]], style: str) -> str:
        """Return the axes with a bar for each (name below, height, tooltip), left to right."""
        parts = [*self._axes()]
        room, bottom = self.width - _LEFT - _RIGHT, self.height - _BOTTOM
        step = room / max(1, len(values))
        every = max(1, math.ceil(len(values) * 42 / room))  # names need 42 pixels each
        for number, (name, value, tip) in enumerate(values):
            x, y = _LEFT + (number + 0.12) * step, self._y(value)
            parts.append(_box(style, x, y, (0.76 * step, bottom - y), tip))
            if number % every == 0:
                parts.append(_text(x + 0.38 * step, bottom + 18, name, "tick", "middle"))
        return _svg(self.title, self.width, self.height, [*parts, *self._levels()])

    def _spans(self) -> Iterable[str]:
        for low, high in self.bands:
            x = self._x(low)
            size = f'width="{self._x(high) - x:.1f}" height="{self.height - _TOP - _BOTTOM}"'
            yield f'<rect class="band" x="{x:.1f}" y="{_TOP}" {size}/>'

    def _levels(self) -> Iterable[str]:
        for value, text in self.rules:
            y = self._y(value)
            yield _stroke("rule", _LEFT, y, self.width - _RIGHT, y)
            yield _text(_LEFT + 6, y - 6, text, "rule-text", "start")
        for value, text in self.marks:
            x = self._x(value)
            yield _stroke("mark", x, _TOP, x, self.height - _BOTTOM)
            yield _text(x, _TOP - 8, text, "mark-text", "middle")

    def _axes(self) -> Iterable[str]:
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        for value, text in self.y.ticks:
            y = self._y(value)
            yield _stroke("grid", _LEFT, y, right, y)
            yield _text(_LEFT - 8, y + 4, text, "tick", "end")
        for value, text in self.x.ticks:
            x = self._x(value)
            yield _stroke("grid faint", x, _TOP, x, bottom)
            yield _text(x, bottom + 18, text, "tick", "middle")
        yield _stroke("axis", _LEFT, bottom, right, bottom)
        yield _text((_LEFT + right) / 2, self.height - 6, self.x.label, "label", "middle")
        turned = f'transform="translate(12 {(_TOP + bottom) / 2:.0f}) rotate(-90)"'
        yield f'<text class="label" text-anchor="middle" {turned}>{html.escape(self.y.label)}</text>'

    def _line(self, line: Line) -> Iterable[str]:
        places = [(self._x(x), self._y(y)) for x, y in line.points]
        if line.is_joined and len(places) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            yield f'<polyline class="line {line.style}" points="{path}"/>'
        for number, ((x, y), tip) in enumerate(zip(places, line.tips, strict=False)):
            kind = "dot hollow" if number in line.hollow else "dot"
            yield f'<circle class="{kind} {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="4">{_tip(tip)}</circle>'

    def _x(self, value: float) -> float:
        return _LEFT + self.x.place(value) * (self.width - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return _TOP + (1 - self.y.place(value)) * (self.height - _TOP - _BOTTOM)


def share_bar(title: str, parts: Sequence[tuple[str, float, str]], width: int = 760) -> str:
    """Return one bar divided among (name, amount, tooltip), the first in style s1 and so on."""
    whole, start, drawn = sum(amount for _, amount, _ in parts), 0.0, []
    for number, (name, amount, tip) in enumerate(parts, start=1):
        size = width * amount / whole if whole else 0.0
        drawn.append(_box(f"s{number}", start, 0, (size, 44), tip))
        if size > 9 * len(name):
            drawn.append(_text(start + size / 2, 27, name, "on-bar", "middle"))
        start += size
    return _svg(title, width, 44, drawn)


def log_axis(label: str, values: Iterable[float], unit: float, texts: str) -> Axis:
    """Return a log axis around positive ``values``, ticked at 1, 2 and 5 times powers of ten of ``unit``."""
    known = [value for value in values if value > 0] or [unit]
    low, high = min(known) / 1.3, max(known) * 1.3
    exponents = range(math.floor(math.log10(low / unit)), math.ceil(math.log10(high / unit)) + 1)
    steps = (1, 2, 5) if len(exponents) < 5 else (1,)
    ticks = [unit * step * 10.0**exponent for exponent in exponents for step in steps]
    inside = [(tick, f"{tick / unit:g}{texts}") for tick in ticks if low <= tick <= high]
    return Axis(label, low, high, inside, is_log=True)


def zero_axis(label: str, values: Iterable[float], texts: str = "", ticks: int = 5) -> Axis:
    """Return an axis from 0 to beyond the greatest of ``values``, and round ticks above 0, few enough."""
    high = max([value for value in values if value > 0], default=1.0) * 1.08
    rough = high / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((one for one in (1, 2, 5, 10) if one * power >= rough), default=10)
    places = [number * step for number in range(math.floor(high / step) + 1)]
    return Axis(label, 0.0, high, [(place, f"{place:,.10g}{texts}") for place in places])


def _svg(title: str, width: int, height: int, parts: Iterable[str]) -> str:
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">'
    return "\n".join([head, *parts, "</svg>"])


def _stroke(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _box(style: str, x: float, y: float, size: tuple[float, float], tip: str) -> str:
    width, height = (max(one, 0.0) for one in size)
    size_text = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="bar {style}" x="{x:.1f}" y="{y:.1f}" {size_text} rx="2">{_tip(tip)}</rect>'


def _text(x: float, y: float, text: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _tip(text: str) -> str:
    return f"<title>{html.escape(text)}</title>"
