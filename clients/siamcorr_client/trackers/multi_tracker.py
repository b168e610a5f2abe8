"""Many targets in front of a server or an Engine: here it is asked, frame by frame.

Rules:

- A frame is one ``correlate`` call, whatever the number of targets, scales, templates and lost targets'
  regions. Beside it there are only the calls that make and renew templates.
- A target's answer has the same bits whichever targets are followed beside it.
- A frame that fails changes nothing: targets are where they were, and it may be asked again.
- A template belongs to one target and is deleted with it; one that the server has dropped already is no error
  then. It is one in :meth:`MultiTracker.update`, which names the target.
- A renewal that the server has no time or room for is put off to the next frame.
- A frame's size counts from that frame on. Where it changes, centres move to the nearest pixel of the new
  frame, and sizes stay.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self, overload

import numpy as np
import numpy.typing as npt

from siamcorr.answers import MapToFrame
from siamcorr.calls import Image
from siamcorr.errors import InvalidArgument, TemplateNotFound
from siamcorr.geometry import as_boxes
from siamcorr_client.trackers.anchor import Anchor
from siamcorr_client.trackers.anchor_free import AnchorFree
from siamcorr_client.trackers.banks import meetings
from siamcorr_client.trackers.correlator import Correlator
from siamcorr_client.trackers.frame_size import frame_size
from siamcorr_client.trackers.kinds import Found, Kind, best_of_each
from siamcorr_client.trackers.lost import after, around
from siamcorr_client.trackers.models import settings_for
from siamcorr_client.trackers.places import Floats, Places
from siamcorr_client.trackers.settings import (
    AnchorSettings,
    SiamFCSettings,
    TrackerSettings,
    as_settings,
)
from siamcorr_client.trackers.siamfc import SiamFC
from siamcorr_client.trackers.targets import Target
from siamcorr_client.trackers.templates import delete, naming_target, renew
from siamcorr_client.trackers.track import Track
from siamcorr_client.trackers.updates import BankUpdates, Updates, as_updates

__all__ = ["MultiTracker"]


class MultiTracker:
    """Follows any number of targets, with one request a frame.

    Args:
        client: makes the calls, in this process or across the network.
        model: the model to ask for. A template transform may be part of its name: ``hog+ridge``.
        settings: which kind of tracker, and its numbers; None takes those of :func:`settings_for` the model.
        updates: how templates are renewed; None keeps those of the first frame.

    Raises:
        InvalidArgument: names ``model``: there are no settings for it, and none were given; or ``settings``
            or ``updates``.

    A context manager: its end is :meth:`close`. Not for several threads at once.

    >>> from siamcorr import Engine, EngineSettings
    >>> frame = np.zeros((120, 160, 3), np.uint8)
    >>> frame[50:74, 60:84] = frame[20:40, 120:140] = 255
    >>> with Engine(EngineSettings(device="cpu")) as engine, MultiTracker(engine, model="hog") as tracker:
    ...     ids = tracker.add(frame, [(60, 50, 24, 24), (120, 20, 20, 20)])
    ...     tracks = tracker.update(np.roll(frame, 5, axis=1))
    >>> ids, tracks[0].box.round().tolist(), tracks[1].state
    ([0, 1], [65.0, 50.0, 24.0, 24.0], 'tracking')
    """

    def __init__(
        self,
        client: Correlator,
        model: str = "hog",
        settings: TrackerSettings | None = None,
        updates: Updates | None = None,
    ) -> None:
        """Prepare; nothing is asked of the client yet."""
        self.settings = settings_for(model) if settings is None else as_settings(settings)
        self._client, self._model, self._updates = client, model, as_updates(updates)
        self._kind = _kind_for(self.settings)
        self._targets: list[Target] = []
        self._places = Places.of(np.empty((0, 4)))
        self._frame: Floats = np.full(2, np.inf)
        self._next = 0
        self._is_closed = False

    @property
    def targets(self) -> tuple[int, ...]:
        """The targets that are followed, by number."""
        return tuple(target.number for target in self._targets)

    @overload
    def add(self, image: Image, boxes: tuple[float, float, float, float]) -> int: ...

    @overload
    def add(self, image: Image, boxes: npt.ArrayLike) -> int | list[int]: ...

    def add(self, image: Image, boxes: npt.ArrayLike) -> int | list[int]:
        """Follow more targets, from where they are in this frame on.

        Args:
            image: (H, W, 3) uint8 BGR, or a JPEG or PNG file's bytes; it is passed on as it is.
            boxes: (4,) for one target or (N, 4) for many: x, y, w, h in pixels, x and y of the top left
                corner.

        Returns:
            The target's number, or a list of numbers. None is ever given twice.

        Raises:
            InvalidArgument: names ``box`` or ``image``; or ``add``: after :meth:`close`.
            SiamcorrError: whatever the client raises. Then none of them is followed.
        """
        self._check_open("add")
        checked, frame = as_boxes(boxes), _frame(image)
        made = self._client.create_templates(image=image, boxes=checked, model=self._model)
        numbers = list(range(self._next, self._next + len(made)))
        self._targets += [Target(number, [one]) for number, one in zip(numbers, made, strict=True)]
        self._places = self._places_in(frame).join(Places.of(checked))
        self._frame = frame
        self._next += len(made)
        return numbers[0] if np.ndim(boxes) == 1 else numbers

    def update(self, image: Image) -> dict[int, Track]:
        """Find all targets in the next frame.

        Returns:
            A :class:`Track` for each target, by number; nothing, and nothing is asked, where there are none.

        Raises:
            InvalidArgument: names ``image``; or ``update``: after :meth:`close`.
            TemplateNotFound: or TemplateEvicted, or TemplateExpired: the server has dropped a template. The
                error names the target, which :meth:`remove` forgets.
            SiamcorrError: whatever the client raises.
        """
        self._check_open("update")
        frame = _frame(image)
        if not self._targets:
            return {}
        places = self._places_in(frame)
        was_lost = np.array([target.is_lost for target in self._targets], np.bool_)
        found = self._search(image, places, frame, was_lost)
        scores = found.scores.tolist()
        confidence = self._confidence(found.scores)
        poor = np.array([target.poor for target in self._targets])
        is_lost, poor = after(was_lost, poor, confidence, self.settings.lost)
        moved = places.where(is_lost, found.places) if self.settings.lost.rings else found.places
        outcomes = zip(self._targets, scores, is_lost.tolist(), poor.tolist(), strict=True)
        for target, score, is_target_lost, poor_frames in outcomes:
            target.count(score, is_lost=is_target_lost, poor=poor_frames)
        self._places, self._frame = moved, frame
        self._renew(image, confidence)
        return self._tracks(found, confidence.tolist())

    def remove(self, target: int) -> None:
        """Follow a target no longer, and delete its templates.

        Raises:
            InvalidArgument: names ``target``: it is not followed.
            SiamcorrError: whatever the client raises. The target is followed no longer all the same.
        """
        if target not in self.targets:
            raise InvalidArgument.found("target", repr(target)[:80], f"one of {list(self.targets)}"[:80])
        row = self.targets.index(target)
        self._places = self._places.take(np.delete(np.arange(len(self._targets)), row))
        delete(self._client, self._targets.pop(row).templates)

    def close(self) -> None:
        """Delete all targets' templates, and take no more of them.

        Raises:
            SiamcorrError: whatever the client raises, once it was asked to delete every one.
        """
        self._is_closed = True
        dropped, self._targets = self._targets, []
        self._places = Places.of(np.empty((0, 4)))
        delete(self._client, [template for target in dropped for template in target.templates])

    def __enter__(self) -> Self:
        """Return the tracker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _search(self, image: Image, places: Places, frame: Floats, is_lost: npt.NDArray[np.bool_]) -> Found:
        """Ask for all search regions, and return what was found in each target's best one."""
        kind, rings = self._kind, self.settings.lost.rings
        regions = around(places, kind.search_sides(places), is_lost, rings, frame)
        templates = [template for target in self._targets for template in target.templates]
        owners = np.repeat(regions.owners, kind.searches)
        met = meetings(tuple(owners.tolist()), self._shares())
        try:
            responses = self._client.correlate(
                templates,
                image=image,
                box=kind.search(regions.places),
                pairs=(met.templates, met.regions),
                **kind.question,
            )
        except TemplateNotFound as error:
            raise naming_target(self._client, self._targets, error) from error
        maps, views = met.maps(responses)
        window = np.where(is_lost & (rings > 0), 0.0, 1.0)[regions.owners]
        found = kind.find(regions.places, maps, views, frame, window)
        if len(regions.owners) == len(places):
            return found
        return found.take(best_of_each(regions.owners, found.scores))

    def _confidence(self, scores: Floats) -> Floats:
        """Return each target's score as a part of one, 0 to 1; a likelihood is that already."""
        if self._kind.has_likelihoods:
            return np.clip(scores, 0.0, 1.0)
        named = zip(self._targets, scores.tolist(), strict=True)
        return np.array([target.confidence(score) for target, score in named])

    def _tracks(self, found: Found, confidence: list[float]) -> dict[int, Track]:
        rows = zip(
            self._targets,
            self._kind.boxes(self._places),
            found.scores.tolist(),
            confidence,
            found.maps,
            found.views.tolist(),
            strict=True,
        )
        return {
            target.number: Track(
                box=box,
                score=score,
                confidence=part,
                state="lost" if target.is_lost else "tracking",
                map=scores,
                map_to_frame=MapToFrame(*view),
            )
            for target, box, score, part, scores, view in rows
        }

    def _renew(self, image: Image, confidence: Floats) -> None:
        """Renew the templates whose time has come."""
        if self._updates is None:
            return
        sure = [
            row
            for row, target in enumerate(self._targets)
            if not target.is_lost and confidence[row] >= self._updates.least
        ]
        due = [row for row in sure if self._targets[row].age >= self._updates.every]
        if due:
            boxes, targets = self._places.boxes()[due], [self._targets[row] for row in due]
            renew(self._client, self._model, self._updates, targets, image=image, boxes=boxes)

    def _shares(self) -> tuple[tuple[float, ...], ...]:
        """Return what each of a target's templates has of the average, for all targets."""
        if isinstance(self._updates, BankUpdates):
            shares = self._updates.shares
            return tuple(tuple(shares(len(target.templates))) for target in self._targets)
        return ((1.0,),) * len(self._targets)

    def _places_in(self, frame: Floats) -> Places:
        """Return where the targets are in a frame that may have another size than the one before."""
        is_same = not self._targets or np.array_equal(frame, self._frame)
        return self._places if is_same else self._places.inside(frame)

    def _check_open(self, field: str) -> None:
        if self._is_closed:
            raise InvalidArgument.found(field, "a tracker that is closed", "one that is open")


def _frame(image: Image) -> Floats:
    """Return a frame's (width, height) in pixels, infinite where it cannot be read."""
    return np.array(frame_size(image) or (np.inf, np.inf), np.float64)


def _kind_for(settings: TrackerSettings) -> Kind:
    if isinstance(settings, SiamFCSettings):
        return SiamFC(settings)
    return Anchor(settings) if isinstance(settings, AnchorSettings) else AnchorFree(settings)
