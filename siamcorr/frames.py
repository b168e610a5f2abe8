"""From a frame to the crops that tasks wait for: decoded once, whatever the number of boxes and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from siamcorr.embed import Embedder, embedder_of
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import Crop, check_inside, map_to_frame, search_crop, template_crop
from siamcorr.images import channel_mean, cut, decode
from siamcorr.tasks import PrepareTask, TemplateTask

__all__ = ["MAX_CUT_PIXELS", "prepare"]

MAX_CUT_PIXELS = 1 << 32
"""The most frame pixels in all crops of one call: beyond it a thread would be busy with them for seconds."""


def prepare(task: PrepareTask, embedders: Mapping[str, Embedder], max_pixels: int) -> None:
    """Decode the frame and give each waiting task its crops, and where they lie.

    Raises:
        InvalidArgument: names ``image`` or ``box``.
    """
    frame = task.frame
    image = decode(frame.image, max_pixels)
    check_inside(frame.boxes, width=image.shape[1], height=image.shape[0])
    fill = channel_mean(image)
    for waiting in task.tasks:
        embedder = embedder_of(waiting.key.model, embedders)
        settings = embedder.crop
        if isinstance(waiting, TemplateTask):
            crops = _bounded(template_crop(box, settings) for box in frame.boxes)
            waiting.crops = [cut(image, crop, settings.template_px, fill) for crop in crops]
            continue
        boxes = [frame.boxes[slot] for slot in waiting.search_slots]
        crops = _bounded(search_crop(box, settings) for box in boxes)
        waiting.regions = [cut(image, crop, settings.search_px, fill) for crop in crops]
        waiting.places = [
            map_to_frame(
                box,
                settings,
                stride=embedder.stride,
                correlation=waiting.key.correlation,
                template_shape=waiting.key.template.shape,
                search_shape=waiting.key.search,
            )
            for box in boxes
        ]


def _bounded(crops: Iterable[Crop]) -> list[Crop]:
    found = list(crops)
    pixels = sum(crop.side**2 for crop in found)
    if pixels > MAX_CUT_PIXELS:
        raise InvalidArgument.found("box", f"{pixels} pixels around all boxes", f"at most {MAX_CUT_PIXELS}")
    return found
