"""Targets' templates on the server: renewed, deleted, and missed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from siamcorr.answers import Template
from siamcorr.calls import Image
from siamcorr.errors import DeadlineExceeded, OverloadError, SiamcorrError, TemplateNotFound
from siamcorr_client.trackers.correlator import Correlator
from siamcorr_client.trackers.places import Floats
from siamcorr_client.trackers.targets import Target
from siamcorr_client.trackers.updates import BankUpdates, Updates

__all__ = ["delete", "naming_target", "renew"]


def renew(
    client: Correlator,
    model: str,
    updates: Updates,
    targets: Sequence[Target],
    *,
    image: Image,
    boxes: Floats,
) -> None:
    """Renew the templates of ``targets``, which are at ``boxes`` (N, 4) of an image.

    What the server has no time or room for stays due. A template that it has dropped is reported by the next
    frame.

    Raises:
        SiamcorrError: whatever else the client raises.
    """
    with suppress(OverloadError, DeadlineExceeded, TemplateNotFound):
        if not isinstance(updates, BankUpdates):
            for target, box in zip(targets, boxes, strict=True):
                client.update_template(target.templates[0], image=image, box=box, rate=updates.rate)
                target.age = 0
            return
        made = client.create_templates(image=image, boxes=boxes, model=model)
        dropped = []
        for target, template in zip(targets, made, strict=True):
            target.templates.append(template)
            target.age = 0
            if len(target.templates) > updates.size:
                dropped.append(target.templates.pop(1))
        delete(client, dropped)


def delete(client: Correlator, templates: Iterable[Template]) -> None:
    """Delete templates; those that the server has dropped already are no error.

    Raises:
        SiamcorrError: the first that the client raised, once it was asked to delete every one.
    """
    errors: list[SiamcorrError] = []
    for template in templates:
        try:
            client.delete_template(template)
        except TemplateNotFound:
            pass
        except SiamcorrError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def naming_target(client: Correlator, targets: Iterable[Target], error: TemplateNotFound) -> TemplateNotFound:
    """Return the error again with the number of the first target that lacks a template, if one still does."""
    for target in targets:
        for template in target.templates:
            try:
                client.get_template(template)
            except TemplateNotFound as dropped:
                return type(dropped)(f"target {target.number}: {dropped.message}", field="target")
            except SiamcorrError:
                return error
    return error
