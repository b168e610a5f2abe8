"""From a frame to the crops that tasks wait for: decoded once, whatever the number of boxes and tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame
from siamcorr.embed import Model, Workers, find_model, network_of
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import (
    MAX_CROP_SIDE_PX,
    Crop,
    check_inside,
    maps_to_frame,
    network_maps_to_frame,
    search_crops,
    template_crops,
)
from siamcorr.images import Pixels, channel_mean, cut_into, decode
from siamcorr.resident import Background, Origin
from siamcorr.settings import EngineSettings
from siamcorr.tasks import CorrelateKey, CorrelateTask, NetworkKey, PrepareTask, TemplateTask, check_work

__all__ = ["MAX_CUT_PIXELS", "prepare"]

Boxes: TypeAlias = npt.NDArray[np.float64]

MAX_CUT_PIXELS = 1 << 32
"""The most frame pixels in all crops of one call: beyond it a thread would be busy with them for seconds."""

_MAX_PIXELS_AT_ONCE = MAX_CROP_SIDE_PX**2
"""The most frame pixels in the crops that are cut at one moment: those that leave the frame are copied."""

_NOT_SEEN: Background | None = (0, 0, 0)  # of a crop that lies in the frame: all templates can share it


def prepare(
    task: PrepareTask, models: Mapping[str, Model], settings: EngineSettings, workers: Workers
) -> None:
    """Decode the frame and give each waiting task its crops, which ``workers`` cut out, and where they lie.

    A search region that leaves the frame is filled with its template's background there. So it is cut once
    for each background that it meets, and a pair does not depend on its neighbours.

    Raises:
        InvalidArgument: names ``image`` or ``box``, or ``request``: all that has been cut is too much work.
    """
    frame = task.frame
    image = decode(frame.image, settings.max_image_pixels)
    check_inside(frame.boxes, width=image.shape[1], height=image.shape[0])
    mean = cache(partial(channel_mean, image))
    multiply_adds = 0
    for waiting in task.tasks:
        model = find_model(waiting.key.model, models)
        if isinstance(waiting, TemplateTask):
            crops_of = search_crops if model.from_search else template_crops
            crops = _bounded(crops_of(frame.boxes, model.crop))
            waiting.origin = Origin(str(waiting.key.model), _colour(mean()))
            fills = [mean()] * len(crops)
            waiting.crops = _cut_out(image, crops, model.template_px, fills, workers)
            continue
        boxes = frame.boxes[list(waiting.search_slots)]
        all_crops = search_crops(boxes, model.crop)
        searches, colours = _share_regions(waiting, [_leaves(crop, image) for crop in all_crops])
        multiply_adds += waiting.load.multiply_adds(waiting.size, len(searches))
        check_work(multiply_adds, settings.max_multiply_adds)
        _check_bytes(len(searches) * 3 * model.crop.search_px**2, settings.max_bytes)
        crops = _bounded([all_crops[search] for search in searches])
        fills = [mean() if colour is None else np.array(colour, np.uint8) for colour in colours]
        waiting.regions = _cut_out(image, crops, model.crop.search_px, fills, workers)
        waiting.places = _places(boxes[searches], model, waiting.key)
        waiting.cuts = crops


def _share_regions(task: CorrelateTask, leaves: Sequence[bool]) -> tuple[list[int], list[Background | None]]:
    """Let pairs share a search region that lies in the frame, or whose templates' backgrounds agree.

    Return for each region that is left its search and the colour outside; None is this frame's own mean.
    """
    regions: dict[tuple[int, Background | None], int] = {}
    index: list[int] = []
    for template, search in zip(task.template_index, task.search_index, strict=True):
        origin = task.leases[template].origin
        colour = _NOT_SEEN
        if leaves[search]:
            colour = None if origin is None else origin.background
        index.append(regions.setdefault((search, colour), len(regions)))
    task.search_index = index
    task.search_slots = [task.search_slots[search] for search, _ in regions]
    if isinstance(task.key, CorrelateKey) and len(regions) > 1:
        task.key = replace(task.key, one_search=False)
    return [search for search, _ in regions], [colour for _, colour in regions]


def _leaves(crop: Crop, image: Pixels) -> bool:
    height, width = image.shape[:2]
    ends = crop.left + crop.side, crop.top + crop.side
    return crop.left < 0 or crop.top < 0 or ends[0] > width or ends[1] > height


def _cut_out(
    image: Pixels, crops: Sequence[Crop], size_px: int, fills: Sequence[Pixels], workers: Workers
) -> Pixels:
    """Return the crops (N, S, S, 3), side by side as they go up to the device."""
    pieces = np.empty((len(crops), size_px, size_px, 3), np.uint8)
    at_once = _MAX_PIXELS_AT_ONCE // max(crop.side**2 for crop in crops)
    parts = min(len(crops), at_once)

    def cut_part(first: int) -> None:
        for index in range(first, len(crops), parts):
            cut_into(pieces[index], image, crops[index], fills[index])

    workers.each(cut_part, parts)
    return pieces


def _colour(mean: Pixels) -> Background:
    blue, green, red = mean.tolist()
    return blue, green, red


def _places(boxes: Boxes, model: Model, key: CorrelateKey | NetworkKey) -> list[MapToFrame]:
    if isinstance(key, CorrelateKey):
        return maps_to_frame(
            boxes,
            model.crop,
            stride=model.stride,
            correlation=key.correlation,
            template_shape=key.template.shape,
            search_shape=key.search,
        )
    _, rows, cols = next(iter(network_of(model).maps.values()))
    return network_maps_to_frame(boxes, model.crop, stride=model.stride, rows=rows, cols=cols)


def _check_bytes(size_bytes: int, most: int) -> None:
    """Refuse what the queue would refuse, before it is cut: more backgrounds than boxes make more crops."""
    if size_bytes > most:
        raise InvalidArgument.found("request", f"crops of {size_bytes} bytes", f"at most {most} (max_bytes)")


def _bounded(crops: Sequence[Crop]) -> Sequence[Crop]:
    pixels = sum(crop.side**2 for crop in crops)
    if pixels > MAX_CUT_PIXELS:
        raise InvalidArgument.found("box", f"{pixels} pixels around all boxes", f"at most {MAX_CUT_PIXELS}")
    return crops
