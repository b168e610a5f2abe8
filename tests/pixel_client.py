"""A client for trackers' tests: it correlates raw pixels, or answers with maps that a test makes up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame, Response, Template
from siamcorr.errors import QueueFull, TemplateEvicted
from siamcorr.geometry import CropSettings, maps_to_frame, search_crop, template_crop
from siamcorr.shapes import Correlation

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
MapMaker = Callable[[int], npt.NDArray[np.float32]]

CROP = CropSettings(template_px=31, search_px=47)
"""One pixel a cell, so that a map has 17 by 17 of them."""


class PixelClient:
    """Correlates grey pixels; or answers the n-th pair of a call with the map that ``maps(n)`` makes up."""

    def __init__(self, maps: MapMaker | None = None) -> None:
        self.templates: dict[str, Floats] = {}
        self.calls: list[dict[str, Any]] = []
        self.fail_next = False
        self._maps = maps
        self._made = 0

    def create_templates(
        self, *, image: Any, boxes: npt.ArrayLike, model: str | None = None
    ) -> list[Template]:
        self._fail_if_asked()
        made = []
        for box in np.asarray(boxes):
            handle = f"template-{self._made}"
            self._made += 1
            self.templates[handle] = np.zeros(0) if self._maps else pixels(image, box, "template")
            made.append(Template(handle, 1, (), model, 0, 0.0))
        return made

    def update_template(self, template: Template, *, image: Any, box: npt.ArrayLike, rate: float) -> Template:
        raise NotImplementedError("this client's templates stay as they are")

    def get_template(self, template: Template) -> Template:
        if template.handle not in self.templates:
            raise TemplateEvicted("it made room for another")
        return template

    def delete_template(self, template: Template) -> None:
        if self.templates.pop(template.handle, None) is None:
            raise TemplateEvicted("it made room for another")

    def correlate(self, template: Sequence[Template], **options: Any) -> list[Response]:
        self._fail_if_asked()
        self.calls.append(options)
        pairs = zip(*options["pairs"], strict=True)
        return [self._respond(template[z].handle, options["image"], options["box"][x], x) for z, x in pairs]

    def _respond(self, handle: str, image: Any, box: Floats, index: int) -> Response:
        if self._maps:
            return Response(handle, 1, self._maps(index)[None], (), place(box))
        found = correlation(self.templates[handle], pixels(image, box, "search"))
        return Response(handle, 1, found[None], (), place(box))

    def _fail_if_asked(self) -> None:
        if self.fail_next:
            self.fail_next = False
            raise QueueFull("try again")


def place(box: Floats) -> MapToFrame:
    shapes = {"template_shape": (1, 31, 31), "search_shape": (1, 47, 47)}
    return maps_to_frame(box, CROP, stride=1, correlation=Correlation(), **shapes)[0]


def pixels(image: Image, box: Floats, what: str) -> Floats:
    """Return the grey pixels, -1 to 1, of the crop around a box, black outside; a template has zero mean."""
    crop, size = (template_crop, 31) if what == "template" else (search_crop, 47)
    square = crop(box, CROP)
    steps = np.floor((np.arange(size) + 0.5) * square.side / size).astype(int)
    padded = np.pad(image[..., 0].astype(np.float64) / 127.5 - 1, square.side, constant_values=-1.0)
    rows, cols = square.top + square.side + steps, square.left + square.side + steps
    found: Floats = padded[rows.clip(0, len(padded) - 1)][:, cols.clip(0, padded.shape[1] - 1)]
    return found - found.mean() if what == "template" else found


def correlation(template: Floats, search: Floats) -> npt.NDArray[np.float32]:
    windows = np.lib.stride_tricks.sliding_window_view(search, template.shape)
    products: Floats = np.einsum("ijkl,kl", windows, template) / template.size
    return products.astype(np.float32)


def scene(*boxes: Sequence[float], height: int = 240, width: int = 320) -> Image:
    """Return a black frame with a white rectangle at each box."""
    image = np.zeros((height, width, 3), np.uint8)
    for box in boxes:
        x, y, w, h = (round(value) for value in box)
        image[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = 255
    return image


def bump(row: float, col: float, cells: int = 17) -> npt.NDArray[np.float32]:
    rows, cols = np.mgrid[:cells, :cells].astype(np.float32)
    return np.asarray(np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 8), np.float32)
