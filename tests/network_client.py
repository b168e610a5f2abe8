"""A client for trackers' tests: a network that sees the targets, of which tests say where they are.

Its maps are made up from where a search region lies in relation to the target of the template: what a perfect
network would answer. A frame's pixels play no part, but for its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from siamcorr.answers import Response, Template
from siamcorr.errors import SiamcorrError, TemplateEvicted, TemplateNotFound
from siamcorr.geometry import CropSettings, as_boxes, check_inside, search_crop

__all__ = ["FRAME", "NetworkClient"]

Floats = npt.NDArray[np.float64]

FRAME = np.zeros((480, 640, 3), np.uint8)

_ANCHORS = np.array([[104, 32], [88, 40], [64, 64], [40, 80], [32, 96]], np.float64)


class NetworkClient:
    """``truth`` has each target's box, or None while it is not to be seen; tests change it.

    A template is of the target that is nearest to its box. ``likelihoods`` are what a target scores where it
    is seen, 0.99 unless a test says otherwise. ``fail_next`` is raised by the next call.
    """

    def __init__(self, kind: Literal["anchor", "anchor_free"] = "anchor_free", cells: int = 15) -> None:
        self.truth: dict[int, Any] = {}
        self.likelihoods: dict[int, float] = {}
        self.templates: dict[str, int] = {}
        self.calls: list[dict[str, Any]] = []
        self.made: list[dict[str, Any]] = []
        self.blended: list[dict[str, Any]] = []
        self.fail_next: SiamcorrError | None = None
        self._kind, self._cells = kind, cells
        self._count = 0

    def create_templates(
        self, *, image: Any, boxes: npt.ArrayLike, model: str | None = None
    ) -> list[Template]:
        self._fail_if_asked()
        self.made.append({"image": image, "boxes": boxes, "model": model})
        return [self._make(box, model) for box in as_boxes(boxes)]

    def update_template(self, template: Template, *, image: Any, box: npt.ArrayLike, rate: float) -> Template:
        self._fail_if_asked()
        self.get_template(template)
        self.blended.append({"template": template.handle, "image": image, "box": box, "rate": rate})
        return template

    def get_template(self, template: Template) -> Template:
        if template.handle not in self.templates:
            raise TemplateEvicted("it made room for another")
        return template

    def delete_template(self, template: Template) -> None:
        self._fail_if_asked()
        self.get_template(template)
        del self.templates[template.handle]

    def correlate(self, template: Sequence[Template], **options: Any) -> list[Response]:
        self._fail_if_asked()
        missing = [one.handle for one in template if one.handle not in self.templates]
        if missing:
            raise TemplateNotFound(f"no template {missing[0]!r}")
        height, width = options["image"].shape[:2]
        check_inside(as_boxes(options["box"]), width, height)
        self.calls.append(options)
        pairs = zip(*options["pairs"], strict=True)
        return [self._respond(template[z].handle, as_boxes(options["box"])[x]) for z, x in pairs]

    def _make(self, box: Floats, model: str | None) -> Template:
        handle = f"template-{self._count}"
        self._count += 1
        seen = {target: np.asarray(true) for target, true in self.truth.items() if true is not None}
        self.templates[handle] = min(seen, key=lambda target: float(np.abs(seen[target] - box).sum()))
        return Template(handle, 1, (), model, 0, 0.0)

    def _respond(self, handle: str, box: Floats) -> Response:
        target = self.templates[handle]
        likelihood = self.likelihoods.get(target, 0.99)
        seen = _in_region(self.truth[target], box)
        maps = {"anchor_free": _anchor_free, "anchor": _anchor}[self._kind](seen, likelihood, self._cells)
        return Response(handle, 1, None, maps=maps)

    def _fail_if_asked(self) -> None:
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error


def _in_region(truth: Sequence[float] | None, box: Floats) -> Floats | None:
    """Return centre and size of a target in pixels of the resized search region, from its middle."""
    if truth is None:
        return None
    x, y, w, h = truth
    side = search_crop(box, CropSettings()).side
    middle = box[:2] + (box[2:] - 1) / 2
    return np.array([x + w / 2 - middle[0], y + h / 2 - middle[1], w, h]) * 255 / side


def _scores(near: npt.NDArray[np.bool_], likelihood: float) -> npt.NDArray[np.float32]:
    """Return the two classes' values, stacked, where a target scores so much."""
    scores = np.where(near, likelihood, 1e-4)
    return np.stack([np.zeros(near.shape), np.log(scores / (1 - scores))]).astype(np.float32)


def _points(cells: int, stride: int) -> tuple[Floats, Floats]:
    along = stride * (np.arange(cells) - cells // 2).astype(np.float64)
    y, x = np.meshgrid(along, along, indexing="ij")
    return x, y


def _anchor_free(seen: Floats | None, likelihood: float, cells: int) -> Mapping[str, Any]:
    x, y = _points(cells, 16)
    if seen is None:
        return {"cls": _scores(np.zeros(x.shape, bool), 0.5), "loc": np.ones((4, cells, cells), np.float32)}
    cx, cy, w, h = seen
    near = (np.abs(x - cx) <= max(w / 4, 9)) & (np.abs(y - cy) <= max(h / 4, 9))
    sides = [x - (cx - w / 2), y - (cy - h / 2), cx + w / 2 - x, cy + h / 2 - y]
    return {"cls": _scores(near, likelihood), "loc": np.stack(sides).astype(np.float32)}


def _anchor(seen: Floats | None, likelihood: float, cells: int) -> Mapping[str, Any]:
    x, y = (np.broadcast_to(along, (5, cells, cells)) for along in _points(cells, 8))
    width, height = (_ANCHORS[:, axis, None, None] for axis in (0, 1))
    if seen is None:
        near, offsets = np.zeros(x.shape, bool), [np.zeros(x.shape)] * 4
    else:
        cx, cy, w, h = seen
        near = (np.abs(x - cx) <= 9) & (np.abs(y - cy) <= 9)
        near &= np.abs(np.log((w / h) / (width / height))) < 0.8
        flat = np.ones(x.shape)
        offsets = [(cx - x) / width, (cy - y) / height, np.log(w / width) * flat, np.log(h / height) * flat]
    return {
        "cls": _scores(near, likelihood).reshape(10, cells, cells),
        "loc": np.stack(offsets).astype(np.float32).reshape(20, cells, cells),
    }
