"""What the pictures are drawn with: axes, images, boxes and signs between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from siamcorr.geometry import Crop

INK, FAINT, WAITS = "#222222", "#777777", "#cfcfcf"
BLUE, ORANGE, GREEN, PINK = "#1f77b4", "#e07b00", "#2a7f62", "#c2407a"
HEAT, EDGES = "inferno", "RdBu_r"
TITLE: dict[str, Any] = {"fontsize": 9.5, "color": INK}


def canvas(
    rows: int,
    columns: int,
    size: tuple[float, float],
    widths: Sequence[float],
    *,
    heights: Sequence[float] | None = None,
    ticks: bool = False,
    gap: float = 0.02,
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its axes, bare ones unless they are to have ticks."""
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=size,
        width_ratios=widths,
        height_ratios=heights,
        squeeze=False,
    )
    figure.set_layout_engine("constrained", wspace=gap)
    for one in axes.flat:
        one.spines[:].set_visible(False)
        if ticks:
            one.spines["bottom"].set_visible(True)
            one.tick_params(labelsize=9, labelcolor=FAINT, length=0)
        else:
            one.set(xticks=[], yticks=[])
    return figure, [list(row) for row in axes]


def show(
    axes: Axes, pixels: Any, title: str = "", colours: str | None = None, *, centred: bool = False
) -> None:
    """Show an image (H, W, 3) BGR, or one channel (H, W) in ``colours``, centred around 0 or not."""
    if title:
        axes.set_title(title, **TITLE)
    if colours is None:
        axes.imshow(pixels[..., ::-1])
        return
    values = np.asarray(pixels, np.float32)
    most = float(np.abs(values).max()) if centred else None
    axes.imshow(values, colours, vmin=None if most is None else -most, vmax=most)


def outline(axes: Axes, box: Any, colour: str, *, dashed: bool = False) -> None:
    """Draw a box (x, y, w, h)."""
    x, y, w, h = box
    style = "--" if dashed else "-"
    axes.add_patch(Rectangle((x, y), w, h, fill=False, ec=colour, lw=1.8, ls=style))


def box_of(crop: Crop) -> tuple[int, int, int, int]:
    """Return a crop's square as a box."""
    return crop.left, crop.top, crop.side, crop.side


def frame_in(axes: Axes, colour: str) -> None:
    """Put a coloured frame around a picture."""
    axes.spines[:].set(visible=True, color=colour, linewidth=2)


def move(axes: Axes, cells: float) -> None:
    """Move what is shown by some cells to the right and down."""
    axes.set_xlim(*(limit - cells for limit in axes.get_xlim()))
    axes.set_ylim(*(limit - cells for limit in axes.get_ylim()))


def over(axes: Axes, text: str) -> None:
    """Write over a picture, without making room for it."""
    axes.text(0.5, 1.03, text, transform=axes.transAxes, ha="center", va="bottom", **TITLE).set_in_layout(
        False
    )


def between(figure: Figure, left: Axes, right: Axes, sign: str) -> None:
    """Write a sign between two pictures, once it is known where they are."""
    figure.draw_without_rendering()
    first, second = left.get_position(), right.get_position()
    figure.text(
        (first.x1 + second.x0) / 2, (first.y0 + first.y1) / 2, sign, ha="center", va="center", fontsize=15
    )


def hold(condition: bool, what: str = "the picture would not be true") -> None:
    """Refuse to draw what does not hold."""
    if not condition:
        raise RuntimeError(what)
