"""Draw the pictures of concepts.md, of what the library itself computes: `python docs/concepts/draw.py`.

It needs what the demo needs, and matplotlib. Frames are the demo's own clip, features and crops those of the
model ``hog``, launches those that the batcher decides on, bytes those that the bank counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sheet import (
    BLUE,
    EDGES,
    FAINT,
    GREEN,
    HEAT,
    INK,
    ORANGE,
    TITLE,
    between,
    box_of,
    canvas,
    frame_in,
    hold,
    move,
    outline,
    over,
    show,
)
from timelines import batching, residency

from siamcorr import Engine, EngineSettings
from siamcorr.answers import Response
from siamcorr.embed.hog import Hog
from siamcorr.embed.transforms import transform_of
from siamcorr.geometry import Crop, search_crop, template_crop
from siamcorr.images import Pixels, channel_mean, cut
from siamcorr.ops import xcorr
from siamcorr_demo.clip import Clip

FIRST, LATER = 0, 9
"""The frames of the clip that are shown."""


@dataclass(frozen=True)
class Scene:
    """One toy of the clip: where it was first, where it is searched for, and what the library makes of that.

    ``template`` is (1, C, h, w), as it is stored; ``search`` (1, C, H, W).
    """

    before: Pixels
    after: Pixels
    box: npt.NDArray[np.float64]
    template_square: Crop
    search_square: Crop
    template_pixels: Pixels
    search_pixels: Pixels
    template: torch.Tensor
    search: torch.Tensor

    @classmethod
    def of(cls, toy: int) -> Scene:
        """Crop and embed."""
        clip = Clip(frames=LATER + 1)
        before, after, box = clip.image(FIRST), clip.image(LATER), clip.boxes(FIRST)[toy]
        squares = template_crop(box, Hog.crop), search_crop(box, Hog.crop)
        template_pixels = cut(before, squares[0], Hog.crop.template_px, channel_mean(before))
        search_pixels = cut(after, squares[1], Hog.crop.search_px, channel_mean(before))
        features = hog(template_pixels)
        template = transform_of(Hog.transform)(features, tuple(features.shape[1:]))
        return cls(before, after, box, *squares, template_pixels, search_pixels, template, hog(search_pixels))

    def response(self) -> Response:
        """Return what a caller gets who sends the two frames."""
        with Engine(EngineSettings(device="cpu")) as engine:
            template = engine.create_template(image=self.before, box=self.box)
            return engine.correlate(template, image=self.after, box=self.box, output="both")


def hog(pixels: Pixels) -> torch.Tensor:
    """Return the features (1, C, h, w) of a crop (S, S, 3)."""
    return Hog(torch.device("cpu"))(torch.from_numpy(pixels)[None])


def in_crop(square: Crop, point: tuple[float, float]) -> tuple[float, float]:
    """Return where a point (x, y) of the frame is in the resized search region."""
    scale = Hog.crop.search_px / square.side
    return (point[0] - square.left) * scale, (point[1] - square.top) * scale


def crops() -> Figure:
    """Box, context, crops, response map, and back to the frame."""
    scene = Scene.of(5)
    response = scene.response()
    figure, axes = canvas(1, 4, (13.2, 3.5), [1.42, 1, 1, 1.42])
    ((before, template, found, after),) = axes
    show(before, scene.before, "1  a frame and a box")
    outline(before, box_of(scene.template_square), BLUE)
    outline(before, scene.box, "white")
    show(template, scene.template_pixels, "2  template: the box with context,\nresized to 127 x 127")
    frame_in(template, BLUE)
    peak, place, heat = response.peak, response.map_to_frame, response.map
    if place is None or heat is None:
        raise RuntimeError("a frame was sent, and its map asked for")
    show(found, scene.search_pixels, "3  a later frame around the last box,\n255 x 255, and the response map")
    square, rows, cols = scene.search_square, *heat.shape[1:]
    left, top = in_crop(square, place.point(-0.5, -0.5))
    right, bottom = in_crop(square, place.point(rows - 0.5, cols - 0.5))
    found.imshow(heat[0], HEAT, extent=(left, right, bottom, top), alpha=0.6, interpolation="bicubic")
    found.plot(*in_crop(square, place.point(peak.row, peak.col)), "+", color="white", ms=13, mew=2)
    found.set(xlim=(-0.5, Hog.crop.search_px - 0.5), ylim=(Hog.crop.search_px - 0.5, -0.5))
    frame_in(found, ORANGE)
    show(after, scene.after, "4  the peak, back in the frame")
    outline(after, box_of(square), ORANGE)
    outline(after, scene.box, "white", dashed=True)
    x, y = place.point(peak.row, peak.col)
    w, h = scene.box[2:]
    outline(after, (x - (w - 1) / 2, y - (h - 1) / 2, w, h), "white")
    return figure


def correlation() -> Figure:
    """Depthwise keeps a map for each channel; naive adds them up."""
    scene = Scene.of(5)
    depthwise = xcorr(scene.template, scene.search, "depthwise")[0]
    naive = xcorr(scene.template, scene.search, "naive")[0, 0]
    hold(torch.allclose(depthwise.sum(0), naive, atol=1e-5))
    strongest = depthwise.amax((1, 2)).argsort(descending=True)[[0, 2, 5]].tolist()
    channels, rows, cols = scene.template.shape[1:]
    top, left = divmod(int(naive.argmax()), naive.shape[1])
    figure, axes = canvas(3, 4, (10.5, 7.2), [1, 1, 1, 1.35], gap=0.12)
    for (template, search, response, _), channel in zip(axes, strongest, strict=True):
        show(template, scene.template[0, channel], colours=EDGES, centred=True)
        show(search, scene.search[0, channel], colours=EDGES, centred=True)
        show(response, depthwise[channel], colours=HEAT)
        outline(search, (left - 0.5, top - 0.5, cols, rows), INK)
        template.set(xlim=search.get_xlim(), ylim=search.get_ylim())  # cells of one size
        move(template, (search.get_xlim()[1] + 0.5 - cols) / 2)
        template.set_ylabel(f"channel {channel}", fontsize=9, color=FAINT)
        between(figure, template, search, "*")
        between(figure, search, response, "=")
    axes[0][0].set_title(f"template\n({channels}, {rows}, {cols})", **TITLE)
    axes[0][1].set_title(f"search region\n{tuple(scene.search.shape[1:])}", **TITLE)
    axes[0][2].set_title(f"depthwise: a map a channel\n{tuple(depthwise.shape)}", **TITLE)
    for row in (0, 2):
        axes[row][3].set_axis_off()
    show(axes[1][3], naive, colours=HEAT)
    over(axes[1][3], f"naive: all {channels} added up\n(1, {naive.shape[0]}, {naive.shape[1]})")
    between(figure, axes[1][2], axes[1][3], "\N{N-ARY SUMMATION}")
    return figure


def trick() -> Figure:
    """A batch of different templates in one grouped convolution."""
    scenes, channels = [Scene.of(toy) for toy in (5, 7, 6)], [3, 12, 18]
    colours = (BLUE, ORANGE, GREEN)
    template = torch.cat([scene.template[:, channels] for scene in scenes])
    search = torch.cat([scene.search[:, channels] for scene in scenes])
    batch, depth = template.shape[:2]
    one = torch.nn.functional.conv2d(
        search.reshape(1, batch * depth, *search.shape[2:]),
        template.reshape(batch * depth, 1, *template.shape[2:]),
        groups=batch * depth,
    )
    response = one.reshape(batch, depth, *one.shape[2:])
    hold(torch.allclose(response, xcorr(template, search, "depthwise"), atol=1e-5))
    figure, axes = canvas(3, batch * depth, (11.5, 4.1), [1] * (batch * depth))
    strips = (
        (
            f"templates as one weight\n({batch * depth}, 1, {template.shape[2]}, {template.shape[3]})",
            template,
            EDGES,
        ),
        (f"search regions as one\n(1, {batch * depth}, {search.shape[2]}, {search.shape[3]})", search, EDGES),
        (f"one conv2d, groups={batch * depth}\n{tuple(one.shape)}", response, HEAT),
    )
    for row, (label, tensor, map_) in zip(axes, strips, strict=True):
        for column, tile in enumerate(row):
            sample, channel = divmod(column, depth)
            show(tile, tensor[sample, channel], colours=map_, centred=map_ == EDGES)
            frame_in(tile, colours[sample])
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    for sample in range(batch):
        middle = axes[0][sample * depth + depth // 2]
        middle.set_title(f"pair {sample}", fontsize=10, color=colours[sample], pad=8)
    return figure


PICTURES: Mapping[str, Callable[[], Figure]] = {
    "crops.jpg": crops,  # a PNG of so much noise is five times as large
    "correlation.png": correlation,
    "trick.png": trick,
    "batching.png": batching,
    "residency.png": residency,
}


def main(folder: Path) -> None:
    """Draw all pictures into ``folder``."""
    for name, draw in PICTURES.items():
        figure = draw()
        figure.savefig(folder / name, dpi=110, facecolor="white")
        plt.close(figure)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
